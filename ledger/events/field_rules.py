"""Field rules of the event profile that types alone cannot express.

Integers within ±(2^53 - 1) and no floats, ASCII keys, times in whole seconds UTC, bytes in base64
of the sizes given here. Checked when an event is created and when it is decoded: see
specs/event.md.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from re import sub
from typing import Any

import msgspec

NONCE_SIZE = 16
DIGEST_SIZE = 32
MAX_KEY_BYTES = 1024  # of a public key; customer_keys.py has the allowed forms
MAX_INTEGER = (1 << 53) - 1
MAX_DEPTH = 16  # of the body of a release


class MalformedEventError(ValueError):
    """Not an event of this profile. The message names the field and what is wrong with it."""


class CheckedStruct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Applies the field rules when an event is created and when it is decoded."""

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
    """A struct whose `type` is its class name in lower case with hyphens."""


# These run for every event, so messages are formatted only if something is wrong.
def _integer(name: str, value: int) -> None:
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise MalformedEventError(f"{name} is {value}, want an integer within ±(2^53 - 1)")


def _time(name: str, value: datetime) -> None:
    if value.tzinfo is not UTC or value.microsecond:
        raise MalformedEventError(f"{name} is {value}, want whole seconds UTC")
    if value.second and name == "until":
        raise MalformedEventError(f"until is {value}, want a whole minute")


def _distinct(name: str, value: tuple[str, ...]) -> None:
    if len(set(value)) != len(value):
        raise MalformedEventError(f"{name} repeats a value: {value}")


def _tree(name: str, value: Mapping[str, Any]) -> None:
    _require_tree(name, value, MAX_DEPTH)


def _sized(name: str, value: bytes) -> None:
    if name == "public":  # of a key: customer_keys.require_usable checks its bytes
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
    _want(depth > 0, f"{name} is nested deeper than {MAX_DEPTH}")
    match value:
        case Mapping():
            ascii_keys = all(isinstance(k, str) and k.isascii() for k in value)
            _want(ascii_keys, f"{name} has a key that is not ASCII text")
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
            raise MalformedEventError(
                f"{name} has a {type(value).__name__}, want JSON without floats"
            )


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise MalformedEventError(otherwise)
