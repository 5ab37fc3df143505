"""A compact two-way map between customers' ids ("names") and rows of the consent state.

    text    the names in UTF-8, concatenated
    ends    the end of each name in `text`
    slots   a hash table with linear probing: per name, 32 bits of its mark, and its row + 1

A mark is a keyed hash (ledger.vault.owners), so nobody can choose colliding names, and a customer
who was erased is found by their mark alone: the name is overwritten, and its row stays empty. A
slot's position depends on the mark only, so the table grows without names. A lookup compares the
bytes of the name, never the mark alone. Recently used names are also in a dict, which is several
times faster. With ten million customers a name takes 14 bytes in `slots`, 4 in `ends`, and its own
length.
"""

import secrets
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ledger.vault import owners

MAX_HOT = 1 << 17  # names in the dict, known and unknown ones
MAX_CHARACTERS = 256  # longer names are not cached: names in requests can be long
NOBODY = -1  # the row of an unknown name
KEY_SIZE = 16
_FIRST = 10  # the table starts with 2 ** _FIRST slots
_SPARE = 4096  # slots beyond the last one that a mark can address, for the last run of probes
_ROW = (1 << 32) - 1
_ERASED = b"\xff"  # no name in UTF-8 has this byte

Slots = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SelectedNames:
    """Copies from which the names of some rows can be made at any time, by any thread."""

    text: bytes
    rows: Places
    starts: Places
    ends: Places

    def names(self) -> list[str]:
        text, places = self.text, zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [text[lo:hi].decode(errors="surrogatepass") for lo, hi in places]

    def some(self, places: Places) -> "SelectedNames":
        """Those at these places among them."""
        return SelectedNames(self.text, self.rows[places], self.starts[places], self.ends[places])


class Subjects(Sequence[str]):
    """Names by row and rows by name; rows never change. Not thread-safe: the gate holds its lock.

    `hot`: a dict of recently used names and their rows (NOBODY for unknown ones), which callers on
    the hot path look up first.
    """

    def __init__(self, key: bytes | None = None) -> None:
        """`key`: of the marks; random if no other process has to find names by their marks."""
        self.key = key or secrets.token_bytes(KEY_SIZE)
        self.ended = 0  # rows whose customer was erased
        self.text = bytearray()
        self.ends = array("I")  # four bytes each, until `text` exceeds 4 GiB
        self._take(_FIRST, np.zeros((1 << _FIRST) + _SPARE, np.uint64))
        self.hot: dict[str, int] = {}

    @classmethod
    def resumed(
        cls, key: bytes, text: bytearray, ends: "array[int]", slots: Slots, ended: int = 0
    ) -> "Subjects":
        """Restore from a snapshot: see gate.state.snapshot."""
        made = cls(key)
        made.text, made.ends, made.ended = text, ends, ended
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
        return _name(self._bytes(place))

    def __iter__(self) -> Iterator[str]:
        """The names in row order; "" for a customer who was erased."""
        start, text = 0, self.text
        for end in self.ends:
            yield _name(text[start:end])
            start = end

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.row(name) is not None

    def of(self, members: npt.NDArray[np.bool_]) -> list[str]:
        """The names of the rows where `members` is true, in row order; of nobody who was erased."""
        return self.selected(members).names()

    def selected(self, members: npt.NDArray[np.bool_]) -> "SelectedNames":
        """As `of`, but only copies: the names are made later, without the lock."""
        ends = np.asarray(self.ends).astype(np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if len(ends) else ends
        live = self.live()
        rows = np.flatnonzero(members if live is None else members & live)
        return SelectedNames(bytes(self.text), rows, starts[rows], ends[rows])

    def live(self) -> npt.NDArray[np.bool_] | None:
        """By row, whether its customer was not erased; None if nobody was."""
        if not self.ended:
            return None
        ends = np.asarray(self.ends)
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        text = np.frombuffer(self.text, np.uint8)
        filled = starts < ends  # the empty name is a name
        first = text[np.minimum(starts, max(len(text) - 1, 0))] if len(text) else np.zeros(0)
        live: npt.NDArray[np.bool_] = ~(filled & (first == _ERASED[0]))
        return live

    def end(self, mark: bytes) -> int:
        """Overwrite the name with this mark; its row, or NOBODY if there is no such name."""
        short, slots = int.from_bytes(mark[:4]), self._fast
        at = short & self._mask
        while slot := slots[at]:
            row = int(slot & _ROW) - 1
            if slot >> 32 == short and owners.mark(self.key, bytes(self._bytes(row))) == mark:
                start, end = self.ends[row - 1] if row else 0, self.ends[row]
                self.text[start:end] = _ERASED * (end - start)
                self.hot.clear()
                self.ended += 1
                return row
            at += 1
        return NOBODY

    def row(self, name: str) -> int | None:
        row = self.place(name)
        return None if row == NOBODY else row

    def place(self, name: str) -> int:
        """The row of a name, or NOBODY; adds the name to `hot` unless it is too long."""
        row = self.hot.get(name)
        if row is None:
            row = self._lookup(name)
            if len(name) <= MAX_CHARACTERS:
                self._remember(name, row)
        return row

    def add(self, name: str) -> int:
        """Add an unknown name and return its row."""
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

    def _lookup(self, name: str) -> int:
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
        if at >= len(self._fast) - 1:  # the last slot stays empty and ends every search
            self._grow()
            self._insert(mark, row)
        else:
            self._fast[at] = mark << 32 | row + 1

    def _grow(self) -> None:
        """Double the table.

        Slots are moved in the order of their preferred position, each to the next free one: the
        same layout as inserting them one by one.
        """
        occupied = self._slots[self._slots != 0]
        bits = self._bits + 1
        wanted = (occupied >> np.uint64(32) & np.uint64((1 << bits) - 1)).astype(np.int64)
        order = np.argsort(wanted, kind="stable")
        counted = np.arange(len(occupied))
        places = np.maximum.accumulate(wanted[order] - counted) + counted
        slots = np.zeros((1 << bits) + _SPARE, np.uint64)
        slots[places] = occupied[order]
        self._take(bits, slots)

    def _take(self, bits: int, slots: Slots) -> None:
        self._bits, self._mask, self._slots = bits, (1 << bits) - 1, slots
        self._fast: Any = memoryview(slots.data)  # faster than the array, yields plain ints

    def _bytes(self, row: int) -> bytearray:
        return self.text[self.ends[row - 1] if row else 0 : self.ends[row]]

    def _mark(self, raw: bytes) -> int:
        return int.from_bytes(owners.mark(self.key, raw)[:4])

    def _remember(self, name: str, row: int) -> None:
        if len(self.hot) >= MAX_HOT:
            self.hot.clear()
        self.hot[name] = row


def _name(raw: bytearray) -> str:
    return "" if raw[:1] == _ERASED else raw.decode(errors="surrogatepass")
