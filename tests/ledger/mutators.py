"""Changes of bytes and of structure. Each takes what is changed and another artefact of its kind.

A mutator may leave its input as it is where it does not apply; who calls it tries another then.
"""

import json
import random
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Mutator = Callable[[bytes, bytes, random.Random], bytes]


def flip(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """One bit."""
    if not data:
        return data
    at = generator.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << generator.randrange(8)]) + data[at + 1 :]


def replace(data: bytes, other: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return data[:at] + bytes([generator.choice(INTERESTING)]) + data[at + 1 :]


def insert(data: bytes, other: bytes, generator: random.Random) -> bytes:
    at = generator.randrange(len(data) + 1)
    return data[:at] + bytes([generator.choice(INTERESTING)]) + data[at:]


def delete(data: bytes, other: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return data[:at] + data[at + generator.choice((1, 1, 1, 2, 32, 33)) :]


def cut(data: bytes, other: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return data[:at] if generator.random() < 0.5 else data[at:]


def copy(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """A stretch of it a second time, elsewhere."""
    start, end = sorted((_place(data, generator), _place(data, generator)))
    at = _place(data, generator)
    return data[:at] + data[start : min(end, start + 200)] + data[at:]


def spaces(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """Space and line ends of other kinds, where there were some."""
    old, new = generator.choice(SPACES)
    return data.replace(old, new, generator.choice((1, -1)))


def slack(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """Another last letter of a base64 text, which decodes to the same bytes."""
    ends = [at for at in range(1, len(data)) if data[at] == 61 and data[at - 1] != 61]
    if not ends:
        return data
    at = generator.choice(ends) - 1
    return data[:at] + bytes([(data[at] + 1) % 256]) + data[at + 1 :]


def splice(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """The beginning of one, the end of the other, at the same place."""
    at = _place(data, generator)
    return data[:at] + other[at:] if generator.random() < 0.5 else other[:at] + data[at:]


def lines(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """Lines swapped, left out, doubled, or taken from the other."""
    return b"\n".join(_rearranged(data.split(b"\n"), other.split(b"\n"), generator))


def blocks(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """The same with what stands between empty lines: the opening, the checkpoint, signatures."""
    return b"\n\n".join(_rearranged(data.split(b"\n\n"), other.split(b"\n\n"), generator))


def words(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """The same within a line: names, numbers, signatures."""
    parts, others = data.split(b"\n"), other.split(b"\n")
    at = _place(parts, generator)
    theirs = others[min(at, len(others) - 1)].split(b" ")
    parts[at] = b" ".join(_rearranged(parts[at].split(b" "), theirs, generator))
    return b"\n".join(parts)


def number(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """Replace a decimal number by another one."""
    parts = data.split(b"\n")
    found = [at for at, each in enumerate(parts) if each.split(b" ")[-1].isdigit()]
    if not found:
        return data
    at = generator.choice(found)
    *before, digits = parts[at].split(b" ")
    value = int(digits[:30])
    changed = generator.choice((value + 1, value - 1, value * 2, value // 2, 0, 1 << 63, -value))
    parts[at] = b" ".join([*before, b"%d" % changed])
    return b"\n".join(parts)


def encoded(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """The bytes behind a base64 word are changed, and encoded again as they should be."""
    places = _encoded(data)
    if not places:
        return data
    at, end = generator.choice(places)
    theirs = [other[lo:hi] for lo, hi in _encoded(other)] or [data[at:end]]
    donor = b64decode(generator.choice(theirs))
    changed = generator.choice(RAW)(b64decode(data[at:end]), donor, generator)
    return data[:at] + b64encode(changed) + data[end:]


def members(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """The JSON behind `extra` is changed in one place, and written in its canonical form again."""
    head, found, tail = _extra(data)
    if found is None:
        return data
    _, theirs, _ = _extra(other)
    changed = _changed(found, found if theirs is None else theirs, generator)
    text = json.dumps(changed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return head + b64encode(text.encode("utf-8", "surrogatepass")) + tail


def records(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """Hashes swapped, left out, doubled, reversed, or taken from the other."""
    return b"".join(_rearranged(_records(data, 0, 32), _records(other, 0, 32), generator))


def steps(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """The same with a map's proof: 64 bytes of leaf, then 33 a step."""
    mine, theirs = _records(data[64:], 0, 33), _records(other[64:], 0, 33)
    leaf = generator.choice((data[:64], data[:64], other[:64], data[:32] + other[32:64]))
    return leaf + b"".join(_rearranged(mine, theirs, generator))


def entries(data: bytes, other: bytes, generator: random.Random) -> bytes:
    """The same with the entries of a bundle, each after its length."""
    changed = _rearranged(_entries(data), _entries(other), generator)
    return b"".join(len(each).to_bytes(2) + each for each in changed)


def _place(data: Sequence[Any], generator: random.Random) -> int:
    return generator.randrange(len(data)) if data else 0


def _rearranged(mine: Sequence[T], theirs: Sequence[T], generator: random.Random) -> Sequence[T]:
    """One of the list's parts elsewhere, gone, twice, or of the other list."""
    if not mine:
        return theirs[:1]
    place = _place([*mine], generator)
    return generator.choice(ARRANGED)([*mine], [*theirs] or [*mine], place, generator)


def _swapped(mine: list[T], theirs: list[T], at: int, generator: random.Random) -> list[T]:
    two = _place(mine, generator)
    mine[at], mine[two] = mine[two], mine[at]
    return mine


def _doubled(mine: list[T], theirs: list[T], at: int, generator: random.Random) -> list[T]:
    mine.insert(_place(mine, generator), mine[at])
    return mine


def _taken(mine: list[T], theirs: list[T], at: int, generator: random.Random) -> list[T]:
    """Replace one of mine by one of theirs: the one at the same place, or any."""
    one = theirs[min(at, len(theirs) - 1)]
    return [*mine[:at], generator.choice((one, generator.choice(theirs))), *mine[at + 1 :]]


def _added(mine: list[T], theirs: list[T], at: int, generator: random.Random) -> list[T]:
    mine.insert(at, generator.choice(theirs))
    return mine


def _cut_up(mine: list[T], theirs: list[T], at: int, generator: random.Random) -> list[T]:
    without, start, turned = mine[:at] + mine[at + 1 :], mine[: at + 1], mine[at:] + mine[:at]
    return generator.choice((without, start, turned, mine[:at] + theirs[at:], mine[::-1]))


def _encoded(data: bytes) -> list[tuple[int, int]]:
    """Where the base64 words are."""
    found, at = [], 0
    for word in data.replace(b"\n", b" ").split(b" "):
        end = at + len(word)
        material = word.rfind(b"+", 0, 200) + 1 if word.count(b"+") == 2 else 0  # a key's last part
        if len(word) - material >= 8 and _decodes(word[material:]):
            found.append((at + material, end))
        at = end + 1
    return found


def _decodes(word: bytes) -> bool:
    try:
        return b64encode(b64decode(word, validate=True)) == word
    except ValueError:
        return False


def _extra(data: bytes) -> tuple[bytes, Any, bytes]:
    """The text before the JSON of a proof, the JSON, and the text after it."""
    at = data.find(b"\nextra ") + 7
    end = data.find(b"\n", at)
    try:
        return data[:at], json.loads(b64decode(data[at:end], validate=True)), data[end:]
    except (ValueError, RecursionError):
        return data, None, b""


def _changed(value: Any, other: Any, generator: random.Random) -> Any:
    """One place of a JSON value, however deep, is another."""
    if isinstance(value, dict) and value and generator.random() < 0.8:
        return _member(value, other if isinstance(other, dict) else {}, generator)
    if isinstance(value, list) and value and generator.random() < 0.8:
        return _rearranged([*value], [*other] if isinstance(other, list) else [], generator)
    return generator.choice(_others(value, other))


def _member(
    value: dict[str, Any], other: dict[str, Any], generator: random.Random
) -> dict[str, Any]:
    key = generator.choice(sorted(value))
    theirs = other.get(key, value[key])
    if generator.random() < 0.5:
        return value | {key: _changed(value[key], theirs, generator)}
    without = {name: each for name, each in value.items() if name != key}
    swapped = value | {key: value[generator.choice(sorted(value))]}
    return generator.choice((without, swapped, value | {key + "x": theirs}, value | {key: theirs}))


def _others(value: Any, other: Any) -> tuple[Any, ...]:
    """What might stand in its place."""
    if isinstance(value, bool):
        return (not value, int(value), None)
    if isinstance(value, int):
        return (value + 1, value - 1, -value, str(value), float(value), 1 << 53, other)
    if isinstance(value, str):
        return (value + "A", value[:-1], value[::-1], value.upper(), None, [value], other)
    return (None, 0, "", [], {}, [value], other)


def _records(data: bytes, start: int, width: int) -> list[bytes]:
    return [data[at : at + width] for at in range(start, len(data), width)]


def _entries(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        found.append(data[at + 2 : end])
        at = end
    return found


INTERESTING = tuple(b"\x00\x01\n\r +-.019=A_a{\x7f\x80\xc2\xe2\xff")
SPACES = (
    (b"\n", b"\r\n"),
    (b"\n", b"\n\n"),
    (b"\n\n", b"\n"),
    (b" ", b"  "),
    (b" ", b"\t"),
    (b" ", b"\xc2\xa0"),
    (b"\n", b" \n"),
    (b"=", b""),
    (b"+", b"-"),
    (b"/", b"_"),
    (b"index ", b"index 0"),
    (b"index ", b"index +"),
    (b"old ", b"old 0"),
    (b"\xe2\x80\x94", b"-"),
)
ARRANGED: tuple[Callable[[list[Any], list[Any], int, random.Random], list[Any]], ...] = (
    _swapped,
    _doubled,
    _taken,
    _added,
    _cut_up,
    _cut_up,
)
RAW: tuple[Mutator, ...] = (flip, flip, replace, insert, delete, cut, copy, splice)
BYTES: tuple[Mutator, ...] = (flip, replace, insert, delete, cut, copy, spaces, slack, splice)
LINES: tuple[Mutator, ...] = (lines, blocks, words, number, encoded, encoded, members)
EVERY: tuple[Mutator, ...] = (*BYTES, *LINES, records, steps, entries)
