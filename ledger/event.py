"""What a log says: instructions of customers, and the company's own public acts.

An event is canonical JSON (RFC 8785) in a strict profile: no floats, integers within ±(2^53 - 1),
ASCII keys, times in whole seconds UTC, bytes in base64. One complete example:

    {"act":{"fields":["age"],"scene":"segmentation","type":"granted","until":null},
     "at":"2026-01-01T12:00:00Z","evidence":"C","nonce":"AAAAAAAAAAAAAAAAAAAAAA==",
     "origin":"demo.example/consent","prev":"AAAA…=","seq":1,"subject":"c00001",
     "type":"instruction","wording":{"digest":"nxA…=","locale":"en"}}

Every class here carries `"type": "its-name"`. In this profile msgspec's sorted encoding *is* the
canonical form; tests/ledger compares it with an independent implementation of RFC 8785.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from re import sub
from typing import Any

import msgspec

NONCE_SIZE = 16
FIRST = bytes(32)  # the predecessor of a customer's first instruction
MOST_INTEGER = (1 << 53) - 1
MOST_DEPTH = 16  # of the body of a release


class MalformedEventError(ValueError):
    """Not an event of this profile. The message says where it departs from it."""


class _Checked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checks what types cannot say, when an event is made and when it is decoded."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if (rule := _RULES.get(type(value))) is not None:
                rule(name, value)


class _Tagged(
    _Checked,
    frozen=True,
    tag_field="type",
    tag=lambda name: sub(r"(?<!^)(?=[A-Z])", "-", name).lower(),
):
    """Carries its class's name."""


class Evidence(StrEnum):
    """How an instruction was authenticated; shown wherever the instruction is."""

    PASSKEY = "A"
    BROWSER_KEY = "B"
    SESSION = "C"
    IMPORTED = "D"


class Wording(_Checked, frozen=True):
    """The words that were shown: their language, and SHA-256."""

    locale: str
    digest: bytes


class Granted(_Tagged, frozen=True):
    """From now on exactly these fields of the scene, until then (None: the contract's longest)."""

    scene: str
    fields: tuple[str, ...]
    until: datetime | None


class Withdrawn(_Tagged, frozen=True):
    """The whole scene, or only these fields of it."""

    scene: str
    fields: tuple[str, ...] | None = None


class TriggerSet(_Tagged, frozen=True):
    """Freeze the scene while the signal breaks the template; threshold in ten-thousandths."""

    scene: str
    template: str
    signal: str
    threshold: int


class TriggerCleared(_Tagged, frozen=True):
    scene: str
    template: str
    signal: str


class Imported(_Tagged, frozen=True):
    """A grant that was recorded elsewhere before this log began."""

    scene: str
    fields: tuple[str, ...]
    until: datetime | None
    source: str


Act = Granted | Withdrawn | TriggerSet | TriggerCleared | Imported


class Instruction(_Tagged, frozen=True):
    """A customer's act in its envelope.

    `seq` counts the customer's instructions from 1; `prev` is the digest of the one before.
    """

    origin: str
    subject: str
    seq: int
    prev: bytes
    nonce: bytes
    at: datetime
    wording: Wording
    evidence: Evidence
    act: Act

    def next(self, act: Act, *, at: datetime, wording: Wording) -> "Instruction":
        """The same customer's following instruction, with the same evidence."""
        return instruction(
            self.origin, self.subject, self.seq, digest(self), act, at, wording, self.evidence
        )


class ScenePublished(_Tagged, frozen=True):
    scene: str
    version: str
    digest: str
    at: datetime


class PolicyPublished(_Tagged, frozen=True):
    digest: str
    at: datetime


class ServiceRegistered(_Tagged, frozen=True):
    service: str
    key: str
    at: datetime


class KeyRotated(_Tagged, frozen=True):
    """The log signs with these verifier keys from the next entry on."""

    origin: str
    keys: tuple[str, ...]
    at: datetime


class SignalReported(_Tagged, frozen=True):
    """A figure that triggers watch, in ten-thousandths."""

    source: str
    signal: str
    value: int
    at: datetime


class BudgetReserved(_Tagged, frozen=True):
    """A privacy budget was debited, before the noise that it pays for was drawn."""

    scene: str
    body: Mapping[str, Any]
    at: datetime


class SyntheticReleased(_Tagged, frozen=True):
    """A differentially private release: all that a regulator needs to recompute it."""

    release: str
    scene: str
    body: Mapping[str, Any]
    at: datetime


class ReadLogOpened(_Tagged, frozen=True):
    origin: str
    key: str
    at: datetime


class ReadLogAnchored(_Tagged, frozen=True):
    origin: str
    size: int
    root: str
    at: datetime


class SubjectErased(_Tagged, frozen=True):
    """Somebody was erased. It does not say who: nobody can."""

    at: datetime


class EntryErased(_Tagged, frozen=True):
    """One instruction was made unreadable at its customer's wish: the entry at this index."""

    entry: int
    at: datetime


class ManifestPublished(_Tagged, frozen=True):
    """What a model was trained on, as of `size` entries: SHA-256 of its manifest, in hex."""

    model: str
    manifest: str
    size: int
    at: datetime


PublicEvent = (
    ScenePublished
    | PolicyPublished
    | ServiceRegistered
    | KeyRotated
    | SignalReported
    | BudgetReserved
    | SyntheticReleased
    | ReadLogOpened
    | ReadLogAnchored
    | SubjectErased
    | EntryErased
    | ManifestPublished
)
Event = Instruction | PublicEvent


def instruction(  # noqa: PLR0913, PLR0917 - the envelope has that many parts
    origin: str,
    subject: str,
    version: int,
    prev: bytes,
    act: Act,
    at: datetime,
    wording: Wording,
    evidence: Evidence,
) -> Instruction:
    """The instruction that follows version `version` of the subject's agreement."""
    at = at.astimezone(UTC).replace(microsecond=0)
    nonce = secrets.token_bytes(NONCE_SIZE)
    return Instruction(origin, subject, version + 1, prev, nonce, at, wording, evidence, act)


def encode(event: Event) -> bytes:
    """Canonical bytes. Raises MalformedEventError for an event outside the profile.

    Structs do not check types when they are made, so what was encoded is decoded once: an entry
    that nobody can read again must never reach a log.
    """
    try:
        data = _ENCODER.encode(event)
        again = _DECODER.decode(data)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedEventError(f"cannot be encoded: {error}") from error
    if again != event:
        raise MalformedEventError("cannot be encoded: it reads back as another event")
    return data


def decode(data: bytes) -> Event:
    """Raises MalformedEventError for anything but the canonical bytes of an event."""
    try:
        event = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEventError(f"not an event: {error}") from error
    if _ENCODER.encode(event) != data:
        raise MalformedEventError("not in canonical form")
    return event


def digest(event: Event) -> bytes:
    """What the customer's next instruction names as its predecessor."""
    return sha256(encode(event)).digest()


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


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
    if len(value) != (want := NONCE_SIZE if name == "nonce" else len(FIRST)):
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
