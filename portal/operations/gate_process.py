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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from gate.changes.feed import ChangeFeed, FeedPausedError
from gate.contracts.scene import Scene
from gate.http.policy_questions import suspended
from gate.http.serving.latency import App
from gate.policy import decisions
from gate.policy.cedar import CedarPolicy
from gate.readlog import new_log
from gate.readlog.new_log import NewReadLog
from gate.readlog.rotation import ReadLogRotation
from gate.readlog.writer import Journal
from gate.reads.point import Gate
from gate.state import snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.ledger_position import Epoch, RemoteEpoch
from ledger import clock
from ledger.events.envelope import PolicyPublished, ReadLogClosed, ReadLogOpened, ScenePublished
from ledger.follower import Follower
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from ledger.storage import database
from ledger.storage.postgres import PostgresHead
from ledger.storage.sqlite import LEDGER
from ledger.tlog import atomic_file, signed_note
from ledger.tlog.writer import Log
from portal.operations import company_folder, job_results
from portal.operations.open_ledger import EPOCH
from portal.operations.settings import Settings
from portal.operations.wiring import (
    SECRET,
    SNAPSHOT,
    build_gate,
    releases,
    require_usable,
    rotation_limits,
    secret,
    sound_source,
)

_LOG = logging.getLogger("gate")

OPENING = "opening"
POLICY = "policy"  # no scene has this name
POLL_S, LOOK_S = 0.1, 2.0
SNAPSHOT_S = 15.0
MAX_READ = 10_000  # entries that are read instead of waiting: it takes half a second
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
    follower: Follower
    scenes: Mapping[str, Scene]
    settings: Settings
    changes: ChangeFeed

    @property
    def reads(self) -> Log:
        """The read log that this process writes now."""
        return self.gate.journal.log


def open_gate(settings: Settings, *, wait_s: float) -> Standalone:
    """Open a gate over `settings.data_dir`, and wait for its read log to be announced.

    Raises SettingError, SourceUnavailableError, NotAnnouncedError, OtherTermsError, and what its
    parts raise.
    """
    home = settings.data_dir
    settings, company = company_folder.configured(settings)
    source, scenes = company.source, company.scenes
    require_usable(settings, scenes)
    rules = company_folder.policy(company)
    follower = Follower(home, _moved(home))
    _same_terms(_terms(follower.announced()), scenes, rules)
    before = follower.size  # nobody can announce the read log in these entries
    new = _ask_for_read_log(home, settings.origin)
    _wait(follower, new.log, before, wait_s)
    clock.begin(home, job_results.last_used(home))
    rows = sound_source(settings, source)
    state = _snapshot(home, scenes, follower)
    journal = Journal(new.log, follower, new.reads)
    gate = build_gate(settings, follower, company, rules, journal, rows=rows, state=state)
    decisions.activate(gate.options.decisions, home)
    own = Follower(home, _moved(home))
    feed = ChangeFeed(gate, own, home, secret(home / SECRET), clock.now())
    return Standalone(gate, follower, scenes, settings, feed)


def _snapshot(home: Path, scenes: Mapping[str, Scene], follower: Follower) -> ConsentIndex | None:
    """The state that the portal last wrote.

    An erasure removes it, and a job of the portal writes another within seconds. It is waited for,
    because reading a large ledger instead takes minutes. None if none came, or the ledger is small.
    """
    until = time.monotonic() + SNAPSHOT_S
    while (state := snapshot.load(home / SNAPSHOT, scenes, follower)) is None:
        if follower.size <= MAX_READ or time.monotonic() > until:
            return None
        time.sleep(POLL_S)
    return state


class LedgerWatch:
    """Applies to a running gate what the ledger announces later, and begins its next read log.

    New releases are served. A scene whose contract or policy changed is suspended until the gate
    restarts. Every scene is, if the gate's read log was closed.
    """

    def __init__(self, alone: Standalone, home: Path) -> None:
        self._gate, self._changes = alone.gate, alone.changes
        self._ours = _digests(alone.scenes, alone.gate.policy)
        self._home, self._consent = home, alone.settings.origin
        self._ledger = Follower(home)
        self._seen = 0
        self._over = Event()
        self._next: NewReadLog | None = None  # not announced yet
        self._rotation = ReadLogRotation(
            alone.gate,
            alone.follower,
            self._announced,
            rotation_limits(alone.settings),
            clock.now(),
        )
        self.look()

    def look(self) -> None:
        """Apply what was announced since the last look."""
        announced = [*self._ledger.announced(self._seen)]
        closed = (each.event for each in announced if isinstance(each.event, ReadLogClosed))
        if self._gate.journal.log.origin in {each.origin for each in closed}:
            self._stop()
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
        failed = ""
        while not self._over.wait(LOOK_S):
            try:
                self.look()
                self._rotation.look(clock.now())
                with suppress(FeedPausedError):  # a poll says so
                    self._changes.advance(clock.now())
            except Exception as error:  # noqa: BLE001 - the next look tries again
                kind = type(error).__name__  # its message may quote a customer's value
                if kind != failed:  # log the same failure once; decisions fail closed
                    _LOG.warning(
                        "cannot follow the ledger (%s); announced changes are not applied until it"
                        " can",
                        kind,
                    )
                failed = kind
            else:
                failed = ""

    def _announced(self) -> NewReadLog | None:
        """The next read log, once the ledger's writer has announced it."""
        if self._next is None:
            self._next = _ask_for_read_log(self._home, self._consent)
        if (self._next.reads.folder / OPENING).exists():
            return None  # it removes the request after it announced the log
        new, self._next = self._next, None
        return new

    def _stop(self) -> None:
        """Answer nothing more: the writer took this process for ended, and closed its read log."""
        name = self._gate.journal.log.origin
        if self._gate.suspended != {*self._gate.scenes}:
            _LOG.error("%s was closed, so nothing more is answered: restart the gate", name)
        for scene in {*self._gate.scenes} - self._gate.suspended:
            self._gate.suspend(scene)

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

    def __init__(self, gate: Gate, app: App) -> None:
        self._gate, self._app = gate, app

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != HEALTH:
            await self._app(scope, receive, send)
            return
        stopped = suspended(self._gate)
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


def _ask_for_read_log(home: Path, origin: str) -> NewReadLog:
    """A read log, and the request to announce it."""
    new = new_log.begin(home, origin)
    atomic_file.write(new.reads.folder / OPENING, f"{new.log.origin}\n{new.vkey}\n".encode())
    return new


def _wait(follower: Follower, reads: Log, seen: int, wait_s: float) -> None:
    """Wait until an entry from `seen` on announces the read log. Raises NotAnnouncedError."""
    until = time.monotonic() + wait_s
    while True:
        for entry in follower.announced(seen):
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
    """Reads how many entries are published, at every decision.

    On SQLite it is the epoch, if the writer publishes it; None: ask the database, which is slower.
    On PostgreSQL it is the database, because the writer may be on another host.
    """
    if (url := database.of(home).address(LEDGER)) is not None:
        head = PostgresHead(url.render_as_string(hide_password=False), LEDGER.name)
        return RemoteEpoch(head.size).size
    epoch = Epoch(home / EPOCH)
    return epoch.size if epoch.size() >= Follower(home).size else None
