"""Audit a published log without trusting its operator.

An audit starts from the checkpoint that the last one ended with. It proves that the new checkpoint
extends it, hashes every new entry up to the new root, and compares the published tiles. It keeps
only the frontier of the tree and one bundle in memory, however large the log. Findings carry the
signed notes, so that anybody can check them: specs/audit.md.
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

MAX_FINDINGS = 100  # per audit; a log that is wrong throughout needs no longer list


class FindingKind(StrEnum):
    UNREADABLE = "unreadable"
    UNTRUSTED = "untrusted"
    OTHER_LOG = "other-log"
    ROLLED_BACK = "rolled-back"
    SPLIT_VIEW = "split-view"
    WRONG_ROOT = "wrong-root"
    WRONG_TILE = "wrong-tile"
    MALFORMED_ENTRY = "malformed-entry"
    WRONG_TRANSITION = "wrong-transition"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """What is wrong and where; `evidence`: the signed notes or bytes that show it, by name."""

    kind: FindingKind
    message: str
    evidence: dict[str, str] = field(default_factory=dict)


class Demand(Protocol):
    """Which signatures a checkpoint must have to be trusted."""

    def require(self, signed: Note) -> Checkpoint:
        """The checkpoint of a note that has the required signatures. Raises ValueError."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyDemand:
    """Requires the signatures that a tlog-policy demands."""

    policy: LogPolicy

    def require(self, signed: Note) -> Checkpoint:
        return self.policy.verify(signed)


@dataclass(frozen=True, slots=True)
class KeyDemand:
    """Requires the signature of every log key and of at least `quorum` witnesses."""

    keys: Sequence[Verifying]
    witnesses: Sequence[WitnessKey] = ()
    quorum: int = 0

    def require(self, signed: Note) -> Checkpoint:
        """The checkpoint of a note that has the required signatures. Raises ValueError."""
        signed_note.verify(signed, self.keys)
        head = checkpoint.parse(signed.text)
        if any(key.name != head.origin for key in self.keys):
            raise NoteError(f"a checkpoint of {head.origin}, want one of {self.keys[0].name}")
        cosigned = sum(_has_cosigned(witness, signed) for witness in self.witnesses)
        if cosigned < self.quorum:
            raise NoteError(f"{cosigned} witnesses have cosigned, want {self.quorum}")
        return head


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result. `note`: the checkpoint to start the next audit from; None if none is trusted."""

    findings: tuple[AuditFinding, ...]
    note: str | None
    head: Checkpoint | None
    read: int  # number of entries that were read

    @property
    def clean(self) -> bool:
        return not self.findings


EntryCheck = Callable[[bytes], str | None]  # entry -> what is wrong with it, or None
Progress = Callable[[int, int], None]  # (entries done, entries in total)


def audit(
    source: LogSource,
    trust: Demand,
    seen: str | None = None,
    check_entry: EntryCheck | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit the log from the note `seen` (None: from the first entry) to its newest checkpoint.

    Raises ValueError if `seen` itself does not have the signatures that `trust` requires.
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
    walk = _Walk(LogFiles(source, head.size), head, notes, check_entry, progress)
    findings = walk.findings(before)
    return AuditReport(findings, seen if findings else shown, head, walk.read)


@dataclass(slots=True)
class _Walk:
    """One pass over the new entries."""

    files: LogFiles
    head: Checkpoint
    notes: dict[str, str]
    check_entry: EntryCheck | None
    progress: Progress | None
    read: int = 0
    cached_tile: tuple[tuple[int, int], list[Hash]] | None = None

    def findings(self, before: Checkpoint) -> tuple[AuditFinding, ...]:
        findings: list[AuditFinding] = []
        for finding in self._all(before):
            if finding not in findings:
                findings.append(finding)
            if len(findings) == MAX_FINDINGS:
                break
        return tuple(findings)

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
        """Append every new entry to the frontier; yield findings about single entries and tiles."""
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
        """Check the new tiles: full ones against the tile above, then all partial ones."""
        for level in tiles.levels(self.head.size):
            span = HEIGHT * (level + 1)
            for n in range(since >> span, self.head.size >> span):
                root = merkle.complete_root(self.files.hashes(level, n))
                if self._tile(level + 1, n // WIDTH)[n % WIDTH] != root:
                    yield self._wrong_tile(level + 1, n // WIDTH)
        if Frontier.of(self.head.size, self.files.nodes()).root() != self.head.root:
            yield AuditFinding(
                FindingKind.WRONG_TILE,
                "the partial tiles do not hash to the signed root",
                self.notes,
            )

    def _tile(self, level: int, n: int) -> list[Hash]:
        """The hashes of a tile; the last tile is cached."""
        if self.cached_tile is None or self.cached_tile[0] != (level, n):
            self.cached_tile = (level, n), self.files.hashes(level, n)
        return self.cached_tile[1]

    def _wrong_tile(self, level: int, n: int) -> AuditFinding:
        message = f"tile {level}/{n} does not have the hashes of the entries or tiles below it"
        return AuditFinding(FindingKind.WRONG_TILE, message, self.notes)

    def _judged(self, first: int, entries: list[bytes]) -> Iterator[AuditFinding]:
        if self.check_entry is None:
            return
        for index, entry in enumerate(entries, start=first):
            if wrong := self.check_entry(entry):
                evidence = {**self.notes, "entry": entry.hex()}
                yield AuditFinding(FindingKind.MALFORMED_ENTRY, f"entry {index}: {wrong}", evidence)

    def _split(self, before: Checkpoint) -> AuditFinding:
        return AuditFinding(
            FindingKind.SPLIT_VIEW,
            f"the log signed two histories: its first {before.size} entries now have another root",
            self.notes,
        )

    def _tiles(self, before: Checkpoint) -> AuditFinding:
        """The tiles match neither checkpoint. As they are not signed, this proves no split view."""
        return AuditFinding(
            FindingKind.WRONG_TILE,
            f"the tiles hash neither to the root at size {before.size} nor to that at "
            f"{self.head.size}: fetch them again, or audit from the first entry",
            self.notes,
        )

    def _wrong_root(self, before: Checkpoint, frontier: Frontier) -> AuditFinding:
        return AuditFinding(
            FindingKind.WRONG_ROOT,
            f"entries [{before.size}, {self.head.size}) hash to the root {frontier.root().hex()}, "
            f"the log signed {self.head.root.hex()}",
            self.notes,
        )


def _contradiction(
    before: Checkpoint, head: Checkpoint, notes: dict[str, str]
) -> AuditFinding | None:
    """The finding that two checkpoints alone prove, if any."""
    if before.origin and before.origin != head.origin:
        message = f"the log's origin is {head.origin}, want {before.origin} as before"
        return AuditFinding(FindingKind.OTHER_LOG, message, notes)
    if head.size < before.size:
        message = f"the log shows {head.size} entries, but had signed {before.size} before"
        return AuditFinding(FindingKind.ROLLED_BACK, message, notes)
    if head.size == before.size and head.root != before.root:
        message = f"the log signed two different roots for {head.size} entries"
        return AuditFinding(FindingKind.SPLIT_VIEW, message, notes)
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
