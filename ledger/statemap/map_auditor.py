"""Audit a state log beside its consent log: every map root is of a beginning of that log.

The state log's entries name sizes that grow, so one pass over the consent log's leaf hashes meets
them all: a frontier and one tile are held, however long the logs are. See specs/audit.md, A10.
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
from ledger.tlog.tiles import WIDTH


@dataclass(frozen=True, slots=True)
class Consent:
    """Where the consent log is read, and who must have signed it."""

    source: LogSource
    trust: Demand

    def walk(self, since: int) -> "_Walk":
        """From the checkpoint shown now and `since` entries on. Raises ValueError if untrusted."""
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
) -> AuditReport:
    """Audit the state log as `audit.audit` does, and each new entry against the consent log.

    Raises ValueError if `seen` is not signed as `trust` demands.
    """
    judge = _Judge(consent, _last(source, trust, seen) if seen else -1)
    report = auditor.audit(source, trust, seen, judge, progress)
    wrong = [] if judge.walk is None else judge.walk.wrong()
    return replace(report, findings=(*report.findings, *wrong), note=seen if wrong else report.note)


def _last(source: LogSource, trust: Demand, seen: str) -> int:
    """The size that the last entry under the note `seen` names; -1 if it cannot be shown.

    What is wrong with the tiles then is for the audit to find. Raises ValueError.
    """
    before = trust.require(signed_note.parse(seen))
    files, index = LogFiles(source, before.size), before.size - 1
    try:
        entry = files.entries(index // WIDTH)[index % WIDTH]
        path = merkle.prove_inclusion(index, before.size, files.nodes())
        merkle.verify_inclusion(merkle.leaf_hash(entry), index, before.size, before.root, path)
        return map_proof.newest([entry]).size
    except (UnreadableError, ProofError):
        return -1


@dataclass(slots=True)
class _Judge:
    """The consent log is read after the state log's checkpoint, so it is never behind honestly."""

    consent: Consent
    last: int  # what the entry before named as its size
    walk: "_Walk | None" = None

    def __call__(self, entry: bytes) -> str | None:
        try:
            said = map_proof.entry(json.loads(entry))
            if bytes(said) != entry:
                return "not in its canonical form"
            if self.walk is None:
                self.walk = self.consent.walk(said.size)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return f"not checked: {error}"
        return self._wrong(said, self.walk)

    def _wrong(self, said: StateRoot, walk: "_Walk") -> str | None:
        if said.size <= self.last:
            return f"of {said.size} entries, the one before of {self.last}: it must grow"
        self.last = said.size
        if said.size > walk.head.size:
            return f"of {said.size} entries, the consent log shows {walk.head.size}"
        if walk.root(said.size) != said.root:
            return f"the consent log has another root at {said.size} entries"
        return None


@dataclass(slots=True)
class _Walk:
    files: LogFiles
    head: Checkpoint
    shown: str
    frontier: Frontier
    kept: tuple[int, list[Hash]] = field(default=(-1, []))

    def root(self, size: int) -> Hash:
        """The root of the first `size` entries; sizes grow. Raises UnreadableError."""
        while (at := self.frontier.size) < size:
            n = at // WIDTH
            self.frontier.append(self._tile(n)[at - n * WIDTH : size - n * WIDTH])
        return self.frontier.root()

    def wrong(self) -> list[AuditFinding]:
        """That the leaves which were read are not those of the signed root."""
        if self.root(self.head.size) == self.head.root:
            return []
        said = "the consent log's tiles are not of its root: audit it by itself"
        return [AuditFinding(FindingKind.WRONG_ROOT, said, {"shown": self.shown})]

    def _tile(self, n: int) -> list[Hash]:
        if self.kept[0] != n:
            self.kept = n, self.files.hashes(0, n)
        return self.kept[1]
