"""What a log says: instructions of customers, and the company's own public acts.

An event is canonical JSON (RFC 8785) in a strict profile: no floats, integers within ±(2^53 - 1),
ASCII keys, times in whole seconds UTC, digests in lower-case hex. One complete example:

    {"act":{"fields":["age"],"scene":"segmentation","type":"granted","until":null},
     "at":"2026-01-01T12:00:00Z","evidence":"C","nonce":"00…","origin":"demo.example/consent",
     "prev":"00…","seq":1,"subject":"c00001","type":"instruction",
     "wording":{"digest":"9f…","locale":"en"}}
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, get_args

from ledger import codec
from ledger.codec import MalformedEventError

NONCE_SIZE = 16
Digest = Annotated[bytes, 32]  # SHA-256
Nonce = Annotated[bytes, NONCE_SIZE]
FIRST = bytes(32)  # the predecessor of a customer's first instruction


class Evidence(StrEnum):
    """How an instruction was authenticated; shown wherever the instruction is."""

    PASSKEY = "A"
    BROWSER_KEY = "B"
    SESSION = "C"
    IMPORTED = "D"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words that were shown: their language, and SHA-256."""

    locale: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Granted:
    """From now on exactly these fields of the scene, until then (None: the contract's longest)."""

    scene: str
    fields: tuple[str, ...]
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The whole scene, or only these fields of it."""

    scene: str
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class TriggerSet:
    """Freeze the scene while the signal breaks the template; threshold in ten-thousandths."""

    scene: str
    template: str
    signal: str
    threshold: int


@dataclass(frozen=True, slots=True)
class TriggerCleared:
    scene: str
    template: str
    signal: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A grant that was recorded elsewhere before this log began."""

    scene: str
    fields: tuple[str, ...]
    until: datetime | None
    source: str


Act = Granted | Withdrawn | TriggerSet | TriggerCleared | Imported


@dataclass(frozen=True, slots=True)
class Instruction:
    """A customer's act in its envelope.

    `seq` counts the customer's instructions from 1; `prev` is the digest of the one before.
    """

    origin: str
    subject: str
    seq: int
    prev: Digest
    nonce: Nonce
    at: datetime
    wording: Wording
    evidence: Evidence
    act: Act

    def next(self, act: Act, *, at: datetime, wording: Wording) -> "Instruction":
        """The same customer's following instruction, with the same evidence."""
        return instruction(
            self.origin, self.subject, self.seq, digest(self), act, at, wording, self.evidence
        )


@dataclass(frozen=True, slots=True)
class ScenePublished:
    scene: str
    version: str
    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PolicyPublished:
    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ServiceRegistered:
    service: str
    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SignalReported:
    """A figure that triggers watch, in ten-thousandths."""

    source: str
    signal: str
    value: int
    at: datetime


@dataclass(frozen=True, slots=True)
class SyntheticReleased:
    """A differentially private release: all that a regulator needs to recompute it."""

    release: str
    scene: str
    body: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class ReadLogOpened:
    origin: str
    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReadLogAnchored:
    origin: str
    size: int
    root: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SubjectErased:
    """Somebody was erased. It does not say who: nobody can."""

    at: datetime


PublicEvent = (
    ScenePublished
    | PolicyPublished
    | ServiceRegistered
    | SignalReported
    | SyntheticReleased
    | ReadLogOpened
    | ReadLogAnchored
    | SubjectErased
)
Event = Instruction | PublicEvent

codec.register(*get_args(Act), *get_args(PublicEvent), Instruction)


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
    """Canonical bytes. Raises MalformedEventError for an event outside the profile."""
    return codec.encode(event)


def decode(data: bytes) -> Event:
    """Raises MalformedEventError for anything but the canonical bytes of an event."""
    event = codec.decode(data)
    if not isinstance(event, Event):
        raise MalformedEventError(f"a {type(event).__name__} is no event of its own")
    return event


def digest(event: Event) -> bytes:
    """What the customer's next instruction names as its predecessor."""
    return sha256(encode(event)).digest()
