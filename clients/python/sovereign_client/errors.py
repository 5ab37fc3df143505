"""What can go wrong. Every error of the gate is a GateError, and means: no data.

GateError
    ProblemError            the gate answered with a problem (RFC 9457), by its status:
        MalformedError      400  the request is not understood
        UnauthenticatedError 401 the token is not accepted
        RefusedError        403  contract, policy or key do not allow it; `reason` says why
        DroppedError        410  changes since that token are no longer kept: read again
        QuotaError          429  over the quota; `retry_after_s`
        UnavailableError    5xx  the gate cannot answer now; `retry_after_s`
    NoAnswerError           no connection, or no answer in time
    IncompleteError         an answer without its end: what arrived of it is not the result
    UnknownAnswerError      an answer that this client does not understand
    TokenError              no access token
"""

from collections.abc import Mapping
from typing import Any

import msgspec

MAX_SHOWN = 200  # characters of an answer's text that a message repeats


class GateError(Exception):
    """No data. The subclass says why."""


class NotPersonalError(Exception):
    """A personal value was wanted of a field that is none. `view`: what the field is."""

    def __init__(self, field: str, view: str) -> None:
        super().__init__(f"{field} is {view}, not personal: check its view before you use it")
        self.field, self.view = field, view


class ProblemError(GateError):
    """The gate answered with a problem (RFC 9457).

    `reason`: of a refusal by contract or policy, e.g. "unknown-service". `read_log`, `entry`: where
    the refusal is logged. `retry_after_s`: how long to wait, if the gate says so.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None
    ) -> None:
        self.status, self.problem, self.retry_after_s = status, problem, retry_after_s
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        self.reason = str(problem.get("reason", ""))
        self.read_log = str(problem.get("read_log", ""))
        self.entry = problem.get("entry")
        said = ": ".join(each for each in (self.title, self.reason, self.detail) if each)
        super().__init__(f"{status} {said}")


class MalformedError(ProblemError):
    """The gate does not understand the request (400). `detail` says what it wants."""


class UnauthenticatedError(ProblemError):
    """The token is missing, expired or revoked (401)."""


class RefusedError(ProblemError):
    """Contract, policy or the key's scope do not allow the request (403)."""


class DroppedError(ProblemError):
    """The changes since a token are no longer kept (410): read again what you store."""


class QuotaError(ProblemError):
    """The quota is used up (429). `retry_after_s` says when it has room."""


class UnavailableError(ProblemError):
    """The gate cannot answer now (5xx)."""


class NoAnswerError(GateError):
    """No answer arrived. `timed_out`: because it took too long."""

    def __init__(self, message: str, *, timed_out: bool) -> None:
        super().__init__(f"{message}; treat it as no data")
        self.timed_out = timed_out


class IncompleteError(GateError):
    """An answer broke off. Rows that arrived before are true, but they are not all."""


class UnknownAnswerError(GateError):
    """An answer that is not understood, and therefore not used."""


class TokenError(GateError):
    """There is no access token to ask with. The message has no secret."""


_KINDS = {
    400: MalformedError,
    401: UnauthenticatedError,
    403: RefusedError,
    410: DroppedError,
    429: QuotaError,
}


def problem(status: int, body: bytes, retry_after_s: float | None) -> GateError:
    """The error for an answer whose status is not 200. `body`: with or without a problem."""
    try:
        about = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):
        about = {"title": "An answer that is no problem of the gate"}
        about["detail"] = body[:MAX_SHOWN].decode("utf-8", "replace")
    if status >= 500:  # noqa: PLR2004 - server errors, as HTTP numbers them
        return UnavailableError(status, about, retry_after_s)
    if status < 400:  # noqa: PLR2004 - neither an answer nor an error
        return UnknownAnswerError(f"want status 200, found {status}: check the gate's address")
    return _KINDS.get(status, ProblemError)(status, about, retry_after_s)
