"""Frozen dataclasses to canonical JSON and back, strictly: what decodes encodes to the same bytes.

A class that is registered carries `"type": "its-name"`; its fields are encoded by their annotated
types. There is no other freedom, so two programs that agree on the classes agree on the bytes.
"""

import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import EnumType
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from ledger.commitment import canonical

MOST_INTEGER = (1 << 53) - 1
MOST_DEPTH = 16
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_HEX = re.compile(r"(?:[0-9a-f]{2})*")

_classes: dict[str, type] = {}


class MalformedEventError(ValueError):
    """Not an event of this profile. The message says where it departs from it."""


def register(*classes: type) -> None:
    """Give classes their names: `ScenePublished` is `scene-published`."""
    for each in classes:
        _classes[_name(each)] = each


def encode(value: Any) -> bytes:
    """Raises MalformedEventError for values outside the profile."""
    try:
        return canonical(_to_json(value))
    except MalformedEventError:
        raise
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise MalformedEventError(f"cannot be encoded: {error}") from error


def decode(data: bytes) -> Any:
    """Raises MalformedEventError for anything but canonical bytes of a registered class."""
    try:
        value = _tagged(json.loads(data, parse_float=_no_float, parse_constant=_no_float))
        again = encode(value)
    except MalformedEventError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise MalformedEventError(f"not an event: {error}") from error
    if again != data:
        raise MalformedEventError("not in canonical form")
    return value


def _to_json(value: Any) -> dict[str, Any]:
    cls: type = type(value)
    found = {name: to(getattr(value, name)) for name, (to, _) in _codecs(cls).items()}
    if _classes.get(_name(cls)) is cls:
        found["type"] = _name(cls)
    return found


def _tagged(found: Any) -> Any:
    cls = _classes[found.pop("type")]
    return _from_json(cls, found)


def _from_json(cls: type, found: Any) -> Any:
    codecs = _codecs(cls)
    if found.keys() != codecs.keys():
        raise MalformedEventError(f"{_name(cls)} has {sorted(found)}, want {sorted(codecs)}")
    return cls(**{name: back(found[name]) for name, (_, back) in codecs.items()})


Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]


@cache
def _codecs(cls: Any) -> dict[str, Codec]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: _codec(hints[field.name]) for field in fields(cls)}


def _codec(kind: Any) -> Codec:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if get_origin(kind) is not None:
        return _generic(get_origin(kind), get_args(kind))
    if isinstance(kind, EnumType):
        return lambda value: str(kind(value)), kind
    return _one_of((kind,), _to_json), lambda found: _from_json(kind, found)


def _generic(origin: Any, arguments: tuple[Any, ...]) -> Codec:
    if origin in {Union, types.UnionType}:
        return _union(arguments)
    if origin is Annotated:
        return _sized(arguments[1])
    if origin is tuple:
        return _texts, lambda found: tuple(_texts(found))
    return _object, _object


def _union(kinds: tuple[Any, ...]) -> Codec:
    present = [kind for kind in kinds if kind is not types.NoneType]
    if all(is_dataclass(kind) for kind in present):
        return _one_of(present, _to_json), _one_of(present, lambda found: _tagged(dict(found)))
    (kind,) = present
    to, back = _codec(kind)
    return (
        lambda value: None if value is None else to(value),
        lambda found: None if found is None else back(found),
    )


def _one_of(kinds: Sequence[Any], convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`convert`, for values of these classes, or that become values of these classes."""
    allowed = frozenset(kinds)

    def checked(value: Any) -> Any:
        converted = convert(value)
        if type(value) not in allowed and type(converted) not in allowed:
            wanted = sorted(_name(kind) for kind in allowed)
            raise MalformedEventError(f"{type(value).__name__} where one of {wanted} is wanted")
        return converted

    return checked


def _sized(size: int) -> Codec:
    """Bytes of one size, annotated `Annotated[bytes, size]`."""

    def checked(data: bytes) -> bytes:
        if len(data) != size:
            raise MalformedEventError(f"{len(data)} bytes where {size} are wanted")
        return data

    return lambda value: checked(value).hex(), lambda found: checked(_unhex(found))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedEventError(f"{type(value).__name__} where text is wanted")
    return str(value)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise MalformedEventError(f"{type(value).__name__} where a list of texts is wanted")
    found = list(map(_text, value))
    if len(set(found)) != len(found):
        raise MalformedEventError(f"a text stands twice: {found}")
    return found


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) > MOST_INTEGER:
        raise MalformedEventError(f"{value!r} where an integer within ±(2^53 - 1) is wanted")
    return value


def _unhex(value: Any) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise MalformedEventError(f"{value!r} where lower-case hex is wanted")
    return bytes.fromhex(value)


def _time(value: datetime) -> str:
    if value.utcoffset() is None or value.astimezone(UTC).microsecond:
        raise MalformedEventError(f"{value} where a UTC time in whole seconds is wanted")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _untime(value: Any) -> datetime:
    return datetime.strptime(_text(value), _TIME).replace(tzinfo=UTC)


def _tree(value: Any, depth: int = 0) -> Any:
    """Any JSON without floats, nested no deeper than MOST_DEPTH."""
    if depth > MOST_DEPTH:
        raise MalformedEventError(f"nested deeper than {MOST_DEPTH}")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and key.isascii() for key in value):
            raise MalformedEventError("a key is not ASCII text")
        return {key: _tree(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tree(each, depth + 1) for each in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    return _integer(value)


def _object(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise MalformedEventError(f"{type(value).__name__} where an object is wanted")
    return _tree(value)


def _no_float(text: str) -> None:
    raise MalformedEventError(f"{text} where no float may stand")


_PLAIN: dict[Any, Codec] = {
    str: (_text, _text),
    int: (_integer, _integer),
    bytes: (bytes.hex, _unhex),
    datetime: (_time, _untime),
}


@cache
def _name(cls: Any) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
