"""Reads DER (X.690), as far as timestamps need it: elements with definite lengths, in order."""

from collections.abc import Iterator
from dataclasses import dataclass

SEQUENCE, SET, INTEGER, OCTETS, OID, TIME = 0x30, 0x31, 0x02, 0x04, 0x06, 0x18
_LONG = 0x80
_MAX_LENGTH = 4  # bytes of a length


class DerError(ValueError):
    """The bytes are not DER, or not the element that was wanted."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its tag, its content, and all of its bytes."""

    tag: int
    content: bytes
    whole: bytes

    def want(self, tag: int) -> "Element":
        """Itself. Raises DerError if it has another tag."""
        if self.tag != tag:
            raise DerError(f"an element with the tag {self.tag:#04x}, want {tag:#04x}")
        return self

    def parts(self, tag: int = SEQUENCE) -> list["Element"]:
        """The elements in an element with this tag. Raises DerError."""
        return [*_elements(self.want(tag).content)]

    def number(self) -> int:
        return int.from_bytes(self.want(INTEGER).content, signed=True)

    def oid(self) -> str:
        """An object identifier in dotted form."""
        numbers, value = list[int](), 0
        for byte in self.want(OID).content:
            value = value << 7 | byte & 0x7F
            if byte < _LONG:
                numbers.append(value)
                value = 0
        if not numbers:
            raise DerError("an empty object identifier")
        first = min(numbers[0] // 40, 2)
        return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def read(data: bytes) -> Element:
    """The one element that these bytes are. Raises DerError."""
    found = [*_elements(data)]
    if len(found) != 1:
        raise DerError(f"{len(found)} elements, want 1")
    return found[0]


def _elements(data: bytes) -> Iterator[Element]:
    at = 0
    while at < len(data):
        begin, tag = at, data[at]
        if tag & 0x1F == 0x1F:  # noqa: PLR2004 - a tag of several bytes
            raise DerError("a tag of several bytes")
        length, at = _length(data, at + 1)
        if at + length > len(data):
            raise DerError("an element that is cut off")
        yield Element(tag, data[at : at + length], data[begin : at + length])
        at += length


def _length(data: bytes, at: int) -> tuple[int, int]:
    """The length of an element's content, and where the content begins."""
    if at >= len(data):
        raise DerError("an element without a length")
    first = data[at]
    if first < _LONG:
        return first, at + 1
    count = first - _LONG
    length = int.from_bytes(data[at + 1 : at + 1 + count])
    shortest = max(1, (length.bit_length() + 7) // 8)
    if not 0 < count <= _MAX_LENGTH or length < _LONG or count != shortest:
        raise DerError("a length that is not in its shortest form")
    return length, at + 1 + count
