"""Binds the signing key of a customer who was erased, should they return.

    returning_key   tag      HMAC-SHA-256 of "tag" under the customer's tombstone secret
                    sealed   AES-256-GCM of the public key and its credential id

Without it, erasing and signing in again would turn a customer whose key signs into one whose
session alone can allow. The secret follows from the customer's id and the key of the tombstones
(ledger.vault.tombstones): whoever has that key can look for an id that they know already, and
nobody else finds out whose row it is. The newest key is kept; the others are enrolled with it.
"""

import hmac
from pathlib import Path

import msgspec
from sqlalchemy import delete, insert, select

from ledger.events.acts import Algorithm, CustomerKey, KeyKind
from ledger.events.customer_keys import Key
from ledger.service import Ledger
from ledger.storage import database
from ledger.storage.database import writing
from portal.auth import sealing
from portal.storage.people import CONSENT_CREDENTIAL, PEOPLE, RETURNING_KEY


class ReturningKey(msgspec.Struct, frozen=True):
    """A key that binds again. `credential`: None for a browser's key."""

    key: CustomerKey
    credential: bytes | None


class ReturningKeys:
    """The keys of one data directory that wait for their owners. Thread-safe, durable on return."""

    def __init__(self, home: Path, ledger: Ledger) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._engine = database.of(home).engine(PEOPLE)
        self._ledger = ledger

    def keep(self, subject: str) -> None:
        """Keep the customer's newest active key, if they have one, before they are erased."""
        state = self._ledger.state(subject)
        if state is None or not state.authority.keys:
            return
        newest = max(state.authority.keys.values(), key=lambda each: each.index).key
        table = CONSENT_CREDENTIAL
        known = select(table.c.id).where(table.c.subject == subject, table.c.key == newest.id)
        tag, by = _derived(self._ledger.tombstone_secrets(subject)[-1])
        tags = self._tags(subject)
        with writing(self._engine) as connection:
            credential = connection.execute(known).scalar()
            content = msgspec.json.encode(ReturningKey(_enrolled(newest), credential))
            connection.execute(delete(RETURNING_KEY).where(RETURNING_KEY.c.tag.in_(tags)))
            row = {"tag": tag, "sealed": sealing.seal(by, content, tag)}
            connection.execute(insert(RETURNING_KEY), row)

    def of(self, subject: str) -> ReturningKey | None:
        """The key that binds when this customer returns, or None."""
        for secret in self._ledger.tombstone_secrets(subject):
            tag, by = _derived(secret)
            with self._engine.connect() as connection:
                wanted = select(RETURNING_KEY.c.sealed).where(RETURNING_KEY.c.tag == tag)
                sealed = connection.execute(wanted).scalar()
            content = None if sealed is None else sealing.unseal(by, sealed, tag)
            if content is not None:
                return msgspec.json.decode(content, type=ReturningKey)
        return None

    def forget(self, subject: str) -> None:
        """Delete the customer's row, because their agreement has the key."""
        theirs = RETURNING_KEY.c.tag.in_(self._tags(subject))
        with writing(self._engine) as connection:
            connection.execute(delete(RETURNING_KEY).where(theirs))

    def _tags(self, subject: str) -> list[bytes]:
        return [_derived(secret)[0] for secret in self._ledger.tombstone_secrets(subject)]


def _derived(secret: bytes) -> tuple[bytes, bytes]:
    """The tag of a row, and the key of its content."""
    tag = hmac.digest(secret, b"sovereign/returning-key/tag/v1", "sha256")
    return tag, hmac.digest(secret, b"sovereign/returning-key/seal/v1", "sha256")


def _enrolled(key: Key) -> CustomerKey:
    return CustomerKey(
        KeyKind(key.kind),
        Algorithm(key.algorithm),
        key.public,
        key.party.id,
        key.party.origins,
        key.backup_eligible,
        key.backed_up,
        key.attestation,
    )
