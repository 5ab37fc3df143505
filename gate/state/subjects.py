"""Everybody's name, in the order of the state's rows, and the row of each name.

    text    the names in UTF-8, one after the other
    ends    where each of them ends in `text`
    slots   a hash table with linear probing: of each name a 32-bit mark, and its row + 1

A mark is a hash (BLAKE2b) under a secret salt, so nobody can choose names that meet in one place. A
slot's place follows from its mark, so the table grows without looking at a name. A name is found
when the bytes are the same, never by its mark alone. Names that were asked for lately are also held
in a dict, which answers in a fraction of the time. For ten million customers a name takes 14 bytes
of slots, 4 of end, and its own.
"""

import secrets
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, overload

import numpy as np
import numpy.typing as npt

MAX_HOT = 1 << 17  # names in the dict, of people and of nobody
MAX_CHARACTERS = 256  # of a name in the dict: names in requests can be long
NOBODY = -1  # the row of a name that has none
KEY_SIZE = 16
_FIRST = 10  # the table begins with 2 ** _FIRST places
_SPARE = 4096  # places beyond the last one a mark can name: the end of the last run of slots
_ROW = (1 << 32) - 1

Slots = npt.NDArray[np.uint64]


class Subjects(Sequence[str]):
    """Rows are given out in order, for ever. Not thread-safe: the gate holds its lock.

    `hot` knows the rows of some names, NOBODY's too: whoever asks very often looks there first.
    """

    def __init__(self) -> None:
        self.key = secrets.token_bytes(KEY_SIZE)
        self.text = bytearray()
        self.ends = array("I")  # of four bytes, until the names take more than four gigabytes
        self._take(_FIRST, np.zeros((1 << _FIRST) + _SPARE, np.uint64))
        self.hot: dict[str, int] = {}

    @classmethod
    def resumed(cls, key: bytes, text: bytearray, ends: "array[int]", slots: Slots) -> "Subjects":
        """What was kept of another: see gate.state.snapshot."""
        made = cls()
        made.key, made.text, made.ends = key, text, ends
        made._take((len(slots) - _SPARE).bit_length() - 1, slots)
        return made

    @classmethod
    def from_names(cls, names: Iterable[str]) -> "Subjects":
        made = cls()
        for each in names:
            made.add(each)
        return made

    @property
    def slots(self) -> Slots:
        return self._slots

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        place = range(len(self))[row]
        return self._bytes(place).decode(errors="surrogatepass")

    def __iter__(self) -> Iterator[str]:
        start, text = 0, self.text
        for end in self.ends:
            yield text[start:end].decode(errors="surrogatepass")
            start = end

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.row(name) is not None

    def of(self, members: npt.NDArray[np.bool_]) -> list[str]:
        """The names of those rows where `members` is true, in the order of rows."""
        if len(members) and members.all():
            return list(self)
        return [self[row] for row in np.flatnonzero(members).tolist()]

    def row(self, name: str) -> int | None:
        row = self.place(name)
        return None if row == NOBODY else row

    def place(self, name: str) -> int:
        """The row of a name, or NOBODY; from now on `hot` knows it, too, unless it is too long."""
        row = self.hot.get(name)
        if row is None:
            row = self._found(name)
            if len(name) <= MAX_CHARACTERS:
                self._remember(name, row)
        return row

    def add(self, name: str) -> int:
        """The row of a name that has none yet."""
        row, raw = len(self), name.encode(errors="surrogatepass")
        if row * 5 >= 3 << self._bits:  # three fifths full
            self._grow()
        self.text += raw
        try:
            self.ends.append(len(self.text))
        except OverflowError:
            self.ends = array("Q", np.asarray(self.ends).astype(np.uint64).tobytes())
            self.ends.append(len(self.text))
        self._insert(self._mark(raw), row)
        self._remember(name, row)
        return row

    def _found(self, name: str) -> int:
        raw = name.encode(errors="surrogatepass")
        mark, slots = self._mark(raw), self._fast
        at = mark & self._mask
        while slot := slots[at]:
            if slot >> 32 == mark and self._bytes((slot & _ROW) - 1) == raw:
                return int(slot & _ROW) - 1
            at += 1
        return NOBODY

    def _insert(self, mark: int, row: int) -> None:
        at = mark & self._mask
        while self._fast[at]:
            at += 1
        if at >= len(self._fast) - 1:  # the last place stays empty: there every search ends
            self._grow()
            self._insert(mark, row)
        else:
            self._fast[at] = mark << 32 | row + 1

    def _grow(self) -> None:
        """Twice the places. In the order of their first choice, each slot takes the next place that
        is free: that is where inserting them one by one would have put them."""
        held = self._slots[self._slots != 0]
        bits = self._bits + 1
        wanted = (held >> np.uint64(32) & np.uint64((1 << bits) - 1)).astype(np.int64)
        order = np.argsort(wanted, kind="stable")
        counted = np.arange(len(held))
        places = np.maximum.accumulate(wanted[order] - counted) + counted
        slots = np.zeros((1 << bits) + _SPARE, np.uint64)
        slots[places] = held[order]
        self._take(bits, slots)

    def _take(self, bits: int, slots: Slots) -> None:
        self._bits, self._mask, self._slots = bits, (1 << bits) - 1, slots
        self._fast: Any = memoryview(slots.data)  # indexes faster than the array, yields plain ints

    def _bytes(self, row: int) -> bytearray:
        return self.text[self.ends[row - 1] if row else 0 : self.ends[row]]

    def _mark(self, raw: bytes) -> int:
        return int.from_bytes(blake2b(raw, digest_size=4, salt=self.key).digest())

    def _remember(self, name: str, row: int) -> None:
        if len(self.hot) >= MAX_HOT:
            self.hot.clear()
        self.hot[name] = row
