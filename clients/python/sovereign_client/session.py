"""What both clients do alike around each request: address, token, timeouts, and errors."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import httpx

from sovereign_client import errors, retries, rows
from sovereign_client.calls import Request
from sovereign_client.errors import GateError, IncompleteError, NoAnswerError, TokenError
from sovereign_client.rows import Completion, Evidence

TIMEOUT_S = 10.0
OK = 200
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


def address(gate: str) -> str:
    """The gate's URL without a slash at its end. Raises ValueError."""
    parts = urlsplit(gate)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{gate!r} is not an http or https URL; give the gate's")
    return gate.rstrip("/")


@runtime_checkable
class Credentials(Protocol):
    """Authenticates each request by headers of its own, as a token that is bound to a key needs.

    Called before each attempt, by several threads at once; it may block.
    """

    def headers(self, method: str, url: str) -> Mapping[str, str]:
        """The headers that authenticate one request. `url`: without a query. Raises TokenError."""
        ...


def bearer(token: Any) -> Mapping[str, str]:
    """The header with a bearer token. Raises TokenError for what cannot be one."""
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise TokenError("want an access token or API key, found a text that cannot be one")
    return {"Authorization": f"Bearer {token}"}


def sent(gate: str, request: Request, who: Mapping[str, str], timeout_s: float) -> dict[str, Any]:
    """The arguments of httpx's `build_request`. `who`: the headers that authenticate it."""
    return {
        "method": request.method,
        "url": gate + request.path,
        "content": request.content,
        "params": dict(request.query) or None,
        "headers": {**request.headers, **who},
        "timeout": httpx.Timeout(timeout_s, read=timeout_s + request.wait_s),
    }


def no_answer(gate: str, error: httpx.HTTPError) -> NoAnswerError:
    """The error for a request that has got no answer."""
    about = str(error) or type(error).__name__
    return NoAnswerError(f"{gate}: {about}", timed_out=isinstance(error, httpx.TimeoutException))


def cut(error: httpx.HTTPError) -> IncompleteError:
    """The error for an answer that broke off."""
    return IncompleteError(f"the answer broke off: {error or type(error).__name__}")


def problem(response: httpx.Response) -> GateError:
    """The error for an answer with another status than 200, whose body is read."""
    header = response.headers.get("retry-after")
    after_s = retries.after_s(header, datetime.now(UTC))
    return errors.problem(response.status_code, response.content, after_s)


class Arriving:
    """What the headers of a stream say.

    `completion`: of a table, how it was completed. `evidence`: where the read is logged. `whole`:
    whether all rows have arrived; until then they are a part.
    """

    def __init__(self, response: httpx.Response) -> None:
        """Raises IncompleteError, UnknownAnswerError."""
        rows.require_end(response.headers, response.http_version)
        self.completion = Completion.parse(response.headers.get("sovereign-completion", "none"))
        self.evidence = Evidence.parse(response.headers.get("sovereign-evidence", ""))
        self.whole = False
