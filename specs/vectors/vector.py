"""The form of all vector files: a case is valid, or has exactly one named mutation."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

Vector = dict[str, Any]


def cases(name: str, valid: Vector, *mutated: tuple[str, Vector]) -> Iterator[Vector]:
    """The valid case of that name, then each mutation of it: its name, the members it sets."""
    yield {"case": name, "mutation": None, **valid}
    for mutation, members in mutated:
        if not members.keys() <= valid.keys() or {**valid, **members} == valid:
            raise ValueError(f"{name}, {mutation}: want other values of the members of the case")
        yield {"case": name, "mutation": mutation, **valid, **members}


def text(vectors: Iterator[Vector]) -> str:
    """A file: one case a line."""
    return "[\n" + ",\n".join(json.dumps(each, sort_keys=True) for each in vectors) + "\n]\n"


def canonical(value: Any) -> str:
    """RFC 8785 for values without floats and with ASCII keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def slack(line: str) -> str:
    """A line whose base64 decodes to the same bytes, with an unused bit set."""
    before, space, encoded = line.rpartition(" ")
    at = encoded.index("=") - 1
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = encoded[:at] + alphabet[alphabet.index(encoded[at]) | 1] + encoded[at + 1 :]
    if b64decode(encoded) != b64decode(changed):
        raise AssertionError("the changed bit is used")
    return before + space + changed


def flipped(data: bytes, at: int = 0) -> bytes:
    """One bit of byte `at` changed."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
