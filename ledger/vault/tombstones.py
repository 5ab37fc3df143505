"""Tombstones: what lets an import recognise somebody who was erased.

    home/tombstones           5f1c09aa 9b0e… 2026-11-21T12:00:00Z
                              which key; HMAC-SHA-256 of the customer's id under it; when
    home/keys/tombstone.key   one key per line, 32 random bytes in hex; the last one is used

A tombstone names nobody, but whoever has the key can test whether a known id was erased, and when.
Without it an old export of another system would bring back a consent that the erasure ended.

The file is next to the erasure list, outside `keys/`, and grows by a line for each erasure. The key
store counts the lines, so that an older or a missing file is noticed. The key is made with the key
store, or at the first erasure in a key store from before tombstones. A line whose key is missing
cannot be tested: then nothing is imported until the key is restored.
"""

import hmac
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from ledger.tlog import atomic_file
from ledger.vault.durable_lines import DurableLines

NAME = "tombstones"
KEY = "tombstone.key"
_SIZE = 32  # bytes of a key
_FORM = "%Y-%m-%dT%H:%M:%SZ"


class TombstoneError(Exception):
    """Tombstones cannot be tested: their key is missing or damaged. Says what to restore."""


class Tombstones:
    """The tombstones of one data directory, as of when it was made. Immutable."""

    def __init__(self, keys: Sequence[bytes], lines: Iterable[str]) -> None:
        """Raises TombstoneError if a line is damaged, or its key is missing."""
        self._keys = keys
        self._erased: dict[str, datetime] = {}
        known = {_id(key) for key in keys}
        for number, each in enumerate(lines, 1):
            key, digest, at = _parsed(number, each)
            if key not in known:
                raise TombstoneError(
                    f"keys/{KEY} lacks the key {key}, under which `{NAME}` lists customers who "
                    "were erased: restore that line of it from a backup of keys/"
                )
            self._erased[digest] = max(at, self._erased.get(digest, at))

    def erased_at(self, subject: str) -> datetime | None:
        """When this customer was last erased, in whole seconds; None if never."""
        if not self._erased:
            return None
        times = (self._erased.get(_digest(key, subject)) for key in self._keys)
        return max((at for at in times if at is not None), default=None)


class TombstoneList:
    """The file of tombstones of one data directory. The caller holds the vault's lock."""

    def __init__(self, path: Path) -> None:
        self._file = DurableLines(path)

    def __len__(self) -> int:
        return len(self._file)

    def add(self, keys: Sequence[bytes], subject: str, at: datetime) -> None:
        """Durable on return."""
        self._file.append(line(keys, subject, at))

    def tombstones(self, keys: Sequence[bytes]) -> Tombstones:
        """Raises TombstoneError if a line is damaged, or its key is missing."""
        return Tombstones(keys, self._file.lines())

    def require_well_formed(self) -> None:
        """Raises TombstoneError if a line is damaged."""
        for number, each in enumerate(self._file.lines(), 1):
            _parsed(number, each)


def _parsed(number: int, text: str) -> tuple[str, str, datetime]:
    """The key's id, the digest and the time of a line."""
    try:
        key, digest, time = text.split(" ")
        return key, digest, datetime.strptime(time, _FORM).replace(tzinfo=UTC)
    except ValueError as error:
        raise TombstoneError(
            f"`{NAME}`, line {number}: want a key, a digest and a time, found something else: "
            "restore the file from its newest copy"
        ) from error


def line(keys: Sequence[bytes], subject: str, at: datetime) -> str:
    """The line that lists the erasure of `subject` at `at`."""
    newest = keys[-1]
    text = at.astimezone(UTC).strftime(_FORM)
    return f"{_id(newest)} {_digest(newest, subject)} {text}"


def secrets_of(keys: Sequence[bytes], subject: str) -> list[bytes]:
    """What only a key of the tombstones and the customer's id give, one for each key, newest last.

    With it something may be stored for a customer who was erased without saying whose it is.
    """
    text = b"sovereign/tombstone-secret/v1\0" + subject.encode()
    return [hmac.digest(key, text, "sha256") for key in keys]


def read(folder: Path) -> list[bytes]:
    """The keys in the folder of keys; none if there is no file. Raises TombstoneError."""
    try:
        keys = [bytes.fromhex(each) for each in (folder / KEY).read_text("ascii").splitlines()]
    except FileNotFoundError:
        return []
    except ValueError:
        keys = []
    if not keys or any(len(key) != _SIZE for key in keys):
        raise TombstoneError(
            f"want lines of {2 * _SIZE} hexadecimal digits in {folder / KEY}, found something "
            "else: restore it from a backup of keys/"
        )
    return keys


def ensure(folder: Path) -> list[bytes]:
    """The keys, a new one if there is none. Durable on return. Raises TombstoneError."""
    if not (folder / KEY).exists():
        key = secrets.token_bytes(_SIZE)
        with suppress(FileExistsError):  # another process was faster: use its key
            atomic_file.create(
                folder / KEY, f"{key.hex()}\n".encode("ascii"), atomic_file.OWNER_ONLY
            )
    return read(folder)


def _id(key: bytes) -> str:
    return sha256(b"sovereign/tombstone-key/v1\0" + key).hexdigest()[:8]


def _digest(key: bytes, subject: str) -> str:
    return hmac.digest(key, b"sovereign/tombstone/v1\0" + subject.encode(), "sha256").hex()
