"""Sends notices over HTTP: CloudEvents 1.0 in structured mode, signed as Standard Webhooks.

    POST /hooks/consent HTTP/1.1
    content-type: application/cloudevents+json; charset=utf-8
    webhook-id: 9f2c…                       the CloudEvent's id, the same at every attempt
    webhook-timestamp: 1795251600           of this attempt
    webhook-signature: v1,K5oZ…=            HMAC-SHA256 over "id.timestamp.body"

During a key rotation the key file has two lines and the header two signatures. A receiver that
answers 429 or 503 may send `Retry-After` (RFC 9110, section 10.2.3), in seconds or as a date.
"""

import hmac
import secrets
import ssl
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from socket import SHUT_RDWR
from threading import Event, Timer
from urllib.parse import SplitResult, urlsplit

from ledger.tlog import atomic_file
from steward.notify.outbox import OutgoingNotice, RefusedError, UndeliveredError

PREFIX = "whsec_"
SECRET_SIZES = range(24, 65)  # bytes, as in the specification
TIMEOUT_S = 10.0  # for the whole exchange
TARGET = "https://host/path (http on a loopback address only)"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
GONE = 410  # the receiver wants no more notices
BUSY = frozenset({429, 503})  # statuses with a Retry-After
MAX_RETRY_AFTER = timedelta(hours=6)  # about the longest wait of the outbox itself


class WebhookError(ValueError):
    """A target or secret cannot be used. The message never contains the secret."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver. A `steward.notify.outbox.Sender`."""

    url: str
    keys: tuple[bytes, ...]
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        """Raises WebhookError for a target that is neither https nor loopback."""
        require_target(self.url)
        if not self.keys:
            raise WebhookError(f"{self.url} has no secret, want at least one")

    def send(self, letter: OutgoingNotice, at: datetime) -> None:
        """Make one attempt. Does not follow redirects: the body goes to the configured URL only."""
        headers = {"content-type": CONTENT_TYPE, **signed(letter.id, letter.body, self.keys, at)}
        try:
            status, wait = _post(require_target(self.url), letter.body, headers, self.timeout_s)
        except (OSError, HTTPException) as error:
            raise UndeliveredError(f"no answer: {type(error).__name__}: {error}") from error
        if status == GONE:
            raise RefusedError("answered 410: the receiver is gone; configure another, then replay")
        if not 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, section 15.3
            asked = retry_after(wait, at) if status in BUSY else None
            raise UndeliveredError(f"answered {status}, want 2xx", asked)


def signed(id_: str, body: bytes, keys: tuple[bytes, ...], at: datetime) -> dict[str, str]:
    """The headers by which a receiver verifies the sender and drops duplicates."""
    timestamp = str(int(at.timestamp()))
    covered = f"{id_}.{timestamp}.".encode() + body
    marks = [b64encode(hmac.digest(key, covered, sha256)).decode() for key in keys]
    return {
        "webhook-id": id_,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }


def keys(path: Path) -> tuple[bytes, ...]:
    """The secrets in a key file, one `whsec_…` per line; created on first use, owner only.

    Raises WebhookError.
    """
    if not path.exists():
        secret = PREFIX + b64encode(secrets.token_bytes(32)).decode()
        with suppress(FileExistsError):  # another process was faster: use its secret
            atomic_file.create(path, f"{secret}\n".encode(), atomic_file.OWNER_ONLY)
    return tuple(_key(line, path) for line in path.read_text("utf-8").split())


def _key(secret: str, path: Path) -> bytes:
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in SECRET_SIZES:
        raise WebhookError(f"{path}: want {PREFIX}… with 24 to 64 bytes of base64 on each line")
    return key


def retry_after(value: str, at: datetime) -> timedelta | None:
    """How long a receiver asks to wait, at most MAX_RETRY_AFTER.

    None if the header is absent or neither seconds nor an HTTP date; then the outbox waits as long
    as it would have anyway.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        asked = timedelta(seconds=min(int(text[:9]), MAX_RETRY_AFTER.total_seconds()))
    else:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        asked = (until if until.tzinfo else until.replace(tzinfo=UTC)) - at
    return min(max(asked, timedelta(0)), MAX_RETRY_AFTER)


def require_target(url: str) -> SplitResult:
    """Validate a target URL and return its parts.

    Raises WebhookError, whose message contains no password.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise WebhookError(f"want {TARGET} without spaces or other than ASCII, found {url!r}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise WebhookError(f"want {TARGET}, found one that cannot be read: {error}") from None
    if "@" in parts.netloc:
        raise WebhookError(f"want {TARGET} without user and password, found {_public(parts)!r}")
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or plain):
        raise WebhookError(f"want {TARGET}, found {url!r}")
    if parts.fragment:
        raise WebhookError(f"want {TARGET} without a fragment, found {url!r}")
    return parts


def _public(parts: SplitResult) -> str:
    """The URL with stars for user and password."""
    return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _post(
    target: SplitResult, body: bytes, headers: dict[str, str], timeout_s: float
) -> tuple[int, str]:
    """The status of the answer, and its Retry-After or ""; the body is ignored."""
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    connection = _connection(target, timeout_s)
    ended = Event()
    late = Timer(timeout_s, _cut, [connection, ended])
    late.daemon = True
    try:
        late.start()
        connection.connect()
        if ended.is_set():
            raise TimeoutError("connecting took too long")
        connection.request("POST", path, body, headers)
        answer: HTTPResponse = connection.getresponse()
        if ended.is_set():  # an answer that was cut off in its headers looks complete
            raise TimeoutError("the answer took too long")
        return int(answer.status), answer.getheader("retry-after") or ""
    finally:
        late.cancel()
        connection.close()


def _connection(target: SplitResult, timeout_s: float) -> HTTPConnection:
    host = str(target.hostname)
    if target.scheme == "https":
        trusted = ssl.create_default_context()
        return HTTPSConnection(host, target.port, timeout=timeout_s, context=trusted)
    return HTTPConnection(host, target.port, timeout=timeout_s)


def _cut(connection: HTTPConnection, ended: Event) -> None:
    """Abort an exchange that takes too long; a socket's own timeout restarts with every byte."""
    ended.set()
    if (socket := connection.sock) is not None:
        try:
            socket.shutdown(SHUT_RDWR)
        except OSError:
            return  # already closed
