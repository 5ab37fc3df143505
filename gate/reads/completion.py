"""Completes a table with synthetic rows for the customers whose personal rows may not be read.

The contract names the mode; see synthetic.completion.completion. `release-anchored` counts the
authorised rows, in the requested fields only, and estimates the distribution of the missing rows
from these counts and those of the anchor release (gate.reads.releases). It never reads a withdrawn
value. Without an anchor the rows are `naive`: drawn from the current release as it is.

Estimates are cached and reused while the table's rows and customers stay the same.
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

from gate.reads.releases import Synthesiser
from synthetic.completion.completion import Completion, CompletionTask, ErrorBar, complete
from synthetic.completion.mode import Mode
from synthetic.fitting.release import Release

DRAWN_ROWS = 1 << 16  # synthetic rows per draw: counts follow the model within one draw
NONE = "none"  # the table has no synthetic rows
MAX_ESTIMATES = 32  # estimates
MAX_CELLS = 1 << 25  # codes in all cached estimates together: 256 MB
LIFETIME = timedelta(hours=1)  # of an estimate: the source may deliver new values
UNCORRECTED = ErrorBar(float("inf"), float("inf"), "who withdrew is not corrected for")
Key = tuple[str, str]  # id of the anchor release, digest of the table's authorised rows


@dataclass(frozen=True)
class Completed:
    """The synthetic rows of one table, drawn lazily. `release`: id of the release they rest on."""

    mode: str
    error: ErrorBar | None  # None if there are no such rows
    release: str | None
    rows: int
    tables: Iterator[Any]  # Arrow tables; single use

    @property
    def logged_mode(self) -> str | UnsetType:
        """The mode as the read log records it: unset for `none` and `naive`."""
        return UNSET if self.mode in {NONE, Mode.NAIVE} else self.mode


NOTHING = Completed(NONE, None, None, 0, iter(()))


@dataclass(frozen=True, slots=True)
class Missing:
    """What a completion may rest on: the authorised rows and how many customers are missing."""

    rows: Callable[[], Any]  # returns an Ibis table: `columns` of the authorised customers
    subjects: Sequence[str]  # the authorised customers, or all others
    authorised: int  # number of their rows
    everybody: int  # number of customers of the source
    columns: tuple[str, ...]  # columns to draw

    @property
    def count(self) -> int:
        return self.everybody - self.authorised

    def key(self, anchor: Release) -> Key:
        """The cache key: equal keys mean that an earlier estimate can be reused."""
        digest = sha256(
            msgspec.json.encode([sorted(self.columns), self.authorised, self.everybody])
        )
        for at in range(0, len(self.subjects), DRAWN_ROWS):
            digest.update(msgspec.json.encode(self.subjects[at : at + DRAWN_ROWS]))
        return anchor.id, digest.hexdigest()


def naive(release: Synthesiser, missing: Missing) -> Completed:
    """Draw the missing rows from `release` with the distribution of those who consented."""
    sizes = (min(DRAWN_ROWS, missing.count - n) for n in range(0, missing.count, DRAWN_ROWS))
    tables = (release.sample(rows, missing.columns) for rows in sizes)
    return Completed(Mode.NAIVE, UNCORRECTED, release.id, missing.count, tables)


class Completions:
    """LRU cache of estimates. Thread-safe: concurrent requests for one key estimate it once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cache: OrderedDict[Key, _CachedEstimate] = OrderedDict()

    def anchored(self, anchor: Release, missing: Missing, at: datetime) -> Completed:
        """Synthetic rows that complete the table to the anchor's counts; raises source errors."""
        slot = self._place(missing.key(anchor))
        with slot.lock:
            completion = slot.at(at)
            if completion is None:
                completion = _estimated(anchor, missing)
                slot.completion, slot.since = completion, at
                self._trim()
        error = _of_everybody(completion.error, anchor, missing)
        return Completed(
            completion.mode, error, anchor.id, completion.rows, _tables(completion, missing)
        )

    def _place(self, key: Key) -> "_CachedEstimate":
        with self._lock:
            slot = self._cache.setdefault(key, _CachedEstimate())
            self._cache.move_to_end(key)
            return slot

    def _trim(self) -> None:
        """Evict the oldest estimates; the newest stays, whatever its size."""
        with self._lock:
            cells = sum(each.cells for each in self._cache.values())
            while len(self._cache) > 1 and (len(self._cache) > MAX_ESTIMATES or cells > MAX_CELLS):
                cells -= self._cache.popitem(last=False)[1].cells


@dataclass(slots=True)
class _CachedEstimate:
    lock: Lock = field(default_factory=Lock)
    completion: Completion | None = None
    since: datetime | None = None

    @property
    def cells(self) -> int:
        completion = self.completion
        return 0 if completion is None else completion.rows * len(completion.domain.columns)

    def at(self, at: datetime) -> Completion | None:
        """The cached estimate, unless it is too old at `at`."""
        fresh = self.since is not None and self.since <= at < self.since + LIFETIME
        return self.completion if fresh else None


def _of_everybody(error: ErrorBar, anchor: Release, missing: Missing) -> ErrorBar:
    """Widen the error bar for customers who never consented, whom no release has counted.

    Their rows are drawn like those the anchor counted. If a segment is at most twice as frequent
    among them, the relative error of its count grows by at most their share of all customers.
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


def _tables(completion: Completion, missing: Missing) -> Iterator[Any]:
    for at in range(0, completion.rows, DRAWN_ROWS):
        codes = {name: each[at : at + DRAWN_ROWS] for name, each in completion.codes.items()}
        part = replace(completion, rows=min(DRAWN_ROWS, completion.rows - at), codes=codes)
        yield part.table(missing.columns)
