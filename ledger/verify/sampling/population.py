"""The entries that a sample is drawn from, by published files alone.

They are those of the period in every read log that the consent log had anchored under the
checkpoint of the draw: so they were fixed before anybody could know which of them are drawn. They
count in the order in which their logs were opened. Entries about no customer's data are not among
them.
"""

from array import array
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ledger.tlog import auditor, policy, tiles
from ledger.tlog.auditor import KeyDemand, PolicyDemand
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import DirectorySource, UnreadableError
from ledger.tlog.merkle import EMPTY_ROOT, Hash, leaf_hash
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.tlog.signed_note import NoteError
from ledger.vault import commitments
from ledger.verify import read_log_entry
from ledger.verify.announced_read_logs import UnsoundLogError, require_sound
from ledger.verify.event_profile import require_event
from ledger.verify.read_log_entry import EntryError
from ledger.verify.read_log_rules import ANCHORED, CLOSED, OPENED
from ledger.verify.sampling.challenge import (
    ChallengeError,
    ChallengeRequest,
    DrawnEntry,
    SampleChallenge,
    draw,
    seed,
)
from ledger.verify.times.attested import FORMAT, of_note
from ledger.verify.times.from_log import moment
from ledger.witness import cosigned_history
from ledger.witness.cosigned_history import MalformedHistoryError

CONSENT = Path("log") / "consent"
_ERASURES = frozenset({"subject-erased", "entry-erased"})


@dataclass(frozen=True, slots=True)
class PublicAct:
    """A public act of the consent log, and the entry that it is."""

    index: int
    event: dict[str, Any]


@dataclass(slots=True)
class ConsentActs:
    """The public acts of a consent log that is what its keys signed."""

    folder: Path
    head: Checkpoint
    wanted: frozenset[int]
    acts: list[PublicAct] = field(default_factory=list)
    roots: dict[int, Hash] = field(default_factory=dict)
    _frontier: Frontier = field(default_factory=Frontier)

    @classmethod
    def read(cls, folder: Path, trust: LogPolicy, wanted: frozenset[int]) -> "ConsentActs":
        """Audit the log; `wanted`: sizes whose roots are noted. Raises UnsoundLogError,
        UnreadableError."""
        found = cls(folder, Checkpoint("", 0, EMPTY_ROOT), wanted)
        found.roots[0] = EMPTY_ROOT
        report = auditor.audit(
            DirectorySource(folder), PolicyDemand(trust), check_entry=found._check
        )
        require_sound(report)
        if report.head is not None:
            found.head = report.head
        return found

    def entry(self, index: int) -> bytes:
        """One entry of the log, which was audited."""
        return entry_of(self.folder, index, self.head.size)

    def erased_after(self, size: int) -> bool:
        """Whether the log announces an erasure at entry `size` or later."""
        return any(e.index >= size and e.event["type"] in _ERASURES for e in self.acts)

    def _check(self, entry: bytes) -> str | None:
        index = self._frontier.size
        self._frontier.append([leaf_hash(entry)])
        if self._frontier.size in self.wanted:
            self.roots[self._frontier.size] = self._frontier.root()
        if entry.startswith(commitments.PUBLIC):
            try:
                event = commitments.parse(entry[len(commitments.PUBLIC) :])
                require_event(event)
                self.acts.append(PublicAct(index, event))
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                return f"not a public act: {error}"
        return None


def entry_of(folder: Path, index: int, size: int) -> bytes:
    """Entry `index` of a tile directory whose checkpoint is of `size` entries and was audited."""
    bundle, at = divmod(index, tiles.WIDTH)
    source, width = DirectorySource(folder), min(tiles.WIDTH, size - bundle * tiles.WIDTH)
    return tiles.unbundle(source.read(tiles.path("entries", bundle, width)))[at]


@dataclass(frozen=True, slots=True)
class ReadLogPart:
    """A read log up to its last anchor under the checkpoint; `within`: entries of the period."""

    origin: str
    folder: Path
    size: int  # of its checkpoint, which was audited
    within: Sequence[int]

    def leaf(self, index: int) -> bytes:
        return entry_of(self.folder, index, self.size)


@dataclass(frozen=True, slots=True)
class SamplePopulation:
    """All entries that may be drawn, and the challenge that was."""

    consent: ConsentActs
    parts: dict[str, ReadLogPart]  # by origin
    challenge: SampleChallenge


def drawn(home: Path, trust: LogPolicy, request: ChallengeRequest) -> SamplePopulation:
    """Draw the entries that a request asks for.

    Raises ChallengeError if nothing can be drawn, UnsoundLogError for a log that is not what its
    keys signed, and UnreadableError.
    """
    head = _checkpoint_after(home / CONSENT, trust, request.handed_over)
    consent = ConsentActs.read(home / CONSENT, trust, frozenset({head.size}))
    if head.size > consent.head.size:
        why = f"{consent.head.size} entries are published here, and witnesses saw {head.size}"
        raise UnreadableError(f"{CONSENT}/checkpoint", f"{why}: copy the log again, later")
    if consent.head.origin != head.origin or consent.roots.get(head.size) != head.root:
        raise UnsoundLogError(f"split-view: witnesses saw another root of {head.size} entries")
    parts = _parts(home, consent, head.size, (request.since, request.until))
    entries = [(part, index) for part in parts for index in part.within]
    numbers = draw(seed(request.nonce, head), len(entries), request.sample) if entries else []
    chosen = tuple(DrawnEntry(entries[n][0].origin, entries[n][1]) for n in numbers)
    challenge = SampleChallenge(request, head, len(entries), chosen)
    return SamplePopulation(consent, {part.origin: part for part in parts}, challenge)


def _checkpoint_after(folder: Path, trust: LogPolicy, at: datetime) -> Checkpoint:
    """The first checkpoint with more entries than any before that witnesses saw after `at`."""
    known = 0
    try:
        for note in cosigned_history.read(folder):
            if (seen := of_note(trust, note)) is None:
                raise ChallengeError("the policy asks for no witness: nobody else fixes the draw")
            if seen.by > at and seen.head.size > known:
                return seen.head
            known = max(known, seen.head.size)
    except (MalformedHistoryError, LogPolicyError, MalformedCheckpointError) as error:
        raise UnsoundLogError(f"{cosigned_history.FOLDER}: {error}") from error
    raise ChallengeError(
        f"witnesses saw no new checkpoint after {at:{FORMAT}} yet: draw again when they have"
    )


def _parts(
    home: Path, consent: ConsentActs, size: int, period: tuple[datetime, datetime]
) -> list[ReadLogPart]:
    anchored: dict[str, dict[int, Hash]] = {}
    keys: dict[str, str] = {}
    for act in consent.acts:
        event = act.event
        if act.index >= size:
            break
        if event["type"] == OPENED:
            keys.setdefault(event["origin"], event["key"])
            anchored.setdefault(event["origin"], {})
        elif event["type"] in {ANCHORED, CLOSED} and event["size"]:
            root = b64decode(event["root"], validate=True)
            anchored.setdefault(event["origin"], {})[event["size"]] = root
    removed = {e.event["origin"] for e in consent.acts if e.event["type"] == "read-log-removed"}
    return [
        _part(home / "log" / origin.rsplit("/", 1)[-1], origin, keys[origin], anchors, period)
        for origin, anchors in anchored.items()
        if anchors and origin in keys and origin not in removed
    ]


def _part(
    folder: Path, origin: str, key: str, anchors: dict[int, Hash], period: tuple[datetime, datetime]
) -> ReadLogPart:
    walk = _Walk(*period, anchors, max(anchors))
    try:
        trust = KeyDemand([policy.log_key(key)])
    except NoteError as error:
        raise UnsoundLogError(f"{origin}: the key that was announced: {error}") from error
    report = auditor.audit(DirectorySource(folder), trust, check_entry=walk.check)
    require_sound(report)
    head = report.head
    if head is None or head.origin != origin or head.size < walk.upto:
        shown = "none" if head is None else f"{head.size} of {head.origin}"
        raise UnsoundLogError(f"{origin} has {walk.upto} anchored entries, {folder.name}: {shown}")
    return ReadLogPart(origin, folder, head.size, walk.within)


@dataclass(slots=True)
class _Walk:
    """One pass over one read log."""

    since: datetime
    until: datetime
    anchors: dict[int, Hash]
    upto: int
    within: "array[int]" = field(default_factory=lambda: array("Q"))
    _frontier: Frontier = field(default_factory=Frontier)

    def check(self, leaf: bytes) -> str | None:
        index = self._frontier.size
        self._frontier.append([leaf_hash(leaf)])
        root = self.anchors.get(self._frontier.size)
        if root is not None and root != self._frontier.root():
            return f"the consent log anchored another root for the first {self._frontier.size}"
        if index >= self.upto:
            return None
        try:
            entry = read_log_entry.parse(leaf)
        except EntryError as error:
            return str(error)
        at = moment(entry["at"])
        if self.since <= at < self.until and entry["action"] != read_log_entry.POLICY:
            self.within.append(index)
        return None
