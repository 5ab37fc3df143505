"""Finds a stopped process that holds a lock on a SQLite file, which nobody would wait for in vain.

Without a write-ahead log SQLite commits only while nobody reads, so a reader that is stopped in the
middle of a read (Ctrl-Z, SIGSTOP, a paused container) would keep the writer waiting for ever.

    1: POSIX  ADVISORY  READ 4711 fe:01:1572 1073741826 1073742335      a line of /proc/locks

The file itself is not opened for it: closing it would drop this process's own locks on it.
"""

import os
from contextlib import suppress
from pathlib import Path

LOCKS, PROCESSES = Path("/proc/locks"), Path("/proc")
_STOPPED = {"T", "t"}  # by a signal, by a debugger
_FROZEN = {"do_freezer_trap", "__refrigerator"}  # where a process of a paused container waits


def stopped(path: Path) -> str | None:
    """Names a stopped process that has a lock on the file; None: no such process is known.

    Outside Linux, and for processes of other hosts, none is known.
    """
    with suppress(OSError):
        for process in _holders(path.stat()):
            if process != os.getpid() and _is_stopped(PROCESSES / str(process)):
                name = (PROCESSES / str(process) / "comm").read_text().strip()
                return f"process {process} ({name})"
    return None


def _holders(file: os.stat_result) -> set[int]:
    """The processes with a lock on the file, or on one with its inode on another disk."""
    inode = str(file.st_ino)
    lines = [line.split() for line in LOCKS.read_text().splitlines() if "->" not in line]
    return {int(line[4]) for line in lines if line[5].rpartition(":")[2] == inode}


def _is_stopped(process: Path) -> bool:
    with suppress(OSError):
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return state in _STOPPED or (process / "wchan").read_text() in _FROZEN
    return False
