"""Wall and processor seconds of this process, a server or a command, for `benchmarks.growth`."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from tests.features.served import INSTALLED


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run, or the median of several. `cpu_s`: of the process that did the work."""

    wall_s: float
    cpu_s: float


@dataclass(slots=True)
class Costs:
    """What was measured over one data directory: costs, and figures in bytes."""

    costs: dict[str, Cost] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)

    def note(self, operation: str, runs: Sequence[Cost]) -> None:
        walls, cpus = [each.wall_s for each in runs], [each.cpu_s for each in runs]
        self.costs[operation] = Cost(median(walls), median(cpus))

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> "Costs":
        body = json.loads(text)
        return cls({name: Cost(**each) for name, each in body["costs"].items()}, body["bytes"])


def spent_by(process: int) -> float:
    """Processor seconds of another process and all its threads, ended ones too."""
    return time.clock_gettime((~process << 3) | 2)  # clock_getcpuclockid(3) of Linux


def timed(work: Callable[[], object], process: int | None = None) -> Cost:
    """One run of `work`; the processor time is that of `process`, or of this one."""
    process = os.getpid() if process is None else process
    began, spent = time.perf_counter(), spent_by(process)
    work()
    return Cost(time.perf_counter() - began, spent_by(process) - spent)


def command(*words: str | Path, exits: Sequence[int] = (0,)) -> Cost:
    """One run of a command of `sovereign`, with the start of Python."""
    began, before = time.perf_counter(), os.times()
    ran = INSTALLED.run(*words)
    wall, after = time.perf_counter() - began, os.times()
    if ran.returncode not in exits:
        raise AssertionError(f"{words} ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
    cpu = after.children_user + after.children_system
    return Cost(wall, cpu - before.children_user - before.children_system)


def peak_bytes(process: int) -> int:
    """The most memory that a process had at once."""
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
