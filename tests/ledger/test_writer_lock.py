"""One writer for each data directory: who comes second is refused by name, and nothing is left."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.storage.writer_lock import NAME, WriterBusyError, WriterLock

HOLD = """
import sys
from pathlib import Path
from ledger.storage.writer_lock import WriterLock
WriterLock(Path(sys.argv[2])).acquire()
print("held", flush=True)
sys.stdin.read()
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, "serve", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_second_process_is_refused_and_told_who_writes(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    with pytest.raises(WriterBusyError, match=rf"`sovereign serve` \(process {holder.pid}, since "):
        WriterLock(tmp_path).acquire()
    holder.communicate()
    WriterLock(tmp_path).acquire()
    WriterLock(tmp_path).release()


def test_a_writer_that_was_killed_locks_nothing(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    holder.kill()
    holder.communicate()
    assert (tmp_path / NAME).exists()
    lock = WriterLock(tmp_path)
    lock.acquire()
    lock.release()


def test_it_waits_for_a_writer_that_ends_in_time(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert holder.stdin is not None
    holder.stdin.close()
    lock = WriterLock(tmp_path)
    lock.acquire(wait_s=60)
    lock.release()
    holder.wait()


def test_a_process_may_acquire_it_several_times(tmp_path: Path) -> None:
    first, second = WriterLock(tmp_path), WriterLock(tmp_path)
    first.acquire()
    second.acquire()
    first.release()
    code = HOLD.replace('print("held", flush=True)\nsys.stdin.read()\n', "")
    command = [sys.executable, "-c", code, "erase", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "WriterBusyError" in refused.stderr
    second.release()
    assert subprocess.run(command, check=False, cwd=ROOT).returncode == 0


def test_a_file_that_says_nothing_still_refuses(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(b"\xff")
    with pytest.raises(WriterBusyError, match="another process"):
        WriterLock(tmp_path).acquire()
    holder.communicate()
