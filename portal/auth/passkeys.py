"""Passkeys for signing in: W3C Web Authentication, discoverable credentials, a verified user.

Stored are customer, credential id, public key, counter and day (portal.storage.people), and no
secret.

Passkeys sign people in at this host and authorise nothing else. `webauthn` checks what a browser
sends, except that it came from a page of ours that is in no foreign frame: this module checks that.
"""

import json
import logging
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import webauthn
from sqlalchemy import Select, delete, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.functions import count
from webauthn.helpers import options_to_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from ledger.storage import database
from ledger.storage.database import writing
from portal.storage.people import PASSKEY, PEOPLE, PERSON, clear_deleted, insert_new

MAX_KEYS = 20  # per customer
log = logging.getLogger(__name__)
_REQUIRED = UserVerificationRequirement.REQUIRED


class PasskeyError(ValueError):
    """The browser's answer is not accepted. Ask again."""


@dataclass(frozen=True, slots=True)
class Host:
    """The expected relying party: `privacy.example`, `https://privacy.example`."""

    name: str
    origin: str


class Challenge(msgspec.Struct, frozen=True, tag="challenge"):
    """A challenge for a passkey. `subject`: the customer who adds one; None for signing in."""

    value: bytes
    subject: str | None


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

    def __init__(self, home: Path) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._database = database.of(home)
        self._engine = self._database.engine(PEOPLE)

    def of(self, subject: str) -> list[Passkey]:
        """The customer's keys, oldest first."""
        query = (
            select(PASSKEY.c.id, PASSKEY.c.copied, PASSKEY.c.added)
            .where(PASSKEY.c.subject == subject)
            .order_by(PASSKEY.c.added, PASSKEY.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
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
        row = {
            "id": made.credential_id,
            "subject": subject,
            "key": made.credential_public_key,
            "count": made.sign_count,
            "copied": int(made.credential_backed_up),
            "added": at.isoformat(),
            "eligible": int(made.credential_device_type is CredentialDeviceType.MULTI_DEVICE),
        }
        theirs = select(count()).where(PASSKEY.c.subject == subject)
        with writing(self._engine) as connection:
            connection.execute(_handle_of(subject).with_for_update())  # one after the other
            if connection.execute(theirs).scalar_one() >= MAX_KEYS:
                raise PasskeyError(f"there are {MAX_KEYS} passkeys already; remove one first")
            if not insert_new(connection, PASSKEY, row):
                raise PasskeyError("this passkey is registered already; use another")

    def remove(self, subject: str, key: str) -> bool:
        """Delete one of the customer's passkeys; returns whether it existed."""
        try:
            identifier = bytes.fromhex(key)
        except ValueError:
            return False
        gone = delete(PASSKEY).where(PASSKEY.c.subject == subject, PASSKEY.c.id == identifier)
        with writing(self._engine) as connection:
            return connection.execute(gone).rowcount == 1

    def forget(self, subject: str) -> int:
        """Delete all passkeys of the customer; returns how many. No bytes of them remain."""
        with writing(self._engine) as connection:
            gone = connection.execute(delete(PASSKEY).where(PASSKEY.c.subject == subject))
            connection.execute(delete(PERSON).where(PERSON.c.subject == subject))
        clear_deleted(self._engine)
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
        with writing(self._engine) as connection:
            known = _registered(connection, sent)
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
            counted = {"count": max(known.count, seen.new_sign_count)}
            connection.execute(update(PASSKEY).where(PASSKEY.c.id == known.id).values(counted))
        return known.subject

    def close(self) -> None:
        self._database.dispose(PEOPLE)

    def _handle(self, subject: str) -> bytes:
        """The customer's user handle: random, and always the same."""
        made = {"subject": subject, "handle": secrets.token_bytes(32)}
        with writing(self._engine) as connection:
            insert_new(connection, PERSON, made)
            return bytes(connection.execute(_handle_of(subject)).scalar_one())


def _handle_of(subject: str) -> Select[bytes]:
    return select(PERSON.c.handle).where(PERSON.c.subject == subject)


def _registered(connection: Connection, sent: dict[str, Any]) -> "_KnownPasskey":
    """The registered key that answered. The user handle is compared where one is sent."""
    with refused():
        known = _decoded(sent["rawId"])
        handle = sent["response"].get("userHandle")
        claimed = None if handle in {None, ""} else _decoded(handle)
    query = (
        select(PASSKEY, PERSON.c.handle)
        .join_from(PASSKEY, PERSON, PASSKEY.c.subject == PERSON.c.subject)
        .where(PASSKEY.c.id == known)
        .with_for_update(of=PASSKEY)  # its counter is compared, and then stored
    )
    row = connection.execute(query).mappings().first()
    if row is None or (claimed is not None and bytes(row["handle"]) != claimed):
        raise PasskeyError("want a registered passkey, found an unknown one")
    eligible = row["eligible"] is None or bool(row["eligible"])
    return _KnownPasskey(row["id"], row["subject"], row["key"], row["count"], eligible=eligible)


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
