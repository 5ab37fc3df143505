"""A token names a place in the feed of one service: the number of the last line that it received.

    base64url( number(8) ‖ HMAC-SHA-256(key, generation ‖ number ‖ service) [:16] )

Every gate of a data directory has the key, so a token is valid at each, and after a restart.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

_NUMBER_SIZE, _MAC_SIZE = 8, 16
_LENGTH = 32  # characters


class UnknownTokenError(ValueError):
    """The token was not issued to this service by this feed. The message says what to do."""

    def __init__(self, token: str) -> None:
        super().__init__(
            f"since: {token[:_LENGTH]!r} is no token that this feed issued to your service; send "
            "the last `token` you received, or leave it out: then treat whatever you have and the "
            "feed does not name as not allowed until you read it again"
        )


def issue(key: bytes, generation: bytes, service: str, number: int) -> str:
    raw = number.to_bytes(_NUMBER_SIZE)
    return urlsafe_b64encode(raw + _mac(key, generation, service, raw)).decode()


def number(key: bytes, generation: bytes, service: str, token: str) -> int:
    """The number in a token. Raises UnknownTokenError."""
    try:
        data = urlsafe_b64decode(token.encode("ascii")) if len(token) == _LENGTH else b""
    except ValueError:
        raise UnknownTokenError(token) from None
    raw, mac = data[:_NUMBER_SIZE], data[_NUMBER_SIZE:]
    canonical = urlsafe_b64encode(data).decode() == token
    if not canonical or not hmac.compare_digest(mac, _mac(key, generation, service, raw)):
        raise UnknownTokenError(token)
    return int.from_bytes(raw)


def _mac(key: bytes, generation: bytes, service: str, raw: bytes) -> bytes:
    return hmac.digest(key, generation + raw + service.encode(), "sha256")[:_MAC_SIZE]
