"""The numbers of the customers in the consent state, by which read logs name them in sets.

A customer's number is asked of the vault once, and kept by the row of the state: rows are only
added, and an erased customer's row is emptied. So it takes four bytes a customer and no name.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt

from gate.state.subjects import SelectedNames

Numbers = npt.NDArray[np.uint32]
NumbersOf = Callable[[Sequence[str]], Mapping[str, int]]
NOBODY = 0  # the number of a customer who has no data key


class CustomerNumbers:
    """Numbers by row of the state. Thread-safe; uses no lock of the gate."""

    def __init__(self, numbers_of: NumbersOf) -> None:
        self._numbers_of = numbers_of
        self._replays = -1
        self._by_row: Numbers = np.zeros(0, np.uint32)
        self._lock = Lock()

    def of_rows(self, replays: int, selected: SelectedNames) -> Numbers:
        """The numbers of these rows of the state; NOBODY for who has no data key any more.

        `replays`: of the state when they were selected; after another one, rows are other
        customers.
        """
        rows = selected.rows
        with self._lock:
            if replays != self._replays:
                self._replays, self._by_row = replays, np.zeros(0, np.uint32)
            if len(rows) and (beyond := int(rows.max()) + 1 - len(self._by_row)) > 0:
                self._by_row = np.concatenate([self._by_row, np.zeros(beyond, np.uint32)])
            missing = np.flatnonzero(self._by_row[rows] == NOBODY)
            if len(missing):
                self._by_row[rows[missing]] = self.of_names(selected.some(missing).names())
            return self._by_row[rows]

    def of_names(self, names: Sequence[str]) -> Numbers:
        """The numbers of these customers, whether or not they are in the state."""
        known = self._numbers_of(names)
        return np.array([known.get(each, NOBODY) for each in names], np.uint32)
