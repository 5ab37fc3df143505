"""Encrypts a customer's events, each under a key that is used once.

AES-256-GCM with the log entry as associated data. GCM does not commit to the key; the SHA-256
commitment in the leaf does, and it is checked at every decryption.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.vault.commitments import Secrets
from ledger.vault.errors import VaultError

PADDED = 512  # bytes; zeros can be stripped because an event is JSON, which never ends in one
_NONCE = bytes(12)  # each sealing key seals one event


def seal(secrets: Secrets, event: bytes, entry: bytes) -> bytes:
    """Encrypt an event, padded to a multiple of PADDED bytes so that its length reveals little."""
    padded = event + bytes(-len(event) % PADDED)
    return AESGCM(secrets.sealing_key).encrypt(_NONCE, padded, entry)


def unseal(secrets: Secrets, sealed: bytes, entry: bytes) -> bytes:
    """Decrypt an event. Raises VaultError."""
    try:
        return AESGCM(secrets.sealing_key).decrypt(_NONCE, sealed, entry).rstrip(b"\0")
    except InvalidTag as error:
        raise VaultError("a sealed event cannot be decrypted with its customer's key") from error
