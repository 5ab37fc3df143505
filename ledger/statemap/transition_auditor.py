"""Audit every transition of the map, with the records that the company gives to auditors.

One pass over the state log, the consent log and the records, all from their first entry on. The
whole map is in memory. What an auditor learns is in specs/statemap.md, "Transitions". What each
transition must be is in ledger.statemap.map_replay.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from ledger.statemap import map_proof, transition
from ledger.statemap.map_auditor import Consent
from ledger.statemap.map_proof import StateRoot
from ledger.statemap.map_replay import LogCounts, MapReplay
from ledger.statemap.transition import BASE, MalformedTransitionError
from ledger.tlog import merkle, signed_note
from ledger.tlog.auditor import MAX_FINDINGS, AuditFinding, FindingKind
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import LogFiles, LogSource, UnreadableError
from ledger.tlog.tiles import WIDTH
from ledger.vault import commitments
from ledger.vault.commitments import PERSONAL

Records = Iterable[tuple[int, bytes]]  # number of the entry, record

ERASED = "subject-erased"  # the act that lets a history begin again
TIMEOUT_S = 60


class EntryBundles(Protocol):
    def entries(self, n: int) -> list[bytes]:
        """The entries of a bundle. Raises UnreadableError."""
        ...


@dataclass(frozen=True, slots=True)
class TransitionReport:
    """The result. `since`: the first entry whose transition was checked; `checked`: how many."""

    findings: tuple[AuditFinding, ...]
    since: int
    checked: int

    def __str__(self) -> str:
        covers = f"{self.checked} checked, from entry {self.since} on"
        if not self.since:
            return covers
        return f"{covers}; the map of entry {self.since - 1} was taken as it was"


@dataclass(slots=True)
class CountedLog:
    """A pass over the entries of a log of which only the checkpoint is trusted."""

    files: EntryBundles
    head: Checkpoint
    counts: LogCounts = field(default_factory=LogCounts)
    _frontier: Frontier = field(default_factory=lambda: Frontier.of(0, _no_nodes))
    _bundle: tuple[int, list[bytes]] = field(default=(-1, []))

    @property
    def size(self) -> int:
        """How many entries were read."""
        return self._frontier.size

    def entries(self, upto: int) -> Iterator[bytes]:
        """The entries that follow, up to the first `upto`. Raises UnreadableError."""
        while (at := self._frontier.size) < upto:
            n = at // WIDTH
            if self._bundle[0] != n:
                self._bundle = n, self.files.entries(n)
            part = self._bundle[1][at - n * WIDTH : upto - n * WIDTH]
            self._frontier.append(merkle.leaf_hashes(part))
            yield from part

    def count(self, upto: int) -> LogCounts:
        """How many instructions and erasures the first `upto` entries have."""
        instructions, erasures = self.counts.instructions, self.counts.erasures
        for entry in self.entries(upto):
            instructions += entry[:1] == PERSONAL
            erasures += entry[:1] != PERSONAL and _is_erasure(entry)
        self.counts = LogCounts(instructions, erasures)
        return self.counts

    def is_signed(self) -> bool:
        """Whether the entries, all of which were read, have the signed root."""
        return self._frontier.root() == self.head.root


def audit_transitions(
    source: LogSource, head: Checkpoint, consent: Consent, place: str, token: str | None = None
) -> TransitionReport:
    """Audit the transitions in the file or at the address `place`, for the state log at `source`.

    `head`: the state log's audited checkpoint. `token`: what the company gave to the auditor. Who
    shows no transitions is found. Raises ValueError if the consent log is not trusted.
    """
    try:
        shown = consent.trust.require(signed_note.parse(consent.source.read("checkpoint").decode()))
        with closing(_opened(place, token)) as file:
            states = CountedLog(LogFiles(source, head.size), head)
            counted = CountedLog(LogFiles(consent.source, shown.size), shown)
            return audit(states, counted, transition.read(file))
    except UnreadableError as error:
        found = AuditFinding(FindingKind.UNREADABLE, str(error))
    except OSError as error:
        found = AuditFinding(FindingKind.WITHHELD, f"no transitions are shown: {error}")
    return TransitionReport((found,), 0, 0)


def audit(states: CountedLog, consent: CountedLog, records: Records) -> TransitionReport:
    """Audit the transitions of all entries. Both logs were audited under these checkpoints."""
    run = _TransitionAudit(states, consent, iter(records))
    try:
        run.read()
    except UnreadableError as error:
        run.find(FindingKind.UNREADABLE, str(error))
    except (MalformedTransitionError, OSError) as error:
        run.find(FindingKind.WITHHELD, f"the transitions cannot be read: {error}")
    return TransitionReport((*run.findings,), run.since, run.checked)


class _TransitionAudit:
    def __init__(
        self, states: CountedLog, consent: CountedLog, records: Iterator[tuple[int, bytes]]
    ) -> None:
        self.findings: list[AuditFinding] = []
        self.since = self.checked = 0
        self._states, self._consent = states, consent
        self._records = records
        self._next: tuple[int, bytes] | None = None
        self._replay = MapReplay()

    def read(self) -> None:
        self._advance()
        first, data = self._next or (0, b"")
        self.since = first + 1 if data[:1] == BASE else 0
        if self.since > self._states.head.size:
            last = f"the state log has {self._states.head.size} entries"
            self.find(FindingKind.WITHHELD, f"the transitions begin at entry {first}, {last}")
            return
        for index, entry in enumerate(self._states.entries(self._states.head.size)):
            if index < self.since - 1:
                continue
            if not self._is_right(index, entry) or len(self.findings) >= MAX_FINDINGS:
                return
        self._end()

    def find(self, kind: FindingKind, message: str) -> None:
        self.findings.append(AuditFinding(kind, message))

    def _is_right(self, index: int, data: bytes) -> bool:
        """Check one entry; whether the next can be checked."""
        try:
            entry = map_proof.entry(json.loads(data))
        except (ValueError, KeyError, TypeError, RecursionError):
            return False  # found by the audit of the state log
        if not self._consent.size <= entry.size <= self._consent.head.size:
            return False  # likewise
        counts = self._consent.count(entry.size)
        record = self._record(index)
        for each in self._wrong(index, entry, record, counts):
            self.find(FindingKind.WRONG_TRANSITION, f"entry {index}: {each}")
        self.checked += 1
        return self._replay.follows

    def _wrong(
        self, index: int, entry: StateRoot, record: bytes | None, counts: LogCounts
    ) -> list[str]:
        if index >= self.since:
            return self._replay.step(entry, record, counts)
        base = transition.parse(record or b"").base or {}
        wrong = self._replay.begin(entry, base, counts)
        return [wrong] if wrong else []

    def _record(self, index: int) -> bytes | None:
        if self._next is None or self._next[0] != index:
            return None
        record = self._next[1]
        self._advance()
        return record

    def _advance(self) -> None:
        self._next = next(self._records, None)

    def _end(self) -> None:
        """What is left of the records is of later entries than the audited ones."""
        list(self._consent.entries(self._consent.head.size))
        for name, log in (("state", self._states), ("consent", self._consent)):
            if not log.is_signed():
                what = f"the {name} log's entries do not hash to its signed root: audit that log"
                self.find(FindingKind.WRONG_ROOT, what)


def _opened(place: str, token: str | None) -> BinaryIO:
    if urlsplit(place).scheme not in ("http", "https"):
        return Path(place).open("rb")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = Request(place, headers=headers)  # noqa: S310 (http and https only, see above)
    answer: BinaryIO = urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    return answer


def _is_erasure(entry: bytes) -> bool:
    if not entry.startswith(commitments.PUBLIC):
        return False
    try:
        event = commitments.parse(entry[len(commitments.PUBLIC) :])
        same = commitments.PUBLIC + commitments.canonical(event) == entry
    except (ValueError, RecursionError):
        return False
    return same and isinstance(event, dict) and event.get("type") == ERASED


def _no_nodes(_level: int, _index: int) -> bytes:
    raise AssertionError("an empty tree has no nodes")
