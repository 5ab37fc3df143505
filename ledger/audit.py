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

from ledger import checkpoint, note, tile, tree
from ledger.checkpoint import Checkpoint
from ledger.cosignature import CosignatureError, WitnessKey
from ledger.frontier import Frontier
from ledger.note import Note, NoteError, Verifying
from ledger.policy import Policy
from ledger.source import Files, Source, UnreadableError
from ledger.tile import HEIGHT, WIDTH
from ledger.tree import Hash

MOST_FINDINGS = 100  # of one audit; a log that is all wrong needs no longer list


class Kind(StrEnum):
    UNREADABLE = "unreadable"
    UNTRUSTED = "untrusted"
    OTHER_LOG = "other-log"
    ROLLED_BACK = "rolled-back"
    SPLIT_VIEW = "split-view"
    WRONG_ROOT = "wrong-root"
    WRONG_TILE = "wrong-tile"
    MALFORMED_ENTRY = "malformed-entry"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, where, and the raw bytes that show it: name -> text."""

    kind: Kind
    message: str
    evidence: dict[str, str] = field(default_factory=dict)


class Demand(Protocol):
    def require(self, signed: Note) -> Checkpoint:
        """The checkpoint in a note that is signed as demanded. Raises ValueError."""
        ...


@dataclass(frozen=True, slots=True)
class Under:
    """Whoever a tlog-policy says must have signed."""

    policy: Policy

    def require(self, signed: Note) -> Checkpoint:
        return self.policy.verify(signed)


@dataclass(frozen=True, slots=True)
class Trust:
    """Who must have signed: every log key, and at least `quorum` of the witnesses."""

    keys: Sequence[Verifying]
    witnesses: Sequence[WitnessKey] = ()
    quorum: int = 0

    def require(self, signed: Note) -> Checkpoint:
        """The checkpoint in a note that is signed as demanded. Raises ValueError."""
        note.verify(signed, self.keys)
        head = checkpoint.parse(signed.text)
        if any(key.name != head.origin for key in self.keys):
            raise NoteError(f"a checkpoint of {head.origin}, want one of {self.keys[0].name}")
        found = sum(_has_cosigned(witness, signed) for witness in self.witnesses)
        if found < self.quorum:
            raise NoteError(f"{found} witnesses have cosigned, want {self.quorum}")
        return head


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome; `note` is the checkpoint to start from next time, None while none is trusted."""

    findings: tuple[Finding, ...]
    note: str | None
    head: Checkpoint | None
    read: int  # entries that were read

    @property
    def clean(self) -> bool:
        return not self.findings


Judge = Callable[[bytes], str | None]  # an entry -> what is wrong with it
Progress = Callable[[int, int], None]  # (entries done, entries in all)


def audit(
    source: Source,
    trust: Demand,
    seen: str | None = None,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Report:
    """Audit the log from the note `seen` (None: from its beginning) to its newest checkpoint.

    Raises ValueError if `seen` itself is not signed as `trust` demands.
    """
    before = trust.require(note.parse(seen)) if seen else Checkpoint("", 0, tree.EMPTY_ROOT)
    try:
        shown = source.read("checkpoint").decode()
        head = trust.require(note.parse(shown))
    except UnreadableError as error:
        return Report((Finding(Kind.UNREADABLE, str(error)),), seen, None, 0)
    except ValueError as error:
        return Report((_untrusted(source, error),), seen, None, 0)
    notes = {"seen": seen, "shown": shown} if seen else {"shown": shown}
    if contradiction := _contradiction(before, head, notes):
        return Report((contradiction,), seen, head, 0)
    walk = _Walk(Files(source, head.size), head, notes, judge, progress)
    findings = walk.findings(before)
    return Report(findings, seen if findings else shown, head, walk.read)


@dataclass(slots=True)
class _Walk:
    """One pass over the entries that are new."""

    files: Files
    head: Checkpoint
    notes: dict[str, str]
    judge: Judge | None
    progress: Progress | None
    read: int = 0
    kept: tuple[tuple[int, int], list[Hash]] | None = None

    def findings(self, before: Checkpoint) -> tuple[Finding, ...]:
        found: list[Finding] = []
        for finding in self._all(before):
            if finding not in found:
                found.append(finding)
            if len(found) == MOST_FINDINGS:
                break
        return tuple(found)

    def _all(self, before: Checkpoint) -> Iterator[Finding]:
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
            yield Finding(Kind.UNREADABLE, str(error), self.notes)

    def _entries(self, frontier: Frontier) -> Iterator[Finding]:
        """Append every new entry to the frontier; what is wrong with single ones comes out."""
        for n in range(frontier.size // WIDTH, -(-self.head.size // WIDTH)):
            skipped = frontier.size - n * WIDTH
            entries = self.files.entries(n)
            hashes = tree.leaf_hashes(entries)
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

    def _upper_tiles(self, since: int) -> Iterator[Finding]:
        """New tiles up to the root: full ones against the tile above, then all partial ones."""
        for level in tile.levels(self.head.size):
            span = HEIGHT * (level + 1)
            for n in range(since >> span, self.head.size >> span):
                found = tree.complete_root(self.files.hashes(level, n))
                if self._kept(level + 1, n // WIDTH)[n % WIDTH] != found:
                    yield self._wrong_tile(level + 1, n // WIDTH)
        if Frontier.of(self.head.size, self.files.nodes()).root() != self.head.root:
            yield Finding(Kind.WRONG_TILE, "the partial tiles are not of the root", self.notes)

    def _kept(self, level: int, n: int) -> list[Hash]:
        """A tile, kept until another one is wanted."""
        if self.kept is None or self.kept[0] != (level, n):
            self.kept = (level, n), self.files.hashes(level, n)
        return self.kept[1]

    def _wrong_tile(self, level: int, n: int) -> Finding:
        said = f"tile {level}/{n} is not of what is below it"
        return Finding(Kind.WRONG_TILE, said, self.notes)

    def _judged(self, first: int, entries: list[bytes]) -> Iterator[Finding]:
        if self.judge is None:
            return
        for index, entry in enumerate(entries, start=first):
            if wrong := self.judge(entry):
                evidence = {**self.notes, "entry": entry.hex()}
                yield Finding(Kind.MALFORMED_ENTRY, f"entry {index}: {wrong}", evidence)

    def _split(self, before: Checkpoint) -> Finding:
        return Finding(
            Kind.SPLIT_VIEW,
            f"the log signed two histories: its first {before.size} entries now have another root",
            self.notes,
        )

    def _tiles(self, before: Checkpoint) -> Finding:
        """Tiles are not signed: as long as they lead nowhere, they accuse nobody but themselves."""
        return Finding(
            Kind.WRONG_TILE,
            f"the tiles lead neither to the root at {before.size} nor to that at {self.head.size}: "
            "fetch them again, or audit from the beginning",
            self.notes,
        )

    def _wrong_root(self, before: Checkpoint, frontier: Frontier) -> Finding:
        return Finding(
            Kind.WRONG_ROOT,
            f"entries [{before.size}, {self.head.size}) lead to the root {frontier.root().hex()}, "
            f"the log signed {self.head.root.hex()}",
            self.notes,
        )


def _contradiction(before: Checkpoint, head: Checkpoint, notes: dict[str, str]) -> Finding | None:
    """What two checkpoints show without anything else."""
    if before.origin and before.origin != head.origin:
        said = f"the log calls itself {head.origin}, it was {before.origin}"
        return Finding(Kind.OTHER_LOG, said, notes)
    if head.size < before.size:
        said = f"the log shows {head.size} entries and has signed {before.size} before"
        return Finding(Kind.ROLLED_BACK, said, notes)
    if head.size == before.size and head.root != before.root:
        said = f"the log signed two roots of {head.size} entries"
        return Finding(Kind.SPLIT_VIEW, said, notes)
    return None


def _untrusted(source: Source, error: ValueError) -> Finding:
    shown = source.read("checkpoint").decode(errors="backslashreplace")
    return Finding(Kind.UNTRUSTED, str(error), {"shown": shown})


def _has_cosigned(witness: WitnessKey, signed: Note) -> bool:
    try:
        witness.verify(signed)
    except CosignatureError:
        return False
    return True
