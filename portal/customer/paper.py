"""Links on printed receipts: a QR code that leads to a page which verifies the receipt.

    https://privacy.bank.example/verify#1234.kZ0c…

What follows `#` stays in the browser until its script requests the receipt: the entry's index, and
a secret that only this portal can make or read (the customer's number under AES-SIV, RFC 5297, with
the index as associated data). Nothing is stored for it. After the customer's erasure it opens
nothing.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

MAX_BYTES = 125  # in the QR code, so that it can be scanned from paper
KEY_SIZE = 32
_DOMAIN = b"sovereign/receipt-link/v1\0"


def secret(key: bytes, subject: str, index: int) -> str:
    """The secret that opens the customer's entry `index`: base64url, at least 22 characters."""
    sealed = AESSIV(key).encrypt(subject.encode(), _bound(index))
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def whose(key: bytes, text: str, index: int) -> str | None:
    """The customer whose entry `index` this secret opens, or None."""
    try:
        sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return AESSIV(key).decrypt(sealed, _bound(index)).decode()
    except (InvalidTag, ValueError, Error):
        return None


def address(page: str, key: bytes, subject: str, index: int) -> str | None:
    """The URL in the code; None if it is too long (a very long host or customer number)."""
    whole = f"{page}#{index}.{secret(key, subject, index)}"
    return whole if len(whole.encode()) <= MAX_BYTES else None


def _bound(index: int) -> list[bytes]:
    return [_DOMAIN + str(index).encode()]
