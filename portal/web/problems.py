"""Maps exceptions to answers in one table: RFC 9457 problems for programs, pages for people.

{"type": "urn:sovereign:problem:unknown-scene", "title": "There is no such scene",
 "status": 404, "detail": "Pick one of the scenes on your sovereignty centre."}
"""

import logging
from collections.abc import Mapping
from time import monotonic
from typing import Any

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gate.decision.key_scope import KeyScopeError
from gate.readlog.writer import JournalError
from gate.reads.sources.interface import SourceUnavailableError
from gate.state.ledger_position import EpochUnavailableError
from ledger.entry_erasure import ActiveEntryError, NoSuchEntryError
from ledger.errors import UnwitnessedTimeError
from ledger.events.authority import UnauthorisedError
from ledger.events.instruction_signature import SignatureError
from ledger.service import VersionConflictError
from ledger.storage.database import DatabaseError
from ledger.storage.interface import ForkError
from ledger.vault.commitments import LegacyDataKeyError
from portal.archive import building as archive_busy
from portal.auth.passkeys import PasskeyError
from portal.web import request_faults
from portal.web.pages import forget_sessions, page, partial, words
from portal.web.replay_service import PeriodError, ReplayBusyError
from steward.cases.case import CaseConflictError, MalformedActError, UnknownCaseError
from steward.contracts.health import RunOrderError
from steward.oversight.authority_access import AuthorityAccessError
from steward.oversight.explanations import ExplanationError
from steward.oversight.legal_hold import LegalHoldError
from steward.oversight.model_signals import SignalError
from steward.oversight.register import UnsealableError
from steward.oversight.review import NotWaitingError, ReviewError


class CrossSiteError(Exception):
    """A write request that does not come from one of our pages."""


class SignedOutError(Exception):
    """The page needs a signed-in customer, and nobody is signed in."""


class UnknownSceneError(LookupError):
    """No scene has this id."""


class UnknownItemError(LookupError):
    """The scene has no item of this name."""


class NothingToSignError(LookupError):
    """A signature arrived, but the session has no instruction to sign."""


class ProveAgainError(Exception):
    """The act needs a more recent sign-in."""


class LeavingError(Exception):
    """The act allows something, and the customer asked to be erased."""


class MovedError(Exception):
    """The customer has another number, and decided something under the old one."""


class NotFoundError(LookupError):
    """The reader has nothing at this URL; another reader may."""


class LockedSceneError(Exception):
    """The scene is based on the contract and cannot be switched."""


class ChangedWordsError(Exception):
    """The scene's wording changed since the customer saw it."""


class MalformedFormError(ValueError):
    """The form is not one that our pages send."""


class LoginRefusedError(Exception):
    """The sign-in failed; the answer does not tell whether the customer exists."""


class UnknownCustomerError(Exception):
    """In a trial, in which anybody may know who is a customer: nobody has this number."""


class UsedCodeError(Exception):
    """The code is used, expired or unknown."""


class UnauthenticatedError(Exception):
    """A service's request has no valid token."""


STORAGE_DOWN = (  # a database that does not answer, or does not confirm that we may write
    DatabaseError,
    ForkError,
    EpochUnavailableError,
    JournalError,
    DBAPIError,
    PoolTimeoutError,
)
TABLE: Mapping[type[Exception], tuple[int, str]] = {
    MalformedFormError: (400, "malformed"),
    RequestValidationError: (400, "malformed"),
    SignedOutError: (401, "signed-out"),
    UsedCodeError: (401, "used-code"),
    LoginRefusedError: (401, "login-refused"),
    UnknownCustomerError: (401, "unknown-customer"),
    CrossSiteError: (403, "cross-site"),
    PasskeyError: (400, "passkey"),
    LockedSceneError: (403, "locked-scene"),
    UnknownSceneError: (404, "unknown-scene"),
    UnknownItemError: (404, "unknown-item"),
    NotFoundError: (404, "not-found"),
    VersionConflictError: (409, "version-conflict"),
    ActiveEntryError: (409, "in-force"),
    LegacyDataKeyError: (409, "one-half"),
    LegalHoldError: (409, "held"),
    NoSuchEntryError: (404, "not-found"),
    archive_busy.ArchiveBusyError: (503, "busy"),
    ChangedWordsError: (409, "changed-words"),
    NothingToSignError: (409, "nothing-to-sign"),
    UnauthorisedError: (403, "key-needed"),
    UnwitnessedTimeError: (409, "unwitnessed"),
    SignatureError: (400, "signature"),
    ProveAgainError: (403, "prove-again"),
    LeavingError: (409, "leaving"),
    MovedError: (409, "moved"),
    ReviewError: (400, "malformed"),
    SignalError: (400, "malformed"),
    ExplanationError: (400, "explanation"),
    AuthorityAccessError: (400, "malformed"),
    PeriodError: (400, "period"),
    ReplayBusyError: (503, "busy"),
    UnauthenticatedError: (401, "unauthenticated"),
    KeyScopeError: (403, "key-scope"),
    UnsealableError: (409, "unsealable"),
    MalformedActError: (400, "malformed"),
    UnknownCaseError: (404, "not-found"),
    NotWaitingError: (409, "decided"),
    CaseConflictError: (409, "decided"),
    RunOrderError: (409, "just-checked"),
    SourceUnavailableError: (503, "source-down"),
    **dict.fromkeys(STORAGE_DOWN, (503, "database-down")),
}
DOWN_LOG_S = 60.0
_LOG = logging.getLogger("sovereign")
INSTEAD_OF_THE_PAGE = {"HX-Retarget": "#main", "HX-Reswap": "innerHTML show:window:top"}
STATUSES = {404: "not-found", 405: "method"}  # slugs of the framework's own errors
BEARER_PATHS = ("/v1/", "/access/", "/token", "/mcp")  # of services, which send a token
UNRECORDED = "/?unrecorded=true"  # after a press of somebody who was signed out meanwhile
TO_PROGRAMS = {"malformed": "request", "not-found": "path"}  # whose words differ from a page's


async def answer(request: Request, error: Exception) -> Response:
    """The exception handler: a problem as JSON, or as a page for a browser."""
    status, slug = _status_and_slug(error)
    response = _answer(request, error, status, slug)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)  # the methods that are allowed, say
    if isinstance(error, STORAGE_DOWN):
        _DOWN.say(error)
        forget_sessions(request)  # they cannot be saved
    return response


class _DownLog:
    """Says that storage does not answer: once a minute, however many requests meet it."""

    def __init__(self) -> None:
        self._next = 0.0

    def say(self, error: Exception) -> None:
        if monotonic() < self._next:
            return
        self._next = monotonic() + DOWN_LOG_S
        # Its message may quote the values of a statement.
        _LOG.warning("a database did not answer (%s): 503 until it does", type(error).__name__)


_DOWN = _DownLog()


def _answer(request: Request, error: Exception, status: int, slug: str) -> Response:
    if not reads_pages(request):
        return _json(request, status, slug, _facts(request, error))
    if isinstance(error, SignedOutError):
        return _to_the_front(request)
    if partial(request):
        response = page(request, "shared/_problem.html", status=status, slug=slug)
        response.headers.update(INSTEAD_OF_THE_PAGE)
        return response
    return page(request, "shared/problem.html", status=status, slug=slug)


def _to_the_front(request: Request) -> Response:
    """Where one signs in; it says so if something was pressed, and not recorded."""
    place = UNRECORDED if request.method == "POST" else "/"
    if partial(request):
        return Response(status_code=204, headers={"HX-Redirect": place})
    return RedirectResponse(place, 303)


def _json(request: Request, status: int, slug: str, facts: Mapping[str, Any]) -> JSONResponse:
    spoken = words(request)
    said = TO_PROGRAMS.get(slug, slug)
    problem: dict[str, Any] = {
        "type": f"urn:sovereign:problem:{slug}",
        "title": spoken.plain(f"problem.{said}.title"),
        "status": status,
        "detail": spoken.plain(f"problem.{said}.detail"),
    }
    return JSONResponse(problem | dict(facts), status, media_type="application/problem+json")


def _status_and_slug(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, STATUSES.get(error.status_code, "malformed")
    known = (TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    return next(known, (500, "broken"))


def _facts(request: Request, error: Exception) -> Mapping[str, Any]:
    """Members a program needs to continue, e.g. the current version after a conflict."""
    if isinstance(error, VersionConflictError):
        return {"version": error.current, "wanted": error.wanted}
    if isinstance(error, ExplanationError | ReviewError | SignalError | UnsealableError):
        return {"why": str(error)}
    if isinstance(error, RequestValidationError):
        found = request_faults.faults(error)
        return {"why": "; ".join(request_faults.listed(found)), "errors": found}
    if isinstance(error, HTTPException) and error.status_code == 404:  # noqa: PLR2004 - as HTTP has it
        return {"nearby": request_faults.nearby(request.url.path, _paths(request))}
    return {}


def _paths(request: Request) -> list[str]:
    """The paths of services: what pages there are is nobody's answer to a mistyped path."""
    routes = (each.path for each in request.app.router.routes if isinstance(each, Route))
    return [*dict.fromkeys(path for path in routes if path.startswith(BEARER_PATHS))]


def reads_pages(request: Request) -> bool:
    """Whether the answer is for a browser; never at a path of services."""
    if request.url.path.startswith(BEARER_PATHS):
        return False
    return partial(request) or "text/html" in request.headers.get("accept", "")
