"""Passkeys for signing in: W3C Web Authentication, discoverable credentials, a verified user.

home/passkeys.sqlite     customer, credential id, public key, counter and day; no secret. A second
                         table has the ids of keys that sign consent: portal.auth.consent_keys

Passkeys sign people in at this host and authorise nothing else. `webauthn` checks what a browser
sends, except that it came from a page of ours that is in no foreign frame: this module checks that.
"""

import json
import logging
import secrets
import sqlite3
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import webauthn
from webauthn.helpers import options_to_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

MAX_KEYS = 20  # per customer
log = logging.getLogger(__name__)
_REQUIRED = UserVerificationRequirement.REQUIRED
_SCHEMA = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;
CREATE TABLE IF NOT EXISTS person (subject TEXT PRIMARY KEY, handle BLOB UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS passkey (
  id BLOB PRIMARY KEY, subject TEXT NOT NULL, key BLOB NOT NULL, count INTEGER NOT NULL,
  copied INTEGER NOT NULL, added TEXT NOT NULL, eligible INTEGER);
CREATE INDEX IF NOT EXISTS by_subject ON passkey (subject, added);
"""


class PasskeyError(ValueError):
    """The browser's answer is not accepted. Ask again."""


@dataclass(frozen=True, slots=True)
class Host:
    """The expected relying party: `privacy.example`, `https://privacy.example`."""

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class Passkey:
    id: str  # hex
    copied: bool  # synchronised to other devices
    added: datetime


@dataclass(frozen=True, slots=True)
class _KnownPasskey:
    id: bytes
    subject: str
    key: bytes
    count: int
    eligible: bool  # it may be synchronised, as it said when it was added, or nobody noted it


class Passkeys:
    """Customers' passkeys. Thread-safe. Writes are durable on return."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._add_eligible()

    def of(self, subject: str) -> list[Passkey]:
        """The customer's keys, oldest first."""
        query = "SELECT id, copied, added FROM passkey WHERE subject = ? ORDER BY added, id"
        with self._lock:
            rows = self._database.execute(query, [subject]).fetchall()
        return [Passkey(i.hex(), bool(copied), _moment(added)) for i, copied, added in rows]

    def offer(self, subject: str, name: str, host: Host) -> tuple[bytes, str]:
        """A challenge, and the WebAuthn options (JSON) for adding a passkey of this customer."""
        challenge = secrets.token_bytes(32)
        known = [PublicKeyCredentialDescriptor(bytes.fromhex(key.id)) for key in self.of(subject)]
        options = webauthn.generate_registration_options(
            rp_id=host.name,
            rp_name=host.name,
            user_id=self._handle(subject),
            user_name=name,
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_REQUIRED
            ),
            exclude_credentials=known,
        )
        return challenge, options_to_json(options)

    def add(self, subject: str, answer: bytes, challenge: bytes, host: Host, at: datetime) -> None:
        """Store the passkey that the browser created. Raises PasskeyError."""
        sent = read(answer)
        with refused():
            made = webauthn.verify_registration_response(
                credential=sent,
                expected_challenge=challenge,
                expected_rp_id=host.name,
                expected_origin=host.origin,
                require_user_verification=True,
            )
        row = [
            made.credential_id,
            subject,
            made.credential_public_key,
            made.sign_count,
            made.credential_backed_up,
            at.isoformat(),
            made.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        ]
        with self._lock:
            count = "SELECT COUNT(*) FROM passkey WHERE subject = ?"
            if self._database.execute(count, [subject]).fetchone()[0] >= MAX_KEYS:
                raise PasskeyError(f"there are {MAX_KEYS} passkeys already; remove one first")
            query = "INSERT OR IGNORE INTO passkey VALUES (?, ?, ?, ?, ?, ?, ?)"
            if self._database.execute(query, row).rowcount != 1:
                raise PasskeyError("this passkey is registered already; use another")

    def remove(self, subject: str, key: str) -> bool:
        """Delete one of the customer's passkeys; returns whether it existed."""
        query = "DELETE FROM passkey WHERE subject = ? AND hex(id) = ?"
        with self._lock:
            return self._database.execute(query, [subject, key.upper()]).rowcount == 1

    def forget(self, subject: str) -> int:
        """Delete all passkeys of the customer; returns how many. No bytes of them remain."""
        with self._lock:
            gone = self._database.execute("DELETE FROM passkey WHERE subject = ?", [subject])
            self._database.execute("DELETE FROM person WHERE subject = ?", [subject])
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone.rowcount

    def ask(self, host: Host) -> tuple[bytes, str]:
        """A challenge, and the WebAuthn options (JSON) for signing in with any passkey."""
        challenge = secrets.token_bytes(32)
        options = webauthn.generate_authentication_options(
            rp_id=host.name, challenge=challenge, user_verification=_REQUIRED
        )
        return challenge, options_to_json(options)

    def whose(self, answer: bytes, challenge: bytes, host: Host) -> str:
        """The customer whose key answered the challenge. Raises PasskeyError."""
        sent = read(answer)
        with self._lock:
            known = self._registered(sent)
            with refused():
                seen = webauthn.verify_authentication_response(
                    credential=sent,
                    expected_challenge=challenge,
                    expected_rp_id=host.name,
                    expected_origin=host.origin,
                    credential_public_key=known.key,
                    credential_current_sign_count=0,  # `_require_rising` looks at the counter
                    require_user_verification=True,
                )
            eligible = seen.credential_device_type is CredentialDeviceType.MULTI_DEVICE
            synchronised = eligible and known.eligible
            _require_rising(known.count, seen.new_sign_count, synchronised=synchronised)
            query = "UPDATE passkey SET count = max(count, ?) WHERE id = ?"
            self._database.execute(query, [seen.new_sign_count, known.id])
        return known.subject

    def close(self) -> None:
        self._database.close()

    def _registered(self, sent: dict[str, Any]) -> "_KnownPasskey":
        """The registered key that answered. The user handle is compared where one is sent."""
        query = (
            "SELECT id, subject, key, count, eligible, handle FROM passkey"
            " JOIN person USING (subject) WHERE id = ?"
        )
        with refused():
            known = _decoded(sent["rawId"])
            handle = sent["response"].get("userHandle")
            claimed = None if handle in {None, ""} else _decoded(handle)
        row = self._database.execute(query, [known]).fetchone()
        if row is None or (claimed is not None and row[5] != claimed):
            raise PasskeyError("want a registered passkey, found an unknown one")
        return _KnownPasskey(
            row[0], row[1], row[2], row[3], eligible=row[4] is None or bool(row[4])
        )

    def _add_eligible(self) -> None:
        """Add the column to a database of an earlier version; null: not known of this key."""
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(passkey)")}
        if "eligible" not in columns:
            self._database.execute("ALTER TABLE passkey ADD COLUMN eligible INTEGER")

    def _handle(self, subject: str) -> bytes:
        """The customer's user handle: random, and always the same."""
        with self._lock:
            made = [subject, secrets.token_bytes(32)]
            self._database.execute("INSERT OR IGNORE INTO person VALUES (?, ?)", made)
            query = "SELECT handle FROM person WHERE subject = ?"
            return bytes(self._database.execute(query, [subject]).fetchone()[0])


def _require_rising(known: int, seen: int, *, synchronised: bool) -> None:
    """Refuse a counter that does not rise, which means a copied key: raises PasskeyError.

    A synchronised passkey (backup eligible) has a counter on each device, so there a lower one is
    only logged. It must have said so when it was added: a copied key could claim it later. W3C Web
    Authentication, sections 6.1.1 and 7.2, step 22.
    """
    if (known, seen) == (0, 0) or seen > known:
        return
    if not synchronised:
        raise PasskeyError(f"want a counter above {known}, found {seen}: the key may be copied")
    log.warning("a synchronised passkey answered with a counter that did not rise")


def read(answer: bytes) -> dict[str, Any]:
    """Parse the browser's answer. Raises PasskeyError if it is not from a page of ours."""
    with refused():
        sent: dict[str, Any] = json.loads(answer)
    from_our_page(sent)
    return sent


def from_our_page(sent: Mapping[str, Any]) -> None:
    """Raises PasskeyError if our page was inside a foreign frame."""
    with refused():
        client = json.loads(_decoded(sent["response"]["clientDataJSON"]))
        framed = client.get("crossOrigin", False) is not False or "topOrigin" in client
    if framed:
        raise PasskeyError("want a page of ours at the top, found it inside a foreign frame")


@contextmanager
def refused() -> Iterator[None]:
    """Turns every error about a browser's answer into a PasskeyError."""
    try:
        yield
    except PasskeyError:
        raise
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PasskeyError(f"the browser's answer is not accepted: {error}") from error


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
