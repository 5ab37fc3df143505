"""Follow a log as somebody who trusts nobody: read what is new, and keep the evidence.

An audit starts from the checkpoint it saw last. It proves that the new one extends it, hashes
every new entry up to the new root, and compares the published tiles on the way. It holds the
frontier of the tree and one bundle at a time: memory does not grow with the log. What it finds
comes with the raw notes, so that anybody can check the finding: specs/audit.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ledger.tlog import checkpoint, merkle, signed_note, tiles
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.compact_range import Frontier
from ledger.tlog.cosignature import CosignatureError, WitnessKey
from ledger.tlog.fetcher import LogFiles, LogSource, UnreadableError
from ledger.tlog.merkle import Hash
from ledger.tlog.policy import LogPolicy
from ledger.tlog.signed_note import Note, NoteError, Verifying
from ledger.tlog.tiles import HEIGHT, WIDTH

MOST_FINDINGS = 100  # of one audit; a log that is all wrong needs no longer list


class FindingKind(StrEnum):
    UNREADABLE = "unreadable"
    UNTRUSTED = "untrusted"
    OTHER_LOG = "other-log"
    ROLLED_BACK = "rolled-back"
    SPLIT_VIEW = "split-view"
    WRONG_ROOT = "wrong-root"
    WRONG_TILE = "wrong-tile"
    MALFORMED_ENTRY = "malformed-entry"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """What is wrong, where, and the raw bytes that show it: name -> text."""

    kind: FindingKind
    message: str
    evidence: dict[str, str] = field(default_factory=dict)


class Demand(Protocol):
    def require(self, signed: Note) -> Checkpoint:
        """The checkpoint in a note that is signed as demanded. Raises ValueError."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyDemand:
    """Whoever a tlog-policy says must have signed."""

    policy: LogPolicy

    def require(self, signed: Note) -> Checkpoint:
        return self.policy.verify(signed)


@dataclass(frozen=True, slots=True)
class KeyDemand:
    """Who must have signed: every log key, and at least `quorum` of the witnesses."""

    keys: Sequence[Verifying]
    witnesses: Sequence[WitnessKey] = ()
    quorum: int = 0

    def require(self, signed: Note) -> Checkpoint:
        """The checkpoint in a note that is signed as demanded. Raises ValueError."""
        signed_note.verify(signed, self.keys)
        head = checkpoint.parse(signed.text)
        if any(key.name != head.origin for key in self.keys):
            raise NoteError(f"a checkpoint of {head.origin}, want one of {self.keys[0].name}")
        found = sum(_has_cosigned(witness, signed) for witness in self.witnesses)
        if found < self.quorum:
            raise NoteError(f"{found} witnesses have cosigned, want {self.quorum}")
        return head


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The outcome; `note` is the checkpoint to start from next time, None while none is trusted."""

    findings: tuple[AuditFinding, ...]
    note: str | None
    head: Checkpoint | None
    read: int  # entries that were read

    @property
    def clean(self) -> bool:
        return not self.findings


Judge = Callable[[bytes], str | None]  # an entry -> what is wrong with it
Progress = Callable[[int, int], None]  # (entries done, entries in all)


def audit(
    source: LogSource,
    trust: Demand,
    seen: str | None = None,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit the log from the note `seen` (None: from its beginning) to its newest checkpoint.

    Raises ValueError if `seen` itself is not signed as `trust` demands.
    """
    before = (
        trust.require(signed_note.parse(seen)) if seen else Checkpoint("", 0, merkle.EMPTY_ROOT)
    )
    try:
        shown = source.read("checkpoint").decode()
        head = trust.require(signed_note.parse(shown))
    except UnreadableError as error:
        return AuditReport((AuditFinding(FindingKind.UNREADABLE, str(error)),), seen, None, 0)
    except ValueError as error:
        return AuditReport((_untrusted(source, error),), seen, None, 0)
    notes = {"seen": seen, "shown": shown} if seen else {"shown": shown}
    if contradiction := _contradiction(before, head, notes):
        return AuditReport((contradiction,), seen, head, 0)
    walk = _Walk(LogFiles(source, head.size), head, notes, judge, progress)
    findings = walk.findings(before)
    return AuditReport(findings, seen if findings else shown, head, walk.read)


@dataclass(slots=True)
class _Walk:
    """One pass over the entries that are new."""

    files: LogFiles
    head: Checkpoint
    notes: dict[str, str]
    judge: Judge | None
    progress: Progress | None
    read: int = 0
    kept: tuple[tuple[int, int], list[Hash]] | None = None

    def findings(self, before: Checkpoint) -> tuple[AuditFinding, ...]:
        found: list[AuditFinding] = []
        for finding in self._all(before):
            if finding not in found:
                found.append(finding)
            if len(found) == MOST_FINDINGS:
                break
        return tuple(found)

    def _all(self, before: Checkpoint) -> Iterator[AuditFinding]:
        try:
            nodes = self.files.nodes()
            frontier = Frontier.of(before.size, nodes)
            if frontier.root() != before.root:
                whole = Frontier.of(self.head.size, nodes)
                yield self._split(before) if whole.root() == self.head.root else self._tiles(before)
                return
            yield from self._entries(frontier)
            if frontier.root() != self.head.root:
                yield self._wrong_root(before, frontier)
            yield from self._upper_tiles(before.size)
        except UnreadableError as error:
            yield AuditFinding(FindingKind.UNREADABLE, str(error), self.notes)

    def _entries(self, frontier: Frontier) -> Iterator[AuditFinding]:
        """Append every new entry to the frontier; what is wrong with single ones comes out."""
        for n in range(frontier.size // WIDTH, -(-self.head.size // WIDTH)):
            skipped = frontier.size - n * WIDTH
            entries = self.files.entries(n)
            hashes = merkle.leaf_hashes(entries)
            if skipped or len(hashes) < WIDTH:
                frontier.append(hashes[skipped:])
            else:
                frontier.append_tile(hashes)
            self.read += len(entries) - skipped
            if self.files.hashes(0, n) != hashes:
                yield self._wrong_tile(0, n)
            yield from self._judged(n * WIDTH + skipped, entries[skipped:])
            if self.progress:
                self.progress(frontier.size, self.head.size)

    def _upper_tiles(self, since: int) -> Iterator[AuditFinding]:
        """New tiles up to the root: full ones against the tile above, then all partial ones."""
        for level in tiles.levels(self.head.size):
            span = HEIGHT * (level + 1)
            for n in range(since >> span, self.head.size >> span):
                found = merkle.complete_root(self.files.hashes(level, n))
                if self._kept(level + 1, n // WIDTH)[n % WIDTH] != found:
                    yield self._wrong_tile(level + 1, n // WIDTH)
        if Frontier.of(self.head.size, self.files.nodes()).root() != self.head.root:
            yield AuditFinding(
                FindingKind.WRONG_TILE, "the partial tiles are not of the root", self.notes
            )

    def _kept(self, level: int, n: int) -> list[Hash]:
        """A tile, kept until another one is wanted."""
        if self.kept is None or self.kept[0] != (level, n):
            self.kept = (level, n), self.files.hashes(level, n)
        return self.kept[1]

    def _wrong_tile(self, level: int, n: int) -> AuditFinding:
        said = f"tile {level}/{n} is not of what is below it"
        return AuditFinding(FindingKind.WRONG_TILE, said, self.notes)

    def _judged(self, first: int, entries: list[bytes]) -> Iterator[AuditFinding]:
        if self.judge is None:
            return
        for index, entry in enumerate(entries, start=first):
            if wrong := self.judge(entry):
                evidence = {**self.notes, "entry": entry.hex()}
                yield AuditFinding(FindingKind.MALFORMED_ENTRY, f"entry {index}: {wrong}", evidence)

    def _split(self, before: Checkpoint) -> AuditFinding:
        return AuditFinding(
            FindingKind.SPLIT_VIEW,
            f"the log signed two histories: its first {before.size} entries now have another root",
            self.notes,
        )

    def _tiles(self, before: Checkpoint) -> AuditFinding:
        """Tiles are not signed: as long as they lead nowhere, they accuse nobody but themselves."""
        return AuditFinding(
            FindingKind.WRONG_TILE,
            f"the tiles lead neither to the root at {before.size} nor to that at {self.head.size}: "
            "fetch them again, or audit from the beginning",
            self.notes,
        )

    def _wrong_root(self, before: Checkpoint, frontier: Frontier) -> AuditFinding:
        return AuditFinding(
            FindingKind.WRONG_ROOT,
            f"entries [{before.size}, {self.head.size}) lead to the root {frontier.root().hex()}, "
            f"the log signed {self.head.root.hex()}",
            self.notes,
        )


def _contradiction(
    before: Checkpoint, head: Checkpoint, notes: dict[str, str]
) -> AuditFinding | None:
    """What two checkpoints show without anything else."""
    if before.origin and before.origin != head.origin:
        said = f"the log calls itself {head.origin}, it was {before.origin}"
        return AuditFinding(FindingKind.OTHER_LOG, said, notes)
    if head.size < before.size:
        said = f"the log shows {head.size} entries and has signed {before.size} before"
        return AuditFinding(FindingKind.ROLLED_BACK, said, notes)
    if head.size == before.size and head.root != before.root:
        said = f"the log signed two roots of {head.size} entries"
        return AuditFinding(FindingKind.SPLIT_VIEW, said, notes)
    return None


def _untrusted(source: LogSource, error: ValueError) -> AuditFinding:
    shown = source.read("checkpoint").decode(errors="backslashreplace")
    return AuditFinding(FindingKind.UNTRUSTED, str(error), {"shown": shown})


def _has_cosigned(witness: WitnessKey, signed: Note) -> bool:
    try:
        witness.verify(signed)
    except CosignatureError:
        return False
    return True
