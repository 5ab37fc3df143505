"""The pseudonyms by which the feed knows customers, and the keyed hash of an id that is erased."""

import hmac
from collections.abc import Iterable
from hashlib import sha256

from gate.readlog.writer import EntryTagger, pseudonym

_HASH_INFO = b"sovereign/changes/id/v1"
_TOKEN_INFO = b"sovereign/changes/token/v1"


def every(tagger: EntryTagger, subject: str, origins: Iterable[str]) -> list[bytes]:
    """The customer's pseudonyms in the private indexes of these read logs."""
    return [pseudonym(tagger, subject, each) for each in origins]


def hash_key(secret: bytes) -> bytes:
    """The key of `hashed`, which services are given with each page."""
    return hmac.digest(secret, _HASH_INFO, sha256)


def token_key(secret: bytes) -> bytes:
    return hmac.digest(secret, _TOKEN_INFO, sha256)


def hashed(key: bytes, subject: str) -> bytes:
    """What a service recognises an erased customer's id by: HMAC-SHA-256."""
    return hmac.digest(key, subject.encode(errors="surrogatepass"), sha256)
