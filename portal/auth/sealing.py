"""Seals what the server stores for the bearer of a token, who alone can open it.

The database has SHA-256(token), which finds the row, and AES-256-GCM under HKDF-SHA-256(token): a
copy of the database signs nobody in and names no content. Whoever can write to it could still add
rows of their own.
"""

import secrets
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_SIZE = 12
KEY_SIZE = 32


def digest(token: str, use: str) -> bytes:
    return sha256(f"sovereign/{use}/v1\0{token}".encode()).digest()


def key(token: str, use: str) -> bytes:
    """The key of a token for one use, such as "session"."""
    derived = HKDF(SHA256(), KEY_SIZE, salt=None, info=f"sovereign/{use}/key/v1".encode())
    return derived.derive(token.encode())


def seal(by: bytes, content: bytes, context: bytes) -> bytes:
    """Encrypt under a key; `context` must be the same when it is opened."""
    nonce = secrets.token_bytes(NONCE_SIZE)
    return nonce + AESGCM(by).encrypt(nonce, content, context)


def unseal(by: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """The content; None if it was sealed under another key or context, or is damaged."""
    try:
        return AESGCM(by).decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], context)
    except (InvalidTag, ValueError):
        return None
