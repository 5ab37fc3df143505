"""Three witnesses of the demonstration's own: processes on free local ports.

They show how witnessing works and what misbehaviour looks like. They are not independent: whoever
has the data directory has their keys. docs/operate.md says how to replace them.

    home/witnesses/w1.key      private key of the first, w1.sqlite what it remembers
    home/witnesses.policy      their public keys and addresses, quorum 2 of 3

They are started by the process that opens the ledger if nobody answers at their addresses, and end
with it.
"""

import atexit
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import urlsplit

from ledger.tlog import atomic_file, cosignature, policy
from ledger.witness.client import WitnessUnavailableError

FOLDER = "witnesses"
NAMES = ("w1", "w2", "w3")
QUORUM = 2
POLICY = "witnesses.policy"
NOT_INDEPENDENT = (
    "Witnesses: three processes of this demonstration, quorum two. They are not independent:"
    " docs/operate.md says how to replace them."
)
_PATIENCE_S = 120.0  # for the start of a process on a busy machine; one that ended is seen at once
_REACH_S = 0.5
_lock = Lock()
_running: list["subprocess.Popen[bytes]"] = []


def make(home: Path) -> None:
    """Make the keys of a data directory's own witnesses, start them and write the policy.

    Does nothing if there is a policy. The log's keys must be there. Raises OSError,
    WitnessUnavailableError.
    """
    if (home / POLICY).exists():
        return
    for name in NAMES:
        key = home / FOLDER / f"{name}.key"
        if not key.exists():
            made = cosignature.generate(f"demonstration.invalid/{name}")
            atomic_file.write(key, f"{made.secret()}\n".encode(), atomic_file.OWNER_ONLY)
    # Crash here: no policy names the witnesses; the next call goes on.
    _start(home, dict.fromkeys(NAMES, 0))


def exist(home: Path) -> bool:
    """Whether a data directory has witnesses of its own, and its policy names them."""
    return (home / POLICY).exists() and (home / FOLDER / f"{NAMES[0]}.key").exists()


def ensure(home: Path) -> None:
    """Start a data directory's own witnesses, if it has some and they do not answer.

    Raises OSError, WitnessUnavailableError.
    """
    if not exist(home):
        return
    addresses = policy.parse((home / POLICY).read_bytes()).addresses
    if set(addresses) != {*NAMES}:
        return  # they were replaced
    ports = {name: urlsplit(url).port or 0 for name, url in addresses.items()}
    if not all(_answers(port) for port in ports.values()):
        _start(home, ports)


def stop() -> None:
    """End the witnesses that this process started."""
    with _lock:
        while _running:
            process = _running.pop()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_S)


def _start(home: Path, ports: dict[str, int]) -> None:
    with _lock:
        if not _running:
            atexit.register(stop)
        started = {name: _begun(home, name, port) for name, port in ports.items()}
        _running.extend(started.values())
    taken = {name: _port_of(process) for name, process in started.items()}
    lines = [
        f"witness {name} {_vkey(home, name)} http://127.0.0.1:{port}\n"
        for name, port in taken.items()
    ]
    lines += [f"group demonstration {QUORUM} {' '.join(NAMES)}\n", "quorum demonstration\n"]
    text = "".join(lines).encode()
    if not (home / POLICY).exists() or (home / POLICY).read_bytes() != text:
        atomic_file.write(home / POLICY, text)


def _begun(home: Path, name: str, port: int) -> "subprocess.Popen[bytes]":
    folder, keys = home / FOLDER, home / "keys"
    files = (folder / f"{name}.key", folder / f"{name}.sqlite")
    logs = (keys / "consent.vkey", keys / "state.vkey")
    command = [sys.executable, "-m", "ledger.witness.own_process", *map(str, files), str(port)]
    return subprocess.Popen(  # noqa: S603 - our own module, with paths of the data directory
        [*command, *map(str, logs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def _port_of(process: "subprocess.Popen[bytes]") -> int:
    """The port that a witness listens on. Raises WitnessUnavailableError."""
    line: list[bytes] = []
    printed = process.stdout
    if printed is None:
        raise AssertionError("started with a pipe")
    reader = Thread(target=lambda: line.append(printed.readline()), daemon=True)
    reader.start()
    reader.join(_PATIENCE_S)
    if not line or not line[0].strip().isdigit():
        raise WitnessUnavailableError("a witness of the demonstration did not start")
    return int(line[0])


def _vkey(home: Path, name: str) -> str:
    return str(cosignature.signer((home / FOLDER / f"{name}.key").read_text().strip()).key)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), _REACH_S):
            return True
    except OSError:
        return False
