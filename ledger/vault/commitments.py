r"""Salted commitments: the bytes of a log entry, and the secrets they are made with.

    personal  0x01 ‖ tag(24) ‖ SHA-256("sovereign/entry/v1\0" ‖ salt(32) ‖ JCS(event))
    public    0x02 ‖ JCS(event)

Tag, salt and sealing key of a personal event are derived from the customer's data key and the
event's sequence number (HKDF-Expand with SHA-512, RFC 5869). Tags differ from event to event, so
nothing in the log links two entries of one customer; without the data key nothing can be derived.

A data key has two halves, names(32) ‖ events(32). The first derives the customer's pseudonyms in
read logs and registers, the second the secrets of their events. After an event was erased, it is

    names(32) ‖ new events(32) ‖ label(32) ‖ first(8) ‖ { seq(8) ‖ tag(24) ‖ salt(32) ‖ key(32) }*

The rows store what the old events half derived for each event before `first`, except for erased
ones; from `first` on, the new half is used. The old half is destroyed, so the secrets of the erased
events cannot be derived again.
"""

import hmac
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2s, sha256
from typing import Any

PERSONAL = b"\x01"
PUBLIC = b"\x02"
TAG_SIZE = 24
INDEXED_SIZE = 16  # bytes of a pseudonym that a read log's private index stores
SALT_SIZE = 32
HALF = 32
KEY_SIZE = 2 * HALF
PERSONAL_SIZE = 1 + TAG_SIZE + 32

_ENTRY_DOMAIN = b"sovereign/entry/v1\0"
_EVENT_INFO = b"sovereign/event/v1\0"
_READING_INFO = b"sovereign/reading/v2\0"
_POSITION_INFO = b"sovereign/position/v1\0"
_PAD_SIZE = 8
OPENABLE_TAG_SIZE = 32  # bytes of the tag of a read-log entry that can be opened alone
_TAG_OF_KEY = blake2s(person=b"read-tag")
_MASKED = re.compile(r"[0-9a-f]{16}")
_LABELLED = KEY_SIZE + 32
_HEAD = _LABELLED + 8
_ROW = 8 + TAG_SIZE + SALT_SIZE + HALF


@dataclass(frozen=True, slots=True)
class Opening:
    """Opens a commitment, together with the event itself."""

    tag: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one event, derived from the customer's data key."""

    opening: Opening
    sealing_key: bytes


class ErasedEntryError(LookupError):
    """The event was erased; its secrets cannot be derived."""


def secrets(data_key: bytes, seq: int) -> Secrets:
    """Derive tag, salt and sealing key of the customer's event number `seq`.

    Raises ErasedEntryError.
    """
    if len(data_key) > KEY_SIZE and seq < first_derived(data_key):
        return _stored_secrets(data_key, seq)
    events = events_half(data_key)
    info = _EVENT_INFO + seq.to_bytes(8)
    first = hmac.digest(events, info + b"\x01", "sha512")
    second = hmac.digest(events, first + info + b"\x02", "sha512")
    opening = Opening(first[:TAG_SIZE], first[TAG_SIZE : TAG_SIZE + SALT_SIZE])
    return Secrets(opening, second[:HALF])


def tag(data_key: bytes, seq: int) -> bytes:
    """The tag of the customer's event `seq`, at half the cost of `secrets`.

    Raises ErasedEntryError.
    """
    if len(data_key) > KEY_SIZE:
        return secrets(data_key, seq).opening.tag
    info = _EVENT_INFO + seq.to_bytes(8)
    return hmac.digest(data_key[-HALF:], info + b"\x01", "sha512")[:TAG_SIZE]


def punctured(data_key: bytes, seq: int, newest: int, label: bytes) -> bytes:
    """A new data key that derives the same secrets for events up to `newest`, except for `seq`.

    `label`: the customer's label in the map, which is computed from their first event. Raises
    ErasedEntryError if the event was erased before, LegacyDataKeyError for a key of one half.
    """
    if len(data_key) < KEY_SIZE:
        raise LegacyDataKeyError
    secrets(data_key, seq)
    remaining = [each for each in unerased(data_key, newest) if each != seq]
    rows = (_row(each, secrets(data_key, each)) for each in remaining)
    head = data_key[:HALF] + os.urandom(HALF) + label + (newest + 1).to_bytes(8)
    return head + b"".join(rows)


class LegacyDataKeyError(ValueError):
    """The data key has the old format of one half: a single event cannot be erased with it."""

    def __init__(self) -> None:
        super().__init__(
            "the customer's data key has the old format, in which a single entry cannot be erased; "
            "erase all of the customer instead"
        )


def events_half(data_key: bytes) -> bytes:
    """The half of the key that derives the secrets of events from `first_derived` on."""
    return data_key[-HALF:] if len(data_key) <= KEY_SIZE else data_key[HALF:KEY_SIZE]


def first_derived(data_key: bytes) -> int:
    """The number of the first event whose secrets the events half derives."""
    return 1 if len(data_key) <= KEY_SIZE else int.from_bytes(data_key[_LABELLED:_HEAD])


def label(data_key: bytes) -> bytes:
    """The customer's label in the map if an event was erased; else empty."""
    return b"" if len(data_key) <= KEY_SIZE else data_key[KEY_SIZE:_LABELLED]


def next_seq(data_key: bytes, seq: int) -> int:
    """The number of the customer's first event after `seq` that was not erased."""
    if len(data_key) <= KEY_SIZE:
        return seq + 1
    return next(
        (each for each in _rows(data_key) if each > seq), max(seq + 1, first_derived(data_key))
    )


def unerased(data_key: bytes, newest: int) -> list[int]:
    """The numbers of the customer's events up to `newest` that were not erased."""
    retained = [each for each in _rows(data_key) if each <= newest]
    return [*retained, *range(first_derived(data_key), newest + 1)]


def _rows(data_key: bytes) -> dict[int, int]:
    """Event number -> offset of its stored secrets, for the events before `first_derived`."""
    places = range(_HEAD, len(data_key), _ROW)
    return {int.from_bytes(data_key[at : at + 8]): at + 8 for at in places}


def _row(seq: int, derived: Secrets) -> bytes:
    return seq.to_bytes(8) + derived.opening.tag + derived.opening.salt + derived.sealing_key


def _stored_secrets(data_key: bytes, seq: int) -> Secrets:
    if (at := _rows(data_key).get(seq)) is None:
        raise ErasedEntryError(f"event {seq} of a customer was erased")
    salted, keyed = at + TAG_SIZE, at + TAG_SIZE + SALT_SIZE
    opening = Opening(data_key[at:salted], data_key[salted:keyed])
    return Secrets(opening, data_key[keyed : keyed + HALF])


def read_log_tag(data_key: bytes, origin: str, index: int) -> bytes:
    """The customer's pseudonym in entry `index` of the read log `origin`: BLAKE2s (RFC 7693)."""
    return _named(read_log_key(data_key, origin), index.to_bytes(8)).digest()


def read_log_key(data_key: bytes, origin: str) -> bytes:
    """The customer's key for the read log `origin`.

    Their pseudonyms in that log are derived from it, and nothing else is: not the data key, not
    those in another log, not the one in the log's private index.
    """
    return hmac.digest(data_key[:HALF], _READING_INFO + origin.encode(), "sha512")[:HALF]


class EntryTags:
    """Computes one customer's tags in a read log of an earlier version, from their `read_log_key`.

    A tag of 24 bytes. Whoever shows that one is somebody's shows the key of all of them.
    """

    __slots__ = ("names",)

    def __init__(self, key: bytes) -> None:
        self.names = _named(key)

    def at(self, index: int) -> str:
        """The customer's tag in entry `index`, in hex."""
        name = self.names.copy()
        name.update(index.to_bytes(8))
        return name.hexdigest()

    def member(self, index: int, place: int) -> str:
        """The customer's tag at `place` of the list that entry `index` names, in hex."""
        name = self.names.copy()
        name.update((index << 32 | place).to_bytes(12))
        return name.hexdigest()


def position_key(pseudonym: bytes) -> bytes:
    """The key that masks what one customer's entries in one read log rest on.

    `pseudonym`: as the log's private index stores it. So whoever has the index can read the masked
    positions, also after the customer was erased. The pseudonym does not follow from the key.
    """
    return blake2s(_POSITION_INFO, key=pseudonym[:INDEXED_SIZE]).digest()


class PositionPads:
    """Computes the pads, 8 bytes, of a customer's positions in a read log of an earlier version."""

    __slots__ = ("keyed",)

    def __init__(self, key: bytes) -> None:
        self.keyed = blake2s(digest_size=_PAD_SIZE, key=key)

    def at(self, index: int) -> int:
        """The pad of entry `index`."""
        pad = self.keyed.copy()
        pad.update(index.to_bytes(8))
        return int.from_bytes(pad.digest())

    def member(self, index: int, place: int) -> int:
        """The pad at `place` of the list that entry `index` names."""
        pad = self.keyed.copy()
        pad.update((index << 32 | place).to_bytes(12))
        return int.from_bytes(pad.digest())


class EntryKeys:
    """Derives the key of each entry of a read log about one customer: 32 bytes.

    The key opens this entry alone: its tag is a hash of the key, and the first 8 bytes of the key
    are the pad of the position. Nothing about another entry follows from it.
    """

    __slots__ = ("keyed", "position_key")

    def __init__(self, position_key: bytes) -> None:
        self.position_key = position_key
        self.keyed = blake2s(key=position_key)

    def of(self, index: int, place: int | None = None) -> bytes:
        """The key of entry `index`, or of the decision at `place` of the list that it names."""
        derived = self.keyed.copy()
        at = index.to_bytes(8) if place is None else (index << 32 | place).to_bytes(12)
        derived.update(at)
        return derived.digest()

    def pad(self, tag: str, index: int, place: int | None = None) -> int:
        """The pad of the position beside `tag`, in an entry of this version or an earlier one."""
        if is_openable(tag):
            return entry_pad(self.of(index, place))
        pads = PositionPads(self.position_key)
        return pads.at(index) if place is None else pads.member(index, place)


def entry_tag(key: bytes) -> str:
    """The tag, 32 bytes in hex, of the entry that `key` opens: a commitment to the key."""
    tag = _TAG_OF_KEY.copy()
    tag.update(key)
    return tag.hexdigest()


def entry_pad(key: bytes) -> int:
    """The pad of the position in the entry that `key` opens."""
    return int.from_bytes(key[:_PAD_SIZE])


def is_openable(tag: str) -> bool:
    """Whether a tag is of an entry that can be opened alone; those of earlier versions cannot."""
    return len(tag) == 2 * OPENABLE_TAG_SIZE


def masked(position: int | None, pad: int) -> str:
    """What an entry says of the consent-log entry that it rests on; None: it rests on none."""
    return f"{(0 if position is None else position + 1) ^ pad:016x}"


def unmasked(text: str, pad: int) -> int | None:
    """The position that `masked` gave. Raises ValueError if it never gives `text`."""
    if not _MASKED.fullmatch(text):
        raise ValueError(f"a masked position has 16 hexadecimal digits, found {text[:32]!r}")
    position = int(text, 16) ^ pad
    return position - 1 if position else None


class ReadLogTags:
    """Computes one customer's tags in one read log and pseudonym in its index, from their data key.

    The customer's key for this log is derived once. It is cached and dropped together with the data
    key: see `Vault.read_log_tags`.
    """

    __slots__ = ("key", "keys", "origin", "pseudonym")

    def __init__(self, data_key: bytes, origin: str) -> None:
        self.origin = origin
        self.pseudonym = read_log_tag(data_key, f"{origin}#index", 0)
        self.key = read_log_key(data_key, origin)
        self.keys = EntryKeys(position_key(self.pseudonym))

    @property
    def position_key(self) -> bytes:
        """See `position_key`."""
        return self.keys.position_key

    def like(self, tag: str, index: int, place: int | None = None) -> str:
        """The customer's tag in entry `index`, or at `place` of its list, in the form of `tag`."""
        if is_openable(tag):
            return entry_tag(self.keys.of(index, place))
        earlier = EntryTags(self.key)
        return earlier.at(index) if place is None else earlier.member(index, place)


def of_list(tags: Sequence[ReadLogTags], index: int) -> tuple[list[str], list[int]]:
    """Tag and pad of each customer in the list of entry `index`, in its order.

    In one loop without calls of Python, because a batch has thousands of customers.
    """
    given, pads, first = list[str](), list[int](), index << 32
    for place, each in enumerate(tags, first):
        derived, tag = each.keys.keyed.copy(), _TAG_OF_KEY.copy()
        derived.update(place.to_bytes(12))
        key = derived.digest()
        tag.update(key)
        given.append(tag.hexdigest())
        pads.append(int.from_bytes(key[:_PAD_SIZE]))
    return given, pads


def _named(key: bytes, message: bytes = b"") -> blake2s:
    return blake2s(message, digest_size=TAG_SIZE, key=key)


def random_tag() -> bytes:
    """A random tag, which belongs to no customer."""
    return os.urandom(TAG_SIZE)


def personal_entry(opening: Opening, event: bytes) -> bytes:
    digest = sha256(_ENTRY_DOMAIN + opening.salt + event).digest()
    return PERSONAL + opening.tag + digest


def public_entry(event: bytes) -> bytes:
    return PUBLIC + event


def canonical(value: Any) -> bytes:
    """Canonical JSON (RFC 8785), for values without floats and with ASCII keys.

    For such values it is: keys sorted, no white space, no escapes for printable characters. Raises
    ValueError for lone surrogates.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def parse(data: bytes) -> Any:
    """The JSON value of canonical bytes."""
    return json.loads(data)
