"""Keys that sign consent, made by browsers: passkeys of the consent host, and browser keys.

The public key itself is in the customer's agreement, the only place that counts. The table of their
credential ids (portal.storage.people), which has no secret, lets a page ask for the right passkey,
and not offer to create the same one twice.
"""

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import webauthn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from sqlalchemy import delete, select
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from ledger.events.acts import Algorithm, CustomerKey, KeyKind
from ledger.events.customer_keys import RelyingParty
from ledger.storage import database
from ledger.storage.database import writing
from portal.auth.passkeys import PasskeyError, from_our_page, refused
from portal.storage.people import CONSENT_CREDENTIAL, PEOPLE, clear_deleted, insert_new

ALGORITHMS = {
    COSEAlgorithmIdentifier.ECDSA_SHA_256: Algorithm.ES256,
    COSEAlgorithmIdentifier.EDDSA: Algorithm.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256: Algorithm.RS256,
}
PROOF = b"sovereign/browser-key-made/v1\0"  # a browser key signs this and the challenge
_REQUIRED = UserVerificationRequirement.REQUIRED


class ConsentKeyStore:
    """Credential ids of customers' passkeys. Thread-safe. Writes are durable on return."""

    def __init__(self, home: Path) -> None:
        """Raises SchemaVersionError, DatabaseError."""
        self._database = database.of(home)
        self._engine = self._database.engine(PEOPLE)

    def of(self, subject: str) -> Mapping[bytes, bytes]:
        """The customer's passkeys: id of the key (SHA-256) -> identifier of the credential."""
        table = CONSENT_CREDENTIAL
        query = select(table.c.key, table.c.id).where(table.c.subject == subject)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def keep(self, subject: str, credential: bytes, key: bytes) -> None:
        """Store a credential id. Raises PasskeyError if it is known already."""
        row = {"id": credential, "subject": subject, "key": key}
        with writing(self._engine) as connection:
            if not insert_new(connection, CONSENT_CREDENTIAL, row):
                raise PasskeyError("this passkey is registered already; use another")

    def forget(self, subject: str) -> None:
        """Delete the customer's credential ids. No bytes of them remain in the file."""
        table = CONSENT_CREDENTIAL
        with writing(self._engine) as connection:
            connection.execute(delete(table).where(table.c.subject == subject))
        clear_deleted(self._engine)

    def close(self) -> None:
        self._database.dispose(PEOPLE)


def offer(party: RelyingParty, name: str, known: Mapping[bytes, bytes]) -> tuple[bytes, str]:
    """A challenge, and the WebAuthn options (JSON) for creating a passkey that signs consent.

    Each passkey has a user handle of its own, so that a new one replaces no other on the device.
    """
    challenge = secrets.token_bytes(32)
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=party.id,
        user_id=secrets.token_bytes(32),
        user_name=name,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_REQUIRED
        ),
        supported_pub_key_algs=[*ALGORITHMS],
        exclude_credentials=[PublicKeyCredentialDescriptor(each) for each in known.values()],
    )
    return challenge, options_to_json(options)


def made_passkey(
    sent: Mapping[str, Any], challenge: bytes, party: RelyingParty
) -> tuple[CustomerKey, bytes]:
    """The public key that an authenticator created, and its credential id. Raises PasskeyError."""
    from_our_page(sent)
    with refused():
        made = webauthn.verify_registration_response(
            credential=dict(sent),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=[*party.origins],
            require_user_verification=True,
            supported_pub_key_algs=[*ALGORITHMS],
        )
        decoded = decode_credential_public_key(made.credential_public_key)
        public = decoded_public_key_to_cryptography(decoded)
        eligible = made.credential_device_type is CredentialDeviceType.MULTI_DEVICE
        key = CustomerKey(
            KeyKind.PASSKEY,
            ALGORITHMS[decoded.alg],
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            party.id,
            party.origins,
            eligible,
            made.credential_backed_up,
            AttestationFormat(made.fmt).value,
        )
    return key, made.credential_id


def made_in_browser(sent: Mapping[str, Any], challenge: bytes, party: RelyingParty) -> CustomerKey:
    """The key that a browser created, if the browser can sign with it. Raises PasskeyError."""
    with refused():
        public = base64.b64decode(sent["public"], validate=True)
        known = load_der_public_key(public)
        if not isinstance(known, Ed25519PublicKey):
            raise PasskeyError("want an Ed25519 key from the browser, found another kind")
        try:
            known.verify(base64.b64decode(sent["proof"], validate=True), PROOF + challenge)
        except InvalidSignature as error:
            raise PasskeyError("the browser cannot sign with the key it names") from error
        return CustomerKey(
            KeyKind.BROWSER,
            Algorithm.EDDSA,
            public,
            party.id,
            party.origins,
            backup_eligible=False,
            backed_up=False,
            attestation="none",
        )
