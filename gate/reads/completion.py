"""Synthetic rows in the place of the customers who are missing from a table.

The contract names the mode; see synthetic.completion.completion. `release-anchored` counts the
authorised rows, in the fields asked for and in no others, and estimates from these and from the
counts of the anchor (gate.reads.releases) how the missing are; nobody's withdrawn value is looked
at. Without an anchor the rows are `naive`: drawn as the release has it that answers.

What was estimated is kept, and drawn from again while the same rows of the same customers stand.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from gate.reads.record_batches import DRAWN_ROWS
from gate.reads.releases import Synthesiser
from synthetic.completion.completion import Completion, CompletionTask, ErrorBar, complete
from synthetic.completion.mode import Mode
from synthetic.fitting.release import Release

NONE = "none"  # no synthetic row stands in the table
MAX_ESTIMATES = 32  # estimates
MAX_CELLS = 1 << 25  # codes of all that are kept: 256 MB
KEPT = timedelta(hours=1)  # meanwhile the source may have delivered other values
UNCORRECTED = ErrorBar(float("inf"), float("inf"), "who withdrew is not corrected for")
Key = tuple[str, str]  # the anchor, and a digest of what stands in the table


@dataclass(frozen=True)
class Completed:
    """`rows` synthetic rows, drawn as they are asked for; `release`: what they rest on."""

    mode: str
    error: ErrorBar | None  # None if there are no such rows
    release: str | None
    rows: int
    tables: Iterator[Any]  # Arrow tables; can be gone through once

    @property
    def logged_mode(self) -> str | UnsetType:
        """The mode as the journal names it."""
        return UNSET if self.mode in {NONE, Mode.NAIVE} else self.mode


NOTHING = Completed(NONE, None, None, 0, iter(()))


@dataclass(frozen=True, slots=True)
class Missing:
    """What stands in a table, and of how many customers: all that a completion may rest on."""

    rows: Callable[[], Any]  # an Ibis table: `columns` of the customers who stand as they are
    subjects: Sequence[str]  # these
    stand: int  # rows of theirs
    everybody: int
    columns: tuple[str, ...]  # that are to be drawn

    @property
    def count(self) -> int:
        return self.everybody - self.stand

    def key(self, anchor: Release) -> Key:
        """The same where an earlier estimate stands for this one."""
        digest = sha256(msgspec.json.encode([sorted(self.columns), self.stand, self.everybody]))
        for at in range(0, len(self.subjects), DRAWN_ROWS):
            digest.update(msgspec.json.encode(self.subjects[at : at + DRAWN_ROWS]))
        return anchor.id, digest.hexdigest()


def naive(release: Synthesiser, missing: Missing) -> Completed:
    """Rows drawn like those of the people who consented."""
    sizes = (min(DRAWN_ROWS, missing.count - n) for n in range(0, missing.count, DRAWN_ROWS))
    tables = (release.sample(rows, missing.columns) for rows in sizes)
    return Completed(Mode.NAIVE, UNCORRECTED, release.id, missing.count, tables)


class Completions:
    """What was estimated for tables, the most recent of it. Thread-safe: who asks for what somebody
    else is estimating waits for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def anchored(self, anchor: Release, missing: Missing, at: datetime) -> Completed:
        """Rows that make the table what the anchor says it was. Raises what the source raises."""
        kept = self._place(missing.key(anchor))
        with kept.lock:
            found = kept.at(at)
            if found is None:
                found = _estimated(anchor, missing)
                kept.completion, kept.since = found, at
                self._trim()
        error = _of_everybody(found.error, anchor, missing)
        return Completed(found.mode, error, anchor.id, found.rows, _tables(found, missing))

    def _place(self, key: Key) -> "_Kept":
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            return kept

    def _trim(self) -> None:
        """The last one stays, whatever its size."""
        with self._lock:
            cells = sum(each.cells for each in self._kept.values())
            while len(self._kept) > 1 and (len(self._kept) > MAX_ESTIMATES or cells > MAX_CELLS):
                cells -= self._kept.popitem(last=False)[1].cells


@dataclass(slots=True)
class _Kept:
    lock: Lock = field(default_factory=Lock)
    completion: Completion | None = None
    since: datetime | None = None

    @property
    def cells(self) -> int:
        found = self.completion
        return 0 if found is None else found.rows * len(found.domain.columns)

    def at(self, at: datetime) -> Completion | None:
        """What was estimated, if that is not too long ago."""
        fresh = self.since is not None and self.since <= at < self.since + KEPT
        return self.completion if fresh else None


def _of_everybody(error: ErrorBar, anchor: Release, missing: Missing) -> ErrorBar:
    """Whoever never consented is in no release, and is drawn like those whom the anchor counted.

    If a segment is at most twice as frequent among them as among these, that puts its count off by
    at most their share of all customers, in proportion to what the table shows.
    """
    uncounted = max(0, min(missing.count, missing.everybody - anchor.rows))
    never = round(uncounted / missing.everybody, 3)
    if not never:
        return error
    covers = f"{error.covers}, and {never:.1%} of the customers, who were never counted"
    return ErrorBar(error.mean + never, error.p95 + never, covers)


def _estimated(anchor: Release, missing: Missing) -> Completion:
    task = CompletionTask(
        missing.rows(), missing.everybody, anchor, anchor, columns=missing.columns
    )
    return complete(task, Mode.RELEASE_ANCHORED)


def _tables(found: Completion, missing: Missing) -> Iterator[Any]:
    for at in range(0, found.rows, DRAWN_ROWS):
        codes = {name: each[at : at + DRAWN_ROWS] for name, each in found.codes.items()}
        part = replace(found, rows=min(DRAWN_ROWS, found.rows - at), codes=codes)
        yield part.table(missing.columns)
