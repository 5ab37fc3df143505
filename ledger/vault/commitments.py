r"""Salted commitments: the bytes of a leaf.

    personal  0x01 ‖ tag(24) ‖ SHA-256("sovereign/entry/v1\0" ‖ salt(32) ‖ JCS(event))
    public    0x02 ‖ JCS(event)

Tag, salt and sealing key of a personal event come from the customer's data key and the event's
sequence number (HKDF-Expand with SHA-512, RFC 5869). Tags differ from event to event, so nothing
in the log links two entries of one customer; without the data key nothing can be recomputed.

A data key has two halves, names(32) ‖ events(32): the first yields the customer's names in read
logs and registers, the second their events. After one event was erased it is

    names(32) ‖ new events(32) ‖ label(32) ‖ first(8) ‖ { seq(8) ‖ tag(24) ‖ salt(32) ‖ key(32) }*

what the old events half yielded for each event before `first`, save those that were erased; from
`first` on the new half counts. The old half is gone, and with it what it yielded for them.
"""

import hmac
import json
import os
from dataclasses import dataclass
from hashlib import blake2s, sha256
from typing import Any

PERSONAL = b"\x01"
PUBLIC = b"\x02"
TAG_SIZE = 24
SALT_SIZE = 32
HALF = 32
KEY_SIZE = 2 * HALF
PERSONAL_SIZE = 1 + TAG_SIZE + 32

_ENTRY_DOMAIN = b"sovereign/entry/v1\0"
_EVENT_INFO = b"sovereign/event/v1\0"
_READING_INFO = b"sovereign/reading/v2\0"
_LABELLED = KEY_SIZE + 32
_HEAD = _LABELLED + 8
_ROW = 8 + TAG_SIZE + SALT_SIZE + HALF


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a commitment, together with the event itself."""

    tag: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a customer's data key yields for the event with one sequence number."""

    opening: Opening
    sealing_key: bytes


class ErasedEntryError(LookupError):
    """The event was erased; nothing of it can be derived."""


def secrets(data_key: bytes, seq: int) -> Secrets:
    """Derive tag, salt and sealing key of the customer's event number `seq`.

    Raises ErasedEntryError.
    """
    if len(data_key) > KEY_SIZE and seq < began(data_key):
        return _kept(data_key, seq)
    events = events_half(data_key)
    info = _EVENT_INFO + seq.to_bytes(8)
    first = hmac.digest(events, info + b"\x01", "sha512")
    second = hmac.digest(events, first + info + b"\x02", "sha512")
    opening = Opening(first[:TAG_SIZE], first[TAG_SIZE : TAG_SIZE + SALT_SIZE])
    return Secrets(opening, second[:HALF])


def tag(data_key: bytes, seq: int) -> bytes:
    """The tag alone, at half the cost. Raises ErasedEntryError."""
    if len(data_key) > KEY_SIZE:
        return secrets(data_key, seq).opening.tag
    info = _EVENT_INFO + seq.to_bytes(8)
    return hmac.digest(data_key[-HALF:], info + b"\x01", "sha512")[:TAG_SIZE]


def without(data_key: bytes, seq: int, newest: int, label: bytes) -> bytes:
    """A data key that yields every event up to `newest` as this one does, except event `seq`.

    `label`: where the customer stands in the map, which follows from their first event. Raises
    ErasedEntryError if it was erased before, and OneHalfError for a key of one half.
    """
    if len(data_key) < KEY_SIZE:
        raise OneHalfError
    secrets(data_key, seq)
    kept = [each for each in existing(data_key, newest) if each != seq]
    rows = (_row(each, secrets(data_key, each)) for each in kept)
    head = data_key[:HALF] + os.urandom(HALF) + label + (newest + 1).to_bytes(8)
    return head + b"".join(rows)


class OneHalfError(ValueError):
    """A data key of before keys had two halves: all of its customer can be erased, not a part."""

    def __init__(self) -> None:
        super().__init__(
            "the customer's key is of an earlier form, from which no single entry can be taken; "
            "erase all of the customer instead"
        )


def events_half(data_key: bytes) -> bytes:
    """What yields the customer's events from `began` on."""
    return data_key[-HALF:] if len(data_key) <= KEY_SIZE else data_key[HALF:KEY_SIZE]


def began(data_key: bytes) -> int:
    """The number of the first event that the events half yields."""
    return 1 if len(data_key) <= KEY_SIZE else int.from_bytes(data_key[_LABELLED:_HEAD])


def label(data_key: bytes) -> bytes:
    """Where the customer stands in the map, if an event was erased; else nothing."""
    return b"" if len(data_key) <= KEY_SIZE else data_key[KEY_SIZE:_LABELLED]


def following(data_key: bytes, seq: int) -> int:
    """The number of the customer's next event after `seq` that was not erased."""
    if len(data_key) <= KEY_SIZE:
        return seq + 1
    return next((each for each in _rows(data_key) if each > seq), max(seq + 1, began(data_key)))


def existing(data_key: bytes, newest: int) -> list[int]:
    """The numbers of the customer's events up to `newest` that were not erased."""
    found = [each for each in _rows(data_key) if each <= newest]
    return [*found, *range(began(data_key), newest + 1)]


def _rows(data_key: bytes) -> dict[int, int]:
    """Where what yields each event before `began` stands, in the order of events."""
    places = range(_HEAD, len(data_key), _ROW)
    return {int.from_bytes(data_key[at : at + 8]): at + 8 for at in places}


def _row(seq: int, derived: Secrets) -> bytes:
    return seq.to_bytes(8) + derived.opening.tag + derived.opening.salt + derived.sealing_key


def _kept(data_key: bytes, seq: int) -> Secrets:
    if (at := _rows(data_key).get(seq)) is None:
        raise ErasedEntryError(f"event {seq} of a customer was erased")
    salted, keyed = at + TAG_SIZE, at + TAG_SIZE + SALT_SIZE
    opening = Opening(data_key[at:salted], data_key[salted:keyed])
    return Secrets(opening, data_key[keyed : keyed + HALF])


def reading_tag(data_key: bytes, origin: str, index: int) -> bytes:
    """The customer's name in entry `index` of the read log `origin`: keyed BLAKE2s (RFC 7693)."""
    return _reading_names(data_key, origin, index.to_bytes(8)).digest()


class ReadingTags:
    """Names one customer in the entries of one read log: `reading_tag` at a fraction of its cost.

    The log's key of the customer is derived once. Holds what the data key can do, so it lives where
    the key lives and is dropped with it: see `Vault.reading_tags`.
    """

    __slots__ = ("_names", "origin", "pseudonym")

    def __init__(self, data_key: bytes, origin: str) -> None:
        self.origin = origin
        self.pseudonym = reading_tag(data_key, f"{origin}#index", 0)
        self._names = _reading_names(data_key, origin)

    def at(self, index: int) -> str:
        """The customer's name in entry `index`, in hex."""
        name = self._names.copy()
        name.update(index.to_bytes(8))
        return name.hexdigest()

    def member(self, index: int, place: int) -> str:
        """The customer's name at `place` of the list that belongs to entry `index`, in hex."""
        name = self._names.copy()
        name.update((index << 32 | place).to_bytes(12))
        return name.hexdigest()


def _reading_names(data_key: bytes, origin: str, message: bytes = b"") -> blake2s:
    key = hmac.digest(data_key[:HALF], _READING_INFO + origin.encode(), "sha512")[:HALF]
    return blake2s(message, digest_size=TAG_SIZE, key=key)


def random_tag() -> bytes:
    """A tag that belongs to nobody."""
    return os.urandom(TAG_SIZE)


def personal_entry(opening: Opening, event: bytes) -> bytes:
    digest = sha256(_ENTRY_DOMAIN + opening.salt + event).digest()
    return PERSONAL + opening.tag + digest


def public_entry(event: bytes) -> bytes:
    return PUBLIC + event


def canonical(value: Any) -> bytes:
    """JSON in the form of RFC 8785, for values without floats and with ASCII keys.

    There the canonical form is plain: keys sorted, no white space, characters as they are.
    Raises ValueError for lone surrogates.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def parse(data: bytes) -> Any:
    """The JSON value of canonical bytes."""
    return json.loads(data)
