"""The gate alone, in a process of its own beside whoever writes the ledger.

It follows the ledger of a data directory and cannot write it. Its read log must nevertheless be
announced there before anything is read: so it leaves word in `home/reads/<instance>/opening`, the
writer announces what it finds (every two seconds beside the portal, or by `sovereign gate
announce`), and only then does the gate begin.

    example.org/reads-1a2b3c4d
    example.org/reads-1a2b3c4d+9f8e7d6c+AbCd…

It starts only under the very contracts and policy that the ledger says are in force.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gate import policy
from gate.contract import Scene, specs_folder
from gate.epoch import Epoch
from gate.http import GateApp
from gate.journal import LOG, Journal, instance_name
from gate.policy import Policy
from gate.read import Gate
from gate.shadow import Shadow
from ledger import durable, note
from ledger.event import PolicyPublished, ReadLogOpened, ScenePublished
from ledger.follower import Follower
from ledger.ledger import Ledger
from ledger.log import Log
from portal.product import (
    EPOCH,
    SECRET,
    alarm,
    contracts,
    known_by,
    open_source,
    quotas,
    secret,
)
from portal.settings import Settings
from steward.released import Released

OPENING = "opening"
POLL_S = 0.1
HEALTH = "/healthz"

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class NotAnnouncedError(Exception):
    """Nobody announced the gate's read log, so it may not answer. Says what to start."""


class OtherTermsError(Exception):
    """The ledger says that other contracts or another policy are in force than this gate has."""


@dataclass(frozen=True, slots=True)
class Standalone:
    gate: Gate
    reads: Log
    follower: Follower
    scenes: Mapping[str, Scene]


def open_gate(settings: Settings, *, wait_s: float) -> Standalone:
    """Open a gate over `settings.data_dir`, and wait for its read log to be announced.

    Raises NotAnnouncedError, OtherTermsError, and what its parts raise.
    """
    home = settings.data_dir
    source, scenes = contracts()
    rules = policy.load(specs_folder() / "policy")
    released, terms = _followed(home)
    _same_terms(terms, scenes, rules)
    reads = _open_read_log(home, settings.origin)
    _wait(home, reads, wait_s)
    follower = Follower(home, _moved(home))
    journal = Journal(reads, follower, _folder(home, reads))
    gate = Gate(follower, open_source(settings), scenes, journal, rules, secret(home / SECRET))
    gate.known_by = known_by(source)
    gate.alarm = alarm(settings, settings.origin, scenes)
    gate.quotas = quotas(settings, scenes, gate.alarm)
    Shadow(gate, settings.shadow_every)
    for scene in scenes:
        if (release := released.release(scene)) is not None:
            gate.serve(scene, release)
    return Standalone(gate, reads, follower, scenes)


def announce(ledger: Ledger, home: Path) -> int:
    """Announce the read logs of gates that wait for it; how many. Called by the ledger's writer.

    Crash in between: it is announced again, which changes nothing.
    """
    waiting = sorted(home.glob(f"reads/*/{OPENING}"))
    for path in waiting:
        origin, key = path.read_text("ascii").splitlines()
        ledger.announce([ReadLogOpened(origin, key, datetime.now(UTC).replace(microsecond=0))])
        path.unlink()
    return len(waiting)


class Healthy:
    """The gate's application with its health beside it."""

    def __init__(self, gate: Gate, app: GateApp) -> None:
        self._gate, self._app = gate, app

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != HEALTH:
            await self._app(scope, receive, send)
            return
        stopped = sorted(self._gate.suspended)
        answer = {"status": "suspended" if stopped else "ok", "suspended": stopped}
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def _followed(home: Path) -> tuple[Released, list[ScenePublished | PolicyPublished]]:
    """The releases and the terms that the ledger holds."""
    released = Released(Follower(home))
    events = (entry.event for entry in released.follow(0))
    return released, [e for e in events if isinstance(e, ScenePublished | PolicyPublished)]


def _same_terms(
    terms: list[ScenePublished | PolicyPublished], scenes: Mapping[str, Scene], rules: Policy
) -> None:
    held = {e.scene if isinstance(e, ScenePublished) else "policy": e.digest for e in terms}
    ours = {name: scene.digest for name, scene in scenes.items()} | {"policy": rules.digest}
    if other := sorted(name for name, digest in ours.items() if held.get(name) != digest):
        raise OtherTermsError(
            f"the ledger has other terms in force for {', '.join(other)}: "
            "start `sovereign serve` of this version once, or install the version it ran"
        )


def _open_read_log(home: Path, origin: str) -> Log:
    instance = f"reads-{instance_name()}"
    name = f"{origin.rsplit('/', 1)[0]}/{instance}"
    signer = note.generate(name)
    folder = home / "reads" / instance
    folder.mkdir(parents=True)
    log = Log.open(folder / LOG, name, signer)
    durable.write(home / "keys" / f"{instance}.vkey", f"{signer.verifier}\n".encode())
    durable.write(folder / OPENING, f"{name}\n{signer.verifier}\n".encode())
    return log


def _wait(home: Path, reads: Log, wait_s: float) -> None:
    """Until the ledger says that the read log is open."""
    follower, seen = Follower(home), 0
    until = time.monotonic() + wait_s
    while True:
        for entry in follower.follow(seen):
            seen = entry.index + 1
            if isinstance(entry.event, ReadLogOpened) and entry.event.origin == reads.origin:
                return
        if time.monotonic() > until:
            raise NotAnnouncedError(
                f"nobody announced {reads.origin} within {wait_s:.0f} s; run `sovereign serve` "
                "over the same data directory, or, if nothing writes there, `sovereign gate "
                "announce`"
            )
        time.sleep(POLL_S)


def _moved(home: Path) -> Callable[[], int] | None:
    """The epoch, if the writer keeps it; else the database is asked, which is slower."""
    epoch = Epoch(home / EPOCH)
    return epoch.size if epoch.size() >= Follower(home).size else None


def _folder(home: Path, reads: Log) -> Path:
    return home / "reads" / reads.origin.rsplit("/", 1)[-1]
