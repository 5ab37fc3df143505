"""Commands that write reach the process that serves the data directory, and run there.

    home/state/control.json    {"pid":4711,"socket":"/tmp/sovereign-ab12/control.sock"}

A command that finds the ledger being written sends itself over a Unix socket that only the owner
can open, and prints what comes back. It runs in the serving process, on the very ledger that the
portal's gate follows: when the command returns, every answer that is asked for afterwards rests on
what it wrote.

    > {"argv":["erase","c00001","--data-dir","/srv/data"]}
    < {"code":0,"out":"erased: 6 instructions, …","err":""}
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread

import msgspec

from ledger.tlog import atomic_file

NAME = Path("state") / "control.json"
MAX_BYTES = 1 << 20  # of a request


class Request(msgspec.Struct, forbid_unknown_fields=True):
    argv: list[str]


class Outcome(msgspec.Struct, forbid_unknown_fields=True):
    """How a command ended: its exit status, and what it printed."""

    code: int
    out: str
    err: str


class Address(msgspec.Struct, forbid_unknown_fields=True):
    pid: int
    socket: str


Run = Callable[[Sequence[str]], Outcome]


@contextmanager
def serving(home: Path, run: Run) -> Iterator[None]:
    """Run commands that other processes send, one after the other, while the context lasts."""
    folder = Path(mkdtemp(prefix="sovereign-"))  # 0700; a data directory's own path may be too long
    place = folder / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        place.chmod(0o600)
        listening.listen()
        address = Address(os.getpid(), str(place))
        atomic_file.write(home / NAME, msgspec.json.encode(address), atomic_file.OWNER_ONLY)
        Thread(target=_accept, args=[listening, run], name="control", daemon=True).start()
        try:
            yield
        finally:
            (home / NAME).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def reachable(home: Path) -> bool:
    """Whether a process that serves `home` says where it takes commands."""
    return (home / NAME).exists()


def forward(home: Path, argv: Sequence[str]) -> Outcome | None:
    """Run `argv` in the process that serves `home`; None if none can be reached."""
    try:
        address = msgspec.json.decode((home / NAME).read_bytes(), type=Address)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address.socket)
            connection.sendall(msgspec.json.encode(Request([*argv])))
            connection.shutdown(socket.SHUT_WR)
            return msgspec.json.decode(_all(connection, None), type=Outcome)
    except (OSError, msgspec.MsgspecError):
        return None


def _accept(listening: socket.socket, run: Run) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return  # the context has ended
        with connection, suppress(OSError):
            connection.sendall(msgspec.json.encode(_answer(connection, run)))


def _answer(connection: socket.socket, run: Run) -> Outcome:
    try:
        request = msgspec.json.decode(_all(connection, MAX_BYTES), type=Request)
    except msgspec.MsgspecError as error:
        return Outcome(2, "", f"not a request: {error}\n")
    return run(request.argv)


def _all(connection: socket.socket, limit: int | None) -> bytes:
    parts, size = [], 0
    while part := connection.recv(65_536):
        parts.append(part)
        size += len(part)
        if limit is not None and size > limit:
            return b""
    return b"".join(parts)
