"""Strict JSON: a subset of JSON that every parser reads the same way.

The profile of specs/event.md: integers within ±(2^53 - 1), no fractions, no exponents, ASCII keys,
no duplicate keys, no lone surrogates, at most 64 levels of nesting. White space is accepted where
JSON allows it; `canonical` (RFC 8785) writes none. portal/web/static/canonical.js implements the
same profile in the browser; tests/fuzz/canonical.py compares the two.
"""

import json
from typing import Any, NoReturn

from ledger.vault.commitments import canonical

__all__ = ["StrictJsonError", "canonical", "parse"]

MAX_INTEGER = (1 << 53) - 1
MAX_DEPTH = 64
_LONGEST = len(str(MAX_INTEGER)) + 1  # characters of an integer, with its sign


class StrictJsonError(ValueError):
    """The bytes are not JSON of the strict profile. The message says what is wrong."""


def parse(data: bytes) -> Any:
    """The value of strict JSON. Raises StrictJsonError."""
    try:
        value = _DECODER.decode(data.decode("utf-8"))
        _require(value, MAX_DEPTH)
        canonical(value)
    except (ValueError, RecursionError) as error:
        raise StrictJsonError(f"not strict JSON: {error}") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise StrictJsonError(f"the duplicate keys {twice}"[:200])
    if not all(key.isascii() for key in members):
        raise StrictJsonError("a key is not ASCII")
    return members


def _integer(text: str) -> int:
    if len(text) > _LONGEST or text == "-0" or abs(value := int(text)) > MAX_INTEGER:
        raise StrictJsonError(f"{text[:20]} is not an integer within ±(2^53 - 1)")
    return value


def _refused(text: str) -> NoReturn:
    raise StrictJsonError(f"{text[:20]} is not an integer")


def _require(value: Any, depth: int) -> None:
    if isinstance(value, dict | list):
        if not depth:
            raise StrictJsonError(f"nested deeper than {MAX_DEPTH}")
        for each in value.values() if isinstance(value, dict) else value:
            _require(each, depth - 1)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_refused, parse_constant=_refused
)
