"""One kept-alive HTTP connection to a witness, for one request at a time."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from socket import SHUT_RDWR
from threading import Lock
from urllib.parse import urlsplit

from ledger.witness.witness import TEXT, Reply

TIMEOUT_S = 10.0  # of one read of the socket; the caller has a deadline for the whole
WAIT_S = 2.0  # for an earlier request to the same witness
_MAX_REPLY_BYTES = 1 << 16
_OK = 200


class WitnessUnavailableError(Exception):
    """The witness did not answer, or not according to the protocol."""


@dataclass(slots=True)
class WitnessConnection:
    """A connection to the server at `url`, opened when it is first needed. Thread-safe."""

    url: str
    _connect: Callable[[], HTTPConnection]
    _open: HTTPConnection | None = None
    _ending: bool = False
    _closed: bool = False
    _busy: Lock = field(default_factory=Lock)

    @classmethod
    def to(cls, url: str) -> "WitnessConnection":
        """Raises ValueError for an address that is not http or https."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"the witness's URL is {url!r}, want http:// or https://")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        host, port = parts.hostname, parts.port
        return cls(url.rstrip("/"), lambda: kind(host, port, timeout=TIMEOUT_S))

    def post(self, body: bytes) -> Reply:
        """Post a submission. Raises WitnessUnavailableError."""
        return self._asked("POST", f"{self.url}/add-checkpoint", body)

    def fetch(self, origin: str) -> str | None:
        """The newest checkpoint of a log that the witness cosigned, if it says.

        Raises WitnessUnavailableError.
        """
        digest = sha256(origin.encode()).hexdigest()
        reply = self._asked("GET", f"{self.url}/{digest}/checkpoint", None)
        return reply.body if reply.status == _OK else None

    def stop(self) -> None:
        """End the request that is under way, if there is one, and close the connection."""
        if (opened := self._open) is not None and (sock := opened.sock) is not None:
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)
        self._ending = True  # a request that is under way closes it
        if self._busy.acquire(blocking=False):
            self._close()
            self._busy.release()

    def close(self) -> None:
        """As `stop`, and nothing can be asked any more."""
        self._closed = True
        self.stop()

    def _asked(self, method: str, url: str, body: bytes | None) -> Reply:
        if not self._busy.acquire(timeout=WAIT_S):
            raise WitnessUnavailableError(f"{self.url} has not answered the question before")
        self._ending = False
        try:
            if self._closed:
                raise ConnectionAbortedError("the log was closed")
            return self._answered(method, urlsplit(url).path, body)
        except (OSError, HTTPException, ValueError) as error:
            raise WitnessUnavailableError(f"{url}: {error or type(error).__name__}") from error
        finally:
            if self._ending or self._closed:
                self._close()
            self._busy.release()

    def _answered(self, method: str, path: str, body: bytes | None) -> Reply:
        """One exchange. A connection that the server closed meanwhile is opened again, once."""
        kept = self._open is not None
        try:
            return self._exchange(method, path, body)
        except (ConnectionError, HTTPException):
            if not kept:
                raise
        return self._exchange(method, path, body)

    def _exchange(self, method: str, path: str, body: bytes | None) -> Reply:
        connection = self._open = self._open or self._connect()
        try:
            connection.request(method, path, body, {"content-type": TEXT} if body else {})
            with connection.getresponse() as response:
                read = response.read(_MAX_REPLY_BYTES + 1)
                kind = response.headers.get("content-type") or ""
                if len(read) > _MAX_REPLY_BYTES:  # a connection with a rest is not used again
                    self._close()
                return Reply(response.status, read.decode(errors="replace"), kind)
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
