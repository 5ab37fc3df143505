"""Many gate processes decide while customers change their minds; then the history is judged.

Every decision must be one that some moment between its question and its answer justifies. In
particular, no permit whose question was asked after a withdrawal's receipt was handed out.
"""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gate.epoch import Epoch
from gate.journal import LOG, Journal
from gate.read import Gate, ReadRequest
from ledger import note
from ledger.event import Granted, Withdrawn, Wording
from ledger.follower import Follower
from ledger.ledger import Ledger
from ledger.log import Log
from tests.gate.scenes import SCENES
from tests.gate.world import shipped, source

SUBJECTS = [f"c{n}" for n in range(8)]
AGE = ("age",)
DECISION = np.dtype([("who", "u1"), ("allowed", "?"), ("start", "i8"), ("end", "i8")])
ACT = np.dtype([("who", "u1"), ("granted", "?"), ("start", "i8"), ("end", "i8")])
FLUSH = 512  # decisions a worker may lose when it is killed
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Verdict:
    decisions: int
    permits: int
    acts: int
    kills: int
    wrong: int  # decisions that no moment between question and answer justifies
    late: int  # of these, permits after a withdrawal's receipt


def worker(home: Path, name: str) -> None:
    """Decide until killed; what was decided, and when, goes to a file."""
    log = Log.open(home / name / LOG, f"test.example/{name}", note.generate(f"test.example/{name}"))
    follower = Follower(home, Epoch(home / "epoch").size)
    journal = Journal(log, follower, home / name)
    gate = Gate(follower, source(), SCENES, journal, shipped(), bytes(32))
    clock = time.monotonic_ns
    with (home / f"{name}.decisions").open("ab", buffering=0) as file:
        while True:
            found = np.zeros(FLUSH, DECISION)
            for at in range(FLUSH):
                who = random.randrange(len(SUBJECTS))
                request = ReadRequest(
                    "analytics", "segmentation", SUBJECTS[who], AGE, datetime.now(UTC)
                )
                start = clock()
                allowed = gate.decide(request).allowed
                found[at] = (who, allowed, start, clock())
            file.write(found.tobytes())


def run(home: Path, *, workers: int, decisions: int) -> Verdict:
    """Play until at least so many decisions are recorded, and judge them."""
    epoch = Epoch(home / "epoch")
    ledger = Ledger.open(home, origin="test.example/consent", moved=epoch.publish)
    crew = [_start(home, f"w{n}") for n in range(workers)]
    acts: list[tuple[int, bool, int, int]] = []
    kills = 0
    recorded = 0
    try:
        while recorded < decisions:
            for _ in range(50):
                acts.append(_act(ledger, acts))
            kills += _disturb(home, crew, workers + kills)
            recorded = sum(path.stat().st_size for path in home.glob("*.decisions"))
            recorded //= DECISION.itemsize
    finally:
        for each in crew:
            each.send_signal(signal.SIGCONT)
            each.kill()
            each.wait()
        ledger.close()
    return judge(_decisions(home), np.array(acts, ACT), kills)


def judge(decisions: Array, acts: Array, kills: int) -> Verdict:
    """O(n log n): for each decision, the states that held at some time between start and end."""
    wrong = late = 0
    for who in range(len(SUBJECTS)):
        mine = decisions[decisions["who"] == who]
        told = acts[acts["who"] == who]
        # State 0 is "never granted"; state i holds after act i.
        granted = np.concatenate([[False], told["granted"]])
        permits = np.concatenate([[0], np.cumsum(granted)])
        first = np.searchsorted(told["end"], mine["start"], side="right")
        last = np.searchsorted(told["start"], mine["end"], side="right")
        count = permits[last + 1] - permits[first]
        could_permit, could_deny = count > 0, count < last + 1 - first
        bad = np.where(mine["allowed"], ~could_permit, ~could_deny)
        wrong += int(bad.sum())
        late += int((bad & mine["allowed"]).sum())
    return Verdict(len(decisions), int(decisions["allowed"].sum()), len(acts), kills, wrong, late)


def _act(ledger: Ledger, acts: list[tuple[int, bool, int, int]]) -> tuple[int, bool, int, int]:
    who = random.randrange(len(SUBJECTS))
    last = next((each[1] for each in reversed(acts) if each[0] == who), False)
    act = Withdrawn("segmentation") if last else Granted("segmentation", AGE, None)
    now = datetime.now(UTC)
    instruction = ledger.draft(SUBJECTS[who], act, at=now, wording=Wording("en", bytes(32)))
    start = time.monotonic_ns()
    ledger.record([instruction])
    return who, not last, start, time.monotonic_ns()  # the receipt is in the customer's hand


def _disturb(home: Path, crew: list[subprocess.Popen[bytes]], started: int) -> int:
    """Pause somebody for a moment, or kill somebody and start another; how many were killed."""
    chosen = random.randrange(len(crew))
    if random.random() < 0.8:
        crew[chosen].send_signal(signal.SIGSTOP)
        time.sleep(0.01)
        crew[chosen].send_signal(signal.SIGCONT)
        return 0
    crew[chosen].kill()
    crew[chosen].wait()
    crew[chosen] = _start(home, f"w{started}")
    return 1


def _start(home: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.gate.linearizability", str(home), name]
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(command, cwd=root, env=os.environ | {"PYTHONPATH": root})


def _decisions(home: Path) -> Array:
    found = [np.frombuffer(_whole(path), DECISION) for path in home.glob("*.decisions")]
    return np.concatenate(found)


def _whole(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: len(data) // DECISION.itemsize * DECISION.itemsize]


if __name__ == "__main__":
    worker(Path(sys.argv[1]), sys.argv[2])
