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
import select
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock, Thread

import msgspec

from ledger.tlog import atomic_file

NAME = Path("state") / "control.json"
MAX_BYTES = 1 << 20  # of a request
REQUEST_S = 10.0  # within which a request has to be there
GRACE_S = 60.0  # for a command that runs while the server ends
_BYTES, _TEXT = ("utf-8", "surrogateescape"), ("latin-1",)  # arguments may be any bytes


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


class ControlError(Exception):
    """A command was sent, and its outcome is unknown. The message says what to do."""


@contextmanager
def serving(home: Path, run: Run) -> Iterator[None]:
    """Run commands that other processes send, one after the other, while the context lasts.

    When it ends, a command that is running is finished first, for at most GRACE_S.
    """
    folder = Path(mkdtemp(prefix="sovereign-"))  # 0700; a data directory's own path may be too long
    place = folder / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        place.chmod(0o600)
        listening.listen()
        address = Address(os.getpid(), str(place))
        atomic_file.write(home / NAME, msgspec.json.encode(address), atomic_file.OWNER_ONLY)
        turn = Lock()
        Thread(target=_accept, args=[listening, run, turn], name="control", daemon=True).start()
        try:
            yield
        finally:
            if _address(home) == address:  # and not that of a process that serves instead
                (home / NAME).unlink(missing_ok=True)
            turn.acquire(timeout=GRACE_S)  # never released, so that no further command begins
            shutil.rmtree(folder, ignore_errors=True)


def reachable(home: Path) -> bool:
    """Whether a process that serves `home` takes commands now."""
    try:
        with _connected(home):
            return True
    except OSError:
        return False


def forward(home: Path, argv: Sequence[str]) -> Outcome | None:
    """Run `argv` in the process that serves `home`; None if none takes commands.

    Raises ControlError if the answer did not come.
    """
    request = msgspec.json.encode(Request([each.encode(*_BYTES).decode(*_TEXT) for each in argv]))
    try:
        connection = _connected(home)
    except OSError:
        return None
    with connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return msgspec.json.decode(_all(connection, None), type=Outcome)
        except (OSError, msgspec.MsgspecError) as error:
            raise ControlError(
                "the process that serves the data directory ended, or did not answer, while it ran"
                " this command: check whether it was carried out, and repeat it if not"
            ) from error


def _address(home: Path) -> Address | None:
    """Where commands are taken, as far as the file tells."""
    try:
        return msgspec.json.decode((home / NAME).read_bytes(), type=Address)
    except (OSError, msgspec.MsgspecError):
        return None


def _connected(home: Path) -> socket.socket:
    """Raises OSError."""
    if (address := _address(home)) is None:
        raise FileNotFoundError(home / NAME)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address.socket)
    except OSError:
        connection.close()
        raise
    return connection


def _accept(listening: socket.socket, run: Run, turn: Lock) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return  # the context has ended
        Thread(target=_serve, args=[connection, run, turn], name="command", daemon=True).start()


def _serve(connection: socket.socket, run: Run, turn: Lock) -> None:
    """Answer one request. Commands run one at a time; a client that sends nothing delays none."""
    with connection, suppress(OSError):
        connection.settimeout(REQUEST_S)
        try:
            request = msgspec.json.decode(_all(connection, MAX_BYTES), type=Request)
            argv = [each.encode(*_TEXT).decode(*_BYTES) for each in request.argv]
        except (msgspec.MsgspecError, UnicodeError) as error:
            connection.sendall(msgspec.json.encode(Outcome(2, "", f"not a request: {error}\n")))
            return
        connection.settimeout(None)
        with turn:
            if _is_gone(connection):
                return  # the sender gave up, so its command must not run
            outcome = run(argv)
        out, err = (each.encode("utf-8", "replace").decode() for each in (outcome.out, outcome.err))
        connection.sendall(msgspec.json.encode(Outcome(outcome.code, out, err)))


def _is_gone(connection: socket.socket) -> bool:
    """Whether the sender has closed its side altogether, not only its half of the connection."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP | select.POLLERR)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


def _all(connection: socket.socket, limit: int | None) -> bytes:
    parts, size = [], 0
    while part := connection.recv(65_536):
        parts.append(part)
        size += len(part)
        if limit is not None and size > limit:
            return b""
    return b"".join(parts)
