"""Strict JSON: what is parsed here means one thing to every program that parses it.

The profile of specs/event.md: integers within ±(2^53 - 1), no fractions and no exponents, ASCII
keys, no key twice, no half characters, nesting no deeper than 64. White space is taken where JSON
has it; `canonical` (RFC 8785) leaves none. portal/web/static/canonical.js says the same in the
browser, and tests/fuzz/canonical.py holds the two together.
"""

import json
from typing import Any, NoReturn

from ledger.vault.commitments import canonical

__all__ = ["StrictJsonError", "canonical", "parse"]

MOST_INTEGER = (1 << 53) - 1
MOST_DEPTH = 64
_LONGEST = len(str(MOST_INTEGER)) + 1  # signs of an integer


class StrictJsonError(ValueError):
    """The bytes are not JSON of the strict profile. The message says where they depart from it."""


def parse(data: bytes) -> Any:
    """The value of strict JSON. Raises StrictJsonError."""
    try:
        found = _DECODER.decode(data.decode("utf-8"))
        _require(found, MOST_DEPTH)
        canonical(found)
    except (ValueError, RecursionError) as error:
        raise StrictJsonError(f"not strict JSON: {error}") from error
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError(f"a key stands twice among {sorted(key for key, _ in pairs)}"[:200])
    if not all(key.isascii() for key in found):
        raise StrictJsonError("a key is not ASCII")
    return found


def _integer(text: str) -> int:
    if len(text) > _LONGEST or text == "-0" or abs(found := int(text)) > MOST_INTEGER:
        raise StrictJsonError(f"{text[:20]} is no integer within ±(2^53 - 1)")
    return found


def _refused(text: str) -> NoReturn:
    raise StrictJsonError(f"{text[:20]} is no integer")


def _require(value: Any, depth: int) -> None:
    if isinstance(value, dict | list):
        if not depth:
            raise StrictJsonError(f"nested deeper than {MOST_DEPTH}")
        for each in value.values() if isinstance(value, dict) else value:
            _require(each, depth - 1)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_refused, parse_constant=_refused
)
