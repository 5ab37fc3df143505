"""Events of the consent log: customers' instructions, and public acts of the company.

An event is canonical JSON (RFC 8785) in a strict profile: no floats, integers within ±(2^53 - 1),
ASCII keys, times in whole seconds UTC, bytes in base64. One complete example:

    {"act":{"fields":["age"],"scene":"segmentation","type":"granted","until":null},
     "at":"2026-01-01T12:00:00Z","evidence":"C","nonce":"AAAAAAAAAAAAAAAAAAAAAA==",
     "origin":"demo.example/consent","prev":"AAAA…=","seq":1,"subject":"c00001",
     "type":"instruction","wording":{"digest":"nxA…=","locale":"en"}}

Every class is written with `"type": "its-name"`. In this profile the output of msgspec's encoder
with sorted keys is the canonical form; tests/ledger compares it with an independent implementation
of RFC 8785.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from ledger.events.acts import (
    OF_THE_COMPANY,
    Act,
    Algorithm,
    CustomerKey,
    Granted,
    Imported,
    KeyAct,
    KeyEnrolled,
    KeyKind,
    KeyRecovered,
    KeyRemoved,
    KeyReplaced,
    MandateEnded,
    MandateGiven,
    RecoveryCancelled,
    RecoveryRequested,
    SceneAct,
    SourceDeleted,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.events.field_rules import (
    DIGEST_SIZE,
    MAX_DEPTH,
    MAX_INTEGER,
    NONCE_SIZE,
    CheckedStruct,
    MalformedEventError,
    TaggedStruct,
)

__all__ = [
    "FIRST",
    "MAX_DEPTH",
    "MAX_INTEGER",
    "NONCE_SIZE",
    "Act",
    "Algorithm",
    "BudgetReserved",
    "CustomerKey",
    "DecisionPolicyPublished",
    "Event",
    "EvidenceClass",
    "Granted",
    "Imported",
    "Instruction",
    "KeyAct",
    "KeyEnrolled",
    "KeyKind",
    "KeyRecovered",
    "KeyRemoved",
    "KeyReplaced",
    "KeyRotated",
    "MalformedEventError",
    "MandateEnded",
    "MandateGiven",
    "PolicyPublished",
    "PublicEvent",
    "ReadLogAnchored",
    "ReadLogClosed",
    "ReadLogOpened",
    "ReadLogRemoved",
    "ReadsKept",
    "RecoveryCancelled",
    "RecoveryRequested",
    "SceneAct",
    "ScenePublished",
    "ServiceRegistered",
    "SignalReported",
    "SourceDeleted",
    "SubjectErased",
    "SyntheticReleased",
    "TriggerCleared",
    "TriggerSet",
    "Withdrawn",
    "Wording",
    "decode",
    "digest",
    "encode",
    "instruction",
]

FIRST = bytes(DIGEST_SIZE)  # the predecessor of a customer's first instruction


class EvidenceClass(StrEnum):
    """How an instruction was authenticated; shown wherever the instruction is."""

    PASSKEY = "A"
    BROWSER_KEY = "B"
    SESSION = "C"
    IMPORTED = "D"


class Wording(CheckedStruct, frozen=True):
    """The text that was shown to the customer: its language, and its SHA-256."""

    locale: str
    digest: bytes


class Instruction(TaggedStruct, frozen=True, omit_defaults=True):
    """A customer's act in its envelope.

    `seq` counts the customer's instructions from 1; `prev` is the digest of the previous one.
    `mandate` is the digest of the `mandate-given` instruction if another person signs, else absent.
    `time_uncertain` is true if the log's own clock could not be believed at `at`, else absent.
    """

    origin: str
    subject: str
    seq: int
    prev: bytes
    nonce: bytes
    at: datetime
    wording: Wording
    evidence: EvidenceClass
    act: Act
    mandate: bytes | None = None
    time_uncertain: bool = False

    @property
    def scene(self) -> str | None:
        """The scene that the act is about; None if it is about keys."""
        return getattr(self.act, "scene", None)

    def next(self, act: Act, *, at: datetime, wording: Wording) -> "Instruction":
        """The customer's next instruction, at a time as uncertain, with the same evidence class."""
        return instruction(
            self.origin,
            self.subject,
            self.seq,
            digest(self),
            act,
            at,
            wording,
            self.evidence,
            time_uncertain=self.time_uncertain,
        )


class ScenePublished(TaggedStruct, frozen=True):
    scene: str
    version: str
    digest: str
    at: datetime


class PolicyPublished(TaggedStruct, frozen=True):
    digest: str
    at: datetime


class DecisionPolicyPublished(TaggedStruct, frozen=True):
    """A company's policy about other resources than customers, by digest, or "none"."""

    digest: str
    at: datetime


class ServiceRegistered(TaggedStruct, frozen=True):
    service: str
    key: str
    at: datetime


class KeyRotated(TaggedStruct, frozen=True):
    """From the next entry on, the log `origin` signs with the keys of these verifier keys."""

    origin: str
    keys: tuple[str, ...]
    at: datetime


class SignalReported(TaggedStruct, frozen=True):
    """A reported value of a signal that triggers watch, in ten-thousandths."""

    source: str
    signal: str
    value: int
    at: datetime


class BudgetReserved(TaggedStruct, frozen=True):
    """A debit of a privacy budget, recorded before the noise that it pays for was drawn."""

    scene: str
    body: Mapping[str, Any]
    at: datetime


class SyntheticReleased(TaggedStruct, frozen=True):
    """A differentially private release, with all that a regulator needs to recompute it."""

    release: str
    scene: str
    body: Mapping[str, Any]
    at: datetime


class ReadLogOpened(TaggedStruct, frozen=True):
    origin: str
    key: str
    at: datetime


class ReadLogAnchored(TaggedStruct, frozen=True):
    origin: str
    size: int
    root: str
    at: datetime


class ReadLogClosed(TaggedStruct, frozen=True):
    """The last anchor of a read log: it has these entries, and no entry may follow."""

    origin: str
    size: int
    root: str
    at: datetime


class ReadsKept(TaggedStruct, frozen=True):
    """From now on entries of read logs are kept for `days` after their log was closed."""

    days: int
    at: datetime


class ReadLogRemoved(TaggedStruct, frozen=True):
    """The entries of a closed read log are removed, because the declared time is over."""

    origin: str
    at: datetime


class SubjectErased(TaggedStruct, frozen=True):
    """A customer was erased. The event does not say who."""

    at: datetime


class EntryErased(TaggedStruct, frozen=True):
    """The instruction at this index was made unreadable at its customer's request."""

    entry: int
    at: datetime


class ManifestPublished(TaggedStruct, frozen=True):
    """The training manifest of a model at `size` entries: SHA-256 of the manifest, in hex."""

    model: str
    manifest: str
    size: int
    at: datetime


PublicEvent = (
    ScenePublished
    | PolicyPublished
    | DecisionPolicyPublished
    | ServiceRegistered
    | KeyRotated
    | SignalReported
    | BudgetReserved
    | SyntheticReleased
    | ReadLogOpened
    | ReadLogAnchored
    | ReadLogClosed
    | ReadLogRemoved
    | ReadsKept
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
    evidence: EvidenceClass,
    mandate: bytes | None = None,
    *,
    time_uncertain: bool = False,
) -> Instruction:
    """The instruction that follows version `version` of the subject's agreement."""
    at = at.astimezone(UTC).replace(microsecond=0)
    nonce = secrets.token_bytes(NONCE_SIZE)
    return Instruction(
        origin,
        subject,
        version + 1,
        prev,
        nonce,
        at,
        wording,
        evidence,
        act,
        mandate,
        time_uncertain,
    )


def encode(event: Event) -> bytes:
    """The event's canonical bytes. Raises MalformedEventError for an event outside the profile.

    msgspec does not check types when a struct is created, so the bytes are decoded again: an entry
    that cannot be decoded must never reach the log.
    """
    try:
        data = _ENCODER.encode(event)
        again = _DECODER.decode(data)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedEventError(f"cannot be encoded: {error}") from error
    if again != event:
        raise MalformedEventError("cannot be encoded: the bytes decode to a different event")
    _require_names(event)
    _require_class(event)
    return data


def decode(data: bytes) -> Event:
    """Decode canonical bytes. Raises MalformedEventError for anything else."""
    event = decode_stored(data)
    _require_names(event)
    _require_class(event)
    return event


def decode_stored(data: bytes) -> Event:
    """As `decode`, for an event that is in the log: an earlier version took lists without a name.

    Such an act gives and takes nothing, and no receipt of it verifies.
    """
    try:
        event = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEventError(f"not an event: {error}") from error
    if _ENCODER.encode(event) != data:
        raise MalformedEventError("not in canonical form")
    return event


def encode_stored(event: Event) -> bytes:
    """The bytes that `decode_stored` decoded."""
    return _ENCODER.encode(event)


def digest(event: Event) -> bytes:
    """SHA-256 of the event's canonical bytes: the `prev` of the customer's next instruction."""
    return sha256(encode_stored(event)).digest()


def _require_names(event: Event) -> None:
    """Raise MalformedEventError for a list without a name: it would read like "everything"."""
    act = event.act if isinstance(event, Instruction) else None
    for part in ("fields", "scenes"):
        if getattr(act, part, None) == ():
            raise MalformedEventError(f"{part} is an empty list, want at least one name")


def _require_class(event: Event) -> None:
    """Raise MalformedEventError for an act of the company that somebody else is said to give."""
    if not isinstance(event, Instruction) or type(event.act) not in OF_THE_COMPANY:
        return
    if event.evidence is not EvidenceClass.IMPORTED:
        kind = event.act.__struct_config__.tag
        raise MalformedEventError(f"evidence is {event.evidence.value}, want D of {kind}")


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
