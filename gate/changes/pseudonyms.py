"""The pseudonyms by which the feed knows customers, and the keyed hash of an id that is erased."""

import hmac
from collections.abc import Iterable
from hashlib import sha256

from gate.readlog.writer import EntryTagger, pseudonym

ORIGIN = "changes"  # of a customer's pseudonym for answers with ids; no read log has this name
_HASH_INFO = b"sovereign/changes/id/v1"
_TOKEN_INFO = b"sovereign/changes/token/v1"


def every(tagger: EntryTagger, subject: str, origins: Iterable[str]) -> list[bytes]:
    """The customer's pseudonyms: the one for answers with ids, and one for each read log."""
    return [pseudonym(tagger, subject, each) for each in (ORIGIN, *origins)]


def hash_key(secret: bytes) -> bytes:
    """The key of `hashed`, which services are given with each page."""
    return hmac.digest(secret, _HASH_INFO, sha256)


def token_key(secret: bytes) -> bytes:
    return hmac.digest(secret, _TOKEN_INFO, sha256)


def hashed(key: bytes, subject: str) -> bytes:
    """What a service recognises an erased customer's id by: HMAC-SHA-256."""
    return hmac.digest(key, subject.encode(errors="surrogatepass"), sha256)
