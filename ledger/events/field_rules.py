"""The strict profile in which events are written: what types alone cannot say of their parts.

Integers within ±(2^53 - 1) and no floats, ASCII keys, times in whole seconds UTC, bytes in base64
of the sizes named here. Checked when an event is made and when it is decoded: see specs/event.md.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from re import sub
from typing import Any

import msgspec

NONCE_SIZE = 16
DIGEST_SIZE = 32
MOST_KEY = 1024  # bytes of a public key; instruction.py says which there are
MOST_INTEGER = (1 << 53) - 1
MOST_DEPTH = 16  # of the body of a release


class MalformedEventError(ValueError):
    """Not an event of this profile. The message says where it departs from it."""


class CheckedStruct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checks what types cannot say, when an event is made and when it is decoded."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if (rule := _RULES.get(type(value))) is not None:
                rule(name, value)


class TaggedStruct(
    CheckedStruct,
    frozen=True,
    tag_field="type",
    tag=lambda name: sub(r"(?<!^)(?=[A-Z])", "-", name).lower(),
):
    """Carries its class's name."""


# Messages are formatted only when something is wrong: these run for every event made or read.
def _integer(name: str, value: int) -> None:
    if not -MOST_INTEGER <= value <= MOST_INTEGER:
        raise MalformedEventError(f"{name} is {value}, want at most 2^53 - 1")


def _time(name: str, value: datetime) -> None:
    if value.tzinfo is not UTC or value.microsecond:
        raise MalformedEventError(f"{name} is {value}, want whole seconds UTC")
    if value.second and name == "until":
        raise MalformedEventError(f"until is {value}, want a whole minute")


def _distinct(name: str, value: tuple[str, ...]) -> None:
    if len(set(value)) != len(value):
        raise MalformedEventError(f"{name} repeats a value: {value}")


def _tree(name: str, value: Mapping[str, Any]) -> None:
    _require_tree(name, value, MOST_DEPTH)


def _sized(name: str, value: bytes) -> None:
    if name == "public":  # of a key; its own rule says which bytes it has
        return
    if len(value) != (want := NONCE_SIZE if name == "nonce" else DIGEST_SIZE):
        raise MalformedEventError(f"{name} has {len(value)} bytes, want {want}")


_RULES: dict[type, Callable[[str, Any], None]] = {
    bytes: _sized,
    int: _integer,
    datetime: _time,
    tuple: _distinct,
    dict: _tree,
}


def _require_tree(name: str, value: object, depth: int) -> None:
    """JSON without floats, nested no deeper than `depth`."""
    _want(depth > 0, f"{name} is nested deeper than {MOST_DEPTH}")
    match value:
        case Mapping():
            _want(all(isinstance(k, str) and k.isascii() for k in value), f"{name} has other keys")
            for each in value.values():
                _require_tree(name, each, depth - 1)
        case list() | tuple():
            for each in value:
                _require_tree(name, each, depth - 1)
        case bool() | str() | None:
            pass
        case int():
            _integer(name, value)
        case _:
            raise MalformedEventError(f"{name} holds {type(value).__name__}, want JSON, no floats")


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise MalformedEventError(otherwise)
