"""Runs the gate in a process of its own, next to the process that writes the ledger.

The gate follows the ledger of a data directory and cannot write it. Its read log must be announced
in the ledger before anything is read: the gate writes a request to `home/reads/<instance>/opening`,
the ledger's writer announces it (a job of the portal every two seconds, or `sovereign gate
announce`), and only then does the gate serve.

    example.org/reads-1a2b3c4d
    example.org/reads-1a2b3c4d+9f8e7d6c+AbCd…

It starts only with exactly the contracts and policy that the ledger names as active, and suspends a
scene when the ledger later names others.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from gate.contracts.scene import Scene
from gate.contracts.source import specs_folder
from gate.http.app import GateApp
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy
from gate.readlog.writer import LOG, instance_name
from gate.reads.point import Gate
from gate.state import snapshot
from gate.state.ledger_position import Epoch
from ledger import clock
from ledger.events.envelope import PolicyPublished, ReadLogOpened, ScenePublished
from ledger.follower import Follower
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from ledger.tlog import atomic_file, signed_note
from ledger.tlog.writer import Log
from portal.operations.open_ledger import EPOCH
from portal.operations.settings import Settings
from portal.operations.wiring import (
    SNAPSHOT,
    build_gate,
    contracts,
    open_source,
    releases,
    require_usable,
)

_LOG = logging.getLogger("gate")

OPENING = "opening"
POLICY = "policy"  # no scene has this name
POLL_S, LOOK_S = 0.1, 2.0
HEALTH = "/healthz"

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class NotAnnouncedError(Exception):
    """The gate's read log was not announced, so it may not answer. Says what to start."""


class OpeningFileError(Exception):
    """A file in a gate's folder is not a request to announce a read log."""


class OtherTermsError(Exception):
    """The active contracts or policy in the ledger differ from those of this gate."""


@dataclass(frozen=True, slots=True)
class Standalone:
    gate: Gate
    reads: Log
    follower: Follower
    scenes: Mapping[str, Scene]


def open_gate(settings: Settings, *, wait_s: float) -> Standalone:
    """Open a gate over `settings.data_dir`, and wait for its read log to be announced.

    Raises SettingError, SourceUnavailableError, NotAnnouncedError, OtherTermsError, and what its
    parts raise.
    """
    home = settings.data_dir
    source, scenes = contracts()
    require_usable(settings, scenes)
    rules = cedar.load(specs_folder() / "policy")
    announced = [*Follower(home).announced()]
    _same_terms(_terms(announced), scenes, rules)
    reads = _open_read_log(home, settings.origin)
    _wait(home, reads, wait_s)
    follower = Follower(home, _moved(home))
    rows = open_source(settings)
    state = snapshot.load(home / SNAPSHOT, scenes, follower)
    gate = build_gate(settings, follower, source, scenes, rules, reads, rows=rows, state=state)
    return Standalone(gate, reads, follower, scenes)


class LedgerWatch:
    """Applies to a running gate what the ledger announces later.

    New releases are served. A scene whose contract or policy changed is suspended until the gate
    restarts.
    """

    def __init__(self, alone: Standalone, home: Path) -> None:
        self._gate = alone.gate
        self._ours = _digests(alone.scenes, alone.gate.policy)
        self._ledger = Follower(home)
        self._seen = 0
        self._over = Event()
        self.look()

    def look(self) -> None:
        """Apply what was announced since the last look."""
        announced = [*self._ledger.announced(self._seen)]
        for name, digest in _active(_terms(announced)).items():
            if name in self._ours and digest != self._ours[name]:
                self._suspend(self._gate.scenes if name == POLICY else [name])
        for scene, known in releases(announced, self._gate.scenes).items():
            self._gate.serve(scene, *known)
        self._seen = announced[-1].index + 1 if announced else self._seen

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look every two seconds, in a thread, while the context lasts."""
        thread = Thread(target=self._run, name="terms", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - the next look tries again; decisions fail closed
                _LOG.exception(
                    "cannot follow the ledger; announced changes are not applied until it can"
                )

    def _suspend(self, scenes: Iterable[str]) -> None:
        for scene in set(scenes) - self._gate.suspended:
            self._gate.suspend(scene)
            _LOG.warning(
                "scene %s is suspended, its terms changed: restart the gate with them", scene
            )


def announce(ledger: Ledger, home: Path) -> int:
    """Announce the read logs of waiting gates, and return how many. For the ledger's writer.

    Raises OpeningFileError for a malformed request, after announcing all others; the file stays.
    """
    malformed, done = [], 0
    for path in sorted(home.glob(f"reads/*/{OPENING}")):
        try:
            origin, key = _opening(path)
        except ValueError:
            malformed.append(path)
            continue
        ledger.announce([ReadLogOpened(origin, key, clock.now())])
        # If we crash here, it is announced again, which changes nothing.
        path.unlink()
        done += 1
    if malformed:
        raise OpeningFileError(
            f"{malformed[0]}: want two lines, a log's name and its verifier key; remove the file"
        )
    return done


def _opening(path: Path) -> tuple[str, str]:
    """A request's log name and verifier key. Raises ValueError."""
    origin, key = path.read_text("ascii").splitlines()
    if signed_note.vkey_parts(key)[0] != origin:
        raise ValueError(f"the key is for another log than {origin}")
    return origin, key


class Healthy:
    """The gate's application, with its health at `GET /healthz`."""

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


def _terms(announced: Iterable[RecordedEvent]) -> list[ScenePublished | PolicyPublished]:
    events = (entry.event for entry in announced)
    return [each for each in events if isinstance(each, ScenePublished | PolicyPublished)]


def _same_terms(
    terms: Iterable[ScenePublished | PolicyPublished],
    scenes: Mapping[str, Scene],
    rules: CedarPolicy,
) -> None:
    ours, active = _digests(scenes, rules), _active(terms)
    if other := sorted(name for name in ours if active.get(name) != ours[name]):
        raise OtherTermsError(
            f"the ledger names other contracts or policy as active for {', '.join(other)}: "
            "start `sovereign serve` of this version once, or install the version it ran"
        )


def _digests(scenes: Mapping[str, Scene], rules: CedarPolicy) -> dict[str, str]:
    return {name: scene.digest for name, scene in scenes.items()} | {POLICY: rules.digest}


def _active(terms: Iterable[ScenePublished | PolicyPublished]) -> dict[str, str]:
    """The latest announced digest of each scene and of the policy."""
    return {e.scene if isinstance(e, ScenePublished) else POLICY: e.digest for e in terms}


def _open_read_log(home: Path, origin: str) -> Log:
    instance = f"reads-{instance_name()}"
    name = f"{origin.rsplit('/', 1)[0]}/{instance}"
    signer = signed_note.generate(name)
    folder = home / "reads" / instance
    folder.mkdir(parents=True)
    log = Log.open(folder / LOG, name, signer)
    atomic_file.write(home / "keys" / f"{instance}.vkey", f"{signer.verifier}\n".encode())
    atomic_file.write(folder / OPENING, f"{name}\n{signer.verifier}\n".encode())
    return log


def _wait(home: Path, reads: Log, wait_s: float) -> None:
    """Wait until the ledger announces the read log. Raises NotAnnouncedError."""
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
    """Reads the epoch if the writer publishes it; None: ask the database, which is slower."""
    epoch = Epoch(home / EPOCH)
    return epoch.size if epoch.size() >= Follower(home).size else None
