"""The file with which a customer recognises their own entries in public read logs.

    {"logs":{"bank.example/reads-1a2b3c4d":"9f2c… (32 bytes in hex)"},"number":44,
     "positions":{"bank.example/reads-1a2b3c4d":"07be…"},"type":"sovereign/read-keys/v2"}

`logs` has a key for each read log (ledger.vault.commitments.read_log_key), `positions` the key that
unmasks what the entries there rest on (`position_key`). `number` is the one by which stored sets
name the customer, or null. Nothing else can be derived from them: specs/gate.md. A file of type
`sovereign/read-keys/v1` has no `positions`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.vault import commitments

TYPE, TYPE_1 = "sovereign/read-keys/v2", "sovereign/read-keys/v1"
MAX_SIZE = 1 << 24  # bytes: a hundred thousand logs
_KEY = re.compile(r"[0-9a-f]{64}")


class ReadKeysError(ValueError):
    """The file is not one of read keys."""


@dataclass(frozen=True, slots=True)
class LogKeys:
    """A customer's keys for one read log; `positions`: None in an earlier file of read keys."""

    tags: bytes
    positions: bytes | None


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """A customer's keys for each read log by its origin, and their number in stored sets.

    `positions`: None in a file of the first version.
    """

    logs: Mapping[str, bytes]
    number: int | None
    positions: Mapping[str, bytes] | None

    def of(self, origin: str) -> LogKeys:
        return LogKeys(self.logs[origin], (self.positions or {}).get(origin))

    def encode(self) -> bytes:
        """The file: canonical JSON and a line end."""
        value = {"logs": _hex(self.logs), "number": self.number, "type": TYPE_1}
        if self.positions is not None:
            value |= {"positions": _hex(self.positions), "type": TYPE}
        return commitments.canonical(value) + b"\n"


def parse(data: bytes) -> ReadKeys:
    """Parse the file; it formats back to the same bytes. Raises ReadKeysError."""
    try:
        value = commitments.parse(data)
        positions = _keys(value["positions"]) if value["type"] == TYPE else None
        parsed = ReadKeys(_keys(value["logs"]), value["number"], positions)
        formatted = parsed.encode()
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise ReadKeysError(f"not a file of read keys: {error}") from error
    if formatted != data or not _is_number(parsed.number):
        raise ReadKeysError("not a file of read keys in canonical form: download it again")
    if parsed.positions is not None and parsed.positions.keys() != parsed.logs.keys():
        raise ReadKeysError("`positions` and `logs` name other logs: download the file again")
    return parsed


def _hex(keys: Mapping[str, bytes]) -> dict[str, str]:
    return {origin: key.hex() for origin, key in keys.items()}


def _keys(texts: Any) -> dict[str, bytes]:
    return {origin: _key(text) for origin, text in texts.items()}


def _key(text: Any) -> bytes:
    if not isinstance(text, str) or not _KEY.fullmatch(text):
        raise ReadKeysError("a key is not 32 bytes in hex")
    return bytes.fromhex(text)


def _is_number(number: Any) -> bool:
    return number is None or (type(number) is int and number > 0)
