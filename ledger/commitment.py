r"""Salted commitments: the bytes of a leaf.

    personal  0x01 ‖ tag(24) ‖ SHA-256("sovereign/entry/v1\0" ‖ salt(32) ‖ JCS(event))
    public    0x02 ‖ JCS(event)

Tag, salt and sealing key of a personal event come from the customer's data key and the event's
sequence number (HKDF-Expand with SHA-512, RFC 5869). Tags differ from event to event, so nothing
in the log links two entries of one customer; without the data key nothing can be recomputed.
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
KEY_SIZE = 32
PERSONAL_SIZE = 1 + TAG_SIZE + 32

_ENTRY_DOMAIN = b"sovereign/entry/v1\0"
_EVENT_INFO = b"sovereign/event/v1\0"
_READING_INFO = b"sovereign/reading/v2\0"


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


def secrets(data_key: bytes, seq: int) -> Secrets:
    """Derive tag, salt and sealing key of the customer's event number `seq`."""
    info = _EVENT_INFO + seq.to_bytes(8)
    first = hmac.digest(data_key, info + b"\x01", "sha512")
    second = hmac.digest(data_key, first + info + b"\x02", "sha512")
    opening = Opening(first[:TAG_SIZE], first[TAG_SIZE : TAG_SIZE + SALT_SIZE])
    return Secrets(opening, second[:KEY_SIZE])


def tag(data_key: bytes, seq: int) -> bytes:
    """The tag alone, at half the cost."""
    info = _EVENT_INFO + seq.to_bytes(8)
    return hmac.digest(data_key, info + b"\x01", "sha512")[:TAG_SIZE]


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
    key = hmac.digest(data_key, _READING_INFO + origin.encode(), "sha512")[:KEY_SIZE]
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
