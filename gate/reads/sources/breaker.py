"""Asks a source that is down no more than one question at a time, until it answers again.

    closed     every read asks the source
    open       after FAILURES in a row: reads get an error at once, but for one every PAUSE_S, which
               asks; when it is answered the breaker closes

Without it each read of a database that does not answer holds a thread for its whole time-out.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from gate.reads.sources.interface import (
    GroupedRowSource,
    Row,
    RowSource,
    SourceDownError,
    SourceUnavailableError,
    one_by_one,
)

FAILURES = 3
PAUSE_S = 0.5  # between the end of a question that failed and the next
T = TypeVar("T")


class SourceBreaker:
    """A `gate.reads.sources.interface.RowSource` around another. Thread-safe."""

    def __init__(self, inner: RowSource, clock: Callable[[], float] = monotonic) -> None:
        self._inner, self._clock = inner, clock
        self._lock = Lock()
        self._failures = 0  # in a row
        self._again_at = 0.0
        self._is_asking = False  # whether somebody tries it while it is down

    @property
    def key(self) -> str:
        return self._inner.key

    def row(self, subject: str, columns: Sequence[str]) -> Row | None:
        return self._asked(lambda: self._inner.row(subject, columns))

    def each_row(
        self, subjects: Sequence[str], columns: Sequence[str]
    ) -> Mapping[str, Row | SourceUnavailableError]:
        inner = self._inner
        if isinstance(inner, GroupedRowSource):
            return self._asked(lambda: inner.each_row(subjects, columns))
        return one_by_one(self.row, subjects, columns)

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        return self._asked(lambda: self._inner.rows(subjects, columns))

    def everybody(self, columns: Sequence[str]) -> Any:
        return self._asked(lambda: self._inner.everybody(columns))

    def count(self) -> int:
        return self._asked(self._inner.count)

    def _asked(self, ask: Callable[[], T]) -> T:
        """Raises SourceUnavailableError."""
        probes = self._enter()
        try:
            found = ask()
        except SourceDownError:
            self._leave(probes, is_down=True)
            raise
        except BaseException:  # an answer, if not a good one
            self._leave(probes, is_down=False)
            raise
        self._leave(probes, is_down=False)
        return found

    def _enter(self) -> bool:
        """Whether this question is the one that tries a source that is down.

        Raises SourceDownError where none is tried now.
        """
        with self._lock:
            if self._failures < FAILURES:
                return False
            if self._is_asking or self._clock() < self._again_at:
                raise SourceDownError("the source is down, and tried again every moment")
            self._is_asking = True
            return True

    def _leave(self, probes: bool, *, is_down: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if is_down else 0
            self._again_at = self._clock() + PAUSE_S
            if probes:
                self._is_asking = False
