"""The key of the map's labels on disk.

keys/map.key     the private key, 64 hexadecimal digits; owner only
keys/map.vkey    the public key, as the line of `state.policy` that lists it

It is made with the keys of the logs, or when an older map is bound, and never changes: another key
would give every customer another label.
"""

import secrets
from contextlib import suppress
from pathlib import Path

from ledger.statemap.edwards25519 import SIZE
from ledger.statemap.labels import Labels
from ledger.statemap.vrf_key import VrfKey
from ledger.tlog import atomic_file, policy
from ledger.tlog.policy import LogPolicyError, MapKey
from ledger.tlog.signed_note import NoteError


class MapKeyError(NoteError):
    """The stored key cannot be used. The message has nothing of the private key."""


def private(home: Path) -> Path:
    return home / "keys" / "map.key"


def public(home: Path) -> Path:
    return home / "keys" / "map.vkey"


def create(home: Path, origin: str, since: int) -> Labels:
    """Make the key, unless it was made; the state log `origin` names it from entry `since` on.

    Durable on return.
    """
    with suppress(FileExistsError):
        made = secrets.token_hex(SIZE)
        atomic_file.create(private(home), f"{made}\n".encode(), atomic_file.OWNER_ONLY)
    labels = Labels(_key(home), origin, since)
    # Crash here: the next call goes on with this key.
    atomic_file.write(public(home), f"{labels.trusted}\n".encode())
    return labels


def read(home: Path) -> Labels | None:
    """The labels under the stored key; None if there is none. Raises MapKeyError, OSError."""
    if not private(home).exists() and not public(home).exists():
        return None
    trusted, key = listed(home), _key(home)
    if trusted is None or trusted.public != key.public:
        raise MapKeyError("keys/map.vkey is missing, or not of keys/map.key: restore both")
    return Labels(key, trusted.origin, trusted.since)


def listed(home: Path) -> MapKey | None:
    """The key in keys/map.vkey; None if there is no such file. Raises MapKeyError, OSError."""
    try:
        data = public(home).read_bytes()
    except FileNotFoundError:
        return None
    try:
        (trusted,) = policy.parse(data + b"quorum none\n").maps.values()
    except (LogPolicyError, ValueError) as error:
        raise MapKeyError("keys/map.vkey is not the line of one key: restore it") from error
    if f"{trusted}\n".encode() != data:
        raise MapKeyError("keys/map.vkey is not in canonical form: restore it")
    return trusted


def _key(home: Path) -> VrfKey:
    try:
        text = private(home).read_text("ascii")
    except FileNotFoundError as error:
        raise MapKeyError("keys/map.key is missing: restore it") from error
    except UnicodeDecodeError as error:
        raise MapKeyError("keys/map.key is not text: restore it") from error
    if len(text) != 2 * SIZE + 1 or set(text[:-1]) - set("0123456789abcdef") or text[-1] != "\n":
        raise MapKeyError(f"keys/map.key is not a line of {2 * SIZE} digits: restore it")
    return VrfKey(bytes.fromhex(text))
