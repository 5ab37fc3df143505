"""Consent bits of all customers in a scene, as arrays: see gate.state.consent_bits for the layout.

A scene of one word has one uint64 a row. A scene of more words has a row of them, the first word
first. Both are indexed and cut by rows alike.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from gate.state import consent_bits
from gate.state.consent_bits import ARMED_SHIFT, CROSSED_SHIFT, EXPIRY_SHIFT, BitsArray

Rows = npt.NDArray[np.bool_]  # one truth value per row
Minutes = npt.NDArray[np.uint64]
_WORD = (1 << consent_bits.WORD) - 1


class BitsByRow(Protocol):
    """The bits of each row as one plain integer."""

    def __getitem__(self, row: int, /) -> int: ...
    def __setitem__(self, row: int, bits: int, /) -> None: ...


def empty(rows: int, words: int) -> BitsArray:
    """Bits of `rows` customers who said nothing. Untouched pages take no memory."""
    return np.zeros(rows if words == 1 else (rows, words), "<u8")


def by_row(all_bits: BitsArray) -> BitsByRow:
    """A view of the array that yields plain integers, for one word as fast as a list."""
    return _WideRows(all_bits) if all_bits.ndim > 1 else memoryview(all_bits.data)


class _WideRows:
    def __init__(self, all_bits: BitsArray) -> None:
        self._bytes = memoryview(all_bits.data).cast("B") if len(all_bits) else memoryview(b"")
        self._size = all_bits.shape[1] * all_bits.itemsize

    def __getitem__(self, row: int) -> int:
        at = row * self._size
        return int.from_bytes(self._bytes[at : at + self._size], "little")

    def __setitem__(self, row: int, bits: int) -> None:
        at = row * self._size
        self._bytes[at : at + self._size] = bits.to_bytes(self._size, "little")


def first(all_bits: BitsArray) -> BitsArray:
    """The first word of each row, which has the end of the grant."""
    return all_bits[:, 0] if all_bits.ndim > 1 else all_bits


def expiries(all_bits: BitsArray) -> Minutes:
    """By row, the minute at which the grant expires, or a marker."""
    ends: Minutes = first(all_bits) >> np.uint64(EXPIRY_SHIFT)
    return ends


def granting(all_bits: BitsArray) -> Rows:
    """By row, whether any field is granted, expired or not."""
    if all_bits.ndim == 1:
        some: Rows = (all_bits & np.uint64(consent_bits.FIELDS)) != 0
        return some
    masks = words(consent_bits.ALL_FIELDS, all_bits.shape[1])
    any_word: Rows = ((all_bits & masks) != 0).any(axis=1)
    return any_word


def armed(all_bits: BitsArray) -> Rows:
    """By row, whether any condition is armed."""
    if all_bits.ndim == 1:
        some: Rows = (all_bits & np.uint64(consent_bits.ARMED)) != 0
        return some
    masks = words(consent_bits.ALL_ARMED, all_bits.shape[1])
    any_word: Rows = ((all_bits & masks) != 0).any(axis=1)
    return any_word


def covering(all_bits: BitsArray, asked: int) -> Rows:
    """By row of a scene of more words, whether all fields `asked` are granted, expired or not."""
    masks = words(asked, all_bits.shape[1])
    all_words: Rows = ((all_bits & masks) == masks).all(axis=1)
    return all_words


def frozen(all_bits: BitsArray, stale: int) -> Rows:
    """By row, whether a trigger freezes the scene; see `decide.frozen`."""
    if all_bits.ndim == 1:
        return _frozen(all_bits, consent_bits.ARMED, stale)
    armed = [int(each) for each in words(consent_bits.ALL_ARMED, all_bits.shape[1])]
    stopped = np.zeros(len(all_bits), np.bool_)
    for word, mask in enumerate(armed):
        stopped |= _frozen(all_bits[:, word], mask, stale >> consent_bits.WORD * word & _WORD)
    return stopped


def words(bits: int, count: int) -> BitsArray:
    """A plain integer as its first `count` words."""
    parts = [bits >> consent_bits.WORD * word & _WORD for word in range(count)]
    return np.array(parts, np.uint64)


def column(all_bits: BitsArray, bit: int) -> tuple[BitsArray, int]:
    """The words that have this one bit, and the bit within them."""
    word, within = divmod(bit.bit_length() - 1, consent_bits.WORD)
    return (all_bits[:, word] if all_bits.ndim > 1 else all_bits), 1 << within


def _frozen(column: BitsArray, armed: int, stale: int) -> Rows:
    stopping = column >> np.uint64(CROSSED_SHIFT - ARMED_SHIFT) | np.uint64(stale)
    stopped: Rows = (column & np.uint64(armed) & stopping) != 0
    return stopped
