"""A receipt on paper: in plain words, with a code that leads to a page which verifies it.

    https://privacy.bank.example/verify#1234.kZ0c…

What follows `#` stays in the browser until its script asks for the receipt: the entry's number, and
a secret that only this portal can make or read (AES-SIV, RFC 5297, of the customer's number; the
entry's number is bound to it). Nothing is stored for it. Once the customer is erased it opens
nothing, because nothing is left to open.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

MOST_BYTES = 125  # of the code's content: it stays big enough to scan off paper
KEY_SIZE = 32
_DOMAIN = b"sovereign/receipt-link/v1\0"


def secret(key: bytes, subject: str, index: int) -> str:
    """What opens the customer's entry `index`: base64url, 22 characters and more."""
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
    """What the code says; None if it would not fit (a very long name of host or customer)."""
    whole = f"{page}#{index}.{secret(key, subject, index)}"
    return whole if len(whole.encode()) <= MOST_BYTES else None


def _bound(index: int) -> list[bytes]:
    return [_DOMAIN + str(index).encode()]
