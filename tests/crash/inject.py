"""Make each system call of a ledger's life fail once: `python -m tests.crash.inject`.

strace counts the calls of one life of fault.py, then lives as many lives again; in each, one call
answers EIO. After each: a restart, nothing acknowledged lost, nothing published regressed, and
`fsck` is clean. `--each N` lets every Nth call fail only.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ledger.fsck import fsck
from ledger.tlog import checkpoint, signed_note
from tests.ledger.worlds import AGE, opened, say

ROOT = Path(__file__).parents[2]
CALLS = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink")
Told = list[dict[str, Any]]


def strace() -> str | None:
    """Where strace is, if it may trace here."""
    found = shutil.which("strace")
    works = found and subprocess.run([found, "-qq", "-o", "/dev/null", "true"], check=False)
    return found if works and works.returncode == 0 else None


def life(home: Path, *before: str) -> Told:
    """Everything that one process acknowledged."""
    command = [*before, sys.executable, "-m", "tests.crash.fault", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(home: Path, told: Told) -> None:
    """Raise AssertionError unless all that was acknowledged is still there after a restart."""
    ledger = opened(home)
    for each in told:
        if "size" in each:
            assert ledger.root_at(each["size"]) == each["root"], "an acknowledged entry is lost"
    published = max((each["published"] for each in told if "published" in each), default=0)
    if published:
        text = (home / "log" / "consent" / "checkpoint").read_text()
        assert checkpoint.parse(signed_note.parse(text).text).size >= published, "it regressed"
    say(ledger, "c1", AGE)
    ledger.export(home / "log" / "consent")
    ledger.close()
    findings = [str(each) for each in fsck(home)]
    assert not findings, findings


def calls(tracer: str, folder: Path) -> Counter[str]:
    """How often a life makes each call."""
    trace = folder / "trace"
    life(folder / "counted", tracer, "-f", "-o", str(trace), "-e", f"trace={','.join(CALLS)}")
    return Counter(re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE))


def campaign(tracer: str, call: str, each: int) -> Iterator[bool]:
    """Fail every `each`th of these calls, one a life; whether the call did fail."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for nth in range(1, calls(tracer, folder)[call] + 1, each):
            home, trace = folder / str(nth), folder / f"{nth}.trace"
            inject = f"inject={call}:error=EIO:when={nth}"
            told = life(home, tracer, "-f", "-qq", "-o", str(trace), "-e", inject)
            check(home, told)
            yield "INJECTED" in trace.read_text(errors="replace")
            shutil.rmtree(home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=1)
    each = parser.parse_args().each
    if (tracer := strace()) is None:
        sys.exit("skipped: strace is not installed, or may not trace here")
    for call in CALLS:
        failed = [*campaign(tracer, call, each)]
        sys.stdout.write(f"{call:10} {sum(failed):4} failed once each: 0 lost, 0 forks, clean\n")


if __name__ == "__main__":
    main()
