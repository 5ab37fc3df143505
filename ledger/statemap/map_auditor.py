"""Audit a state log against its consent log.

Each entry of the state log names a size of the consent log and the root at that size. The sizes
grow, so one pass over the consent log's leaf hashes can compute and compare every root; a frontier
and one tile are in memory, however large the logs are. See specs/audit.md, A10 and A11.
"""

import json
from dataclasses import dataclass, field, replace

from ledger.statemap import map_proof
from ledger.statemap.map_proof import StateRoot
from ledger.tlog import auditor, merkle, signed_note
from ledger.tlog.auditor import AuditFinding, AuditReport, Demand, FindingKind, Progress
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.compact_range import Frontier
from ledger.tlog.fetcher import LogFiles, LogSource, UnreadableError
from ledger.tlog.merkle import Hash, ProofError
from ledger.tlog.policy import MapKey
from ledger.tlog.tiles import WIDTH


@dataclass(frozen=True, slots=True)
class Consent:
    """The consent log of an audit: where to read it, and which signatures it must have."""

    source: LogSource
    trust: Demand

    def walk(self, since: int) -> "_Walk":
        """A pass over the log from `since` entries on. Raises ValueError if it is not trusted."""
        shown = self.source.read("checkpoint").decode()
        head = self.trust.require(signed_note.parse(shown))
        files = LogFiles(self.source, head.size)
        return _Walk(files, head, shown, Frontier.of(min(since, head.size), files.nodes()))


def audit_states(
    source: LogSource,
    trust: Demand,
    consent: Consent,
    seen: str | None = None,
    progress: Progress | None = None,
    trusted: MapKey | None = None,
) -> AuditReport:
    """Audit the state log as `auditor.audit` does, and each new entry against the consent log.

    `trusted`: the key of the map's labels that the entries must name; None: the first that one of
    them names. Raises ValueError if `seen` does not have the signatures that `trust` requires.
    """
    before, size = _last(source, trust, seen) if seen else (None, 0)
    check_entry = _StateEntryCheck(consent, before, size, trusted)
    report = auditor.audit(source, trust, seen, check_entry, progress)
    wrong = [] if check_entry.walk is None else check_entry.walk.wrong()
    return replace(report, findings=(*report.findings, *wrong), note=seen if wrong else report.note)


def _last(source: LogSource, trust: Demand, seen: str) -> tuple[StateRoot | None, int]:
    """The last entry under the note `seen`, None if it cannot be proven; the number of entries.

    Then the audit finds what is wrong with the tiles. Raises ValueError.
    """
    before = trust.require(signed_note.parse(seen))
    files, index = LogFiles(source, before.size), before.size - 1
    try:
        entry = files.entries(index // WIDTH)[index % WIDTH]
        path = merkle.prove_inclusion(index, before.size, files.nodes())
        merkle.verify_inclusion(merkle.leaf_hash(entry), index, before.size, before.root, path)
        return map_proof.newest([entry]), before.size
    except (UnreadableError, ProofError):
        return None, before.size


@dataclass(slots=True)
class _StateEntryCheck:
    """Checks each entry of a state log against the consent log.

    The consent log is read after the state log's checkpoint, so an honest one is never behind.
    """

    consent: Consent
    last: StateRoot | None  # the previous entry
    number: int  # of the next entry
    trusted: MapKey | None
    walk: "_Walk | None" = None

    def __call__(self, entry: bytes) -> str | None:
        try:
            entry_root = map_proof.entry(json.loads(entry))
            if bytes(entry_root) != entry:
                return "not in canonical form"
            if self.walk is None:
                self.walk = self.consent.walk(entry_root.size)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return f"not checked: {error}"
        number, self.number = self.number, self.number + 1
        return self._wrong_key(entry_root, number) or self._wrong(entry_root, self.walk)

    def _wrong_key(self, entry: StateRoot, number: int) -> str | None:
        """The key of the labels is never exchanged, and never left out once it was named."""
        named, wanted = entry.vrf, self.last.vrf if self.last else None
        if self.trusted is not None and number >= self.trusted.since:
            wanted = self.trusted.public
        if wanted is not None and named != wanted:
            return (
                f"it names the key of the map's labels {named.hex() if named else 'none'}, want "
                f"{wanted.hex()}: a customer may have two histories"
            )
        if named is not None and self.trusted is not None and number < self.trusted.since:
            return (
                f"it names a key of the map's labels, the policy wants none before entry {number}"
            )
        return None

    def _wrong(self, entry: StateRoot, walk: "_Walk") -> str | None:
        last, binds = self.last, entry.vrf is not None
        if last is not None and entry.size < last.size + (not binds or last.vrf is not None):
            return f"it names size {entry.size}, not larger than the previous entry's {last.size}"
        self.last = entry
        if entry.size > walk.head.size:
            return f"it names size {entry.size}, the consent log has {walk.head.size} entries"
        if walk.root(entry.size) != entry.root:
            return (
                f"it names the root {entry.root.hex()} at size {entry.size}, the consent log has "
                f"{walk.root(entry.size).hex()}"
            )
        return None


@dataclass(slots=True)
class _Walk:
    files: LogFiles
    head: Checkpoint
    shown: str
    frontier: Frontier
    cached_tile: tuple[int, list[Hash]] = field(default=(-1, []))

    def root(self, size: int) -> Hash:
        """The root of the first `size` entries. Calls must have growing sizes.

        Raises UnreadableError.
        """
        while (at := self.frontier.size) < size:
            n = at // WIDTH
            self.frontier.append(self._tile(n)[at - n * WIDTH : size - n * WIDTH])
        return self.frontier.root()

    def wrong(self) -> list[AuditFinding]:
        """A finding if the leaf hashes that were read do not have the signed root."""
        if self.root(self.head.size) == self.head.root:
            return []
        message = "the consent log's tiles do not hash to its signed root: audit the consent log"
        return [AuditFinding(FindingKind.WRONG_ROOT, message, {"shown": self.shown})]

    def _tile(self, n: int) -> list[Hash]:
        if self.cached_tile[0] != n:
            self.cached_tile = n, self.files.hashes(0, n)
        return self.cached_tile[1]
