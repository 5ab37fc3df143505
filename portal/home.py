"""The first page, signing in and out, the language, and the files that every page needs."""

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gate.read import ReadRequest
from portal.i18n import LANGUAGES
from portal.pages import LANGUAGE_COOKIE, Faces, faces, page
from portal.problems import LoginRefusedError, MalformedFormError, NotFoundError, UsedCodeError
from portal.security import own_path
from portal.session import COOKIE, put_cookie

router = APIRouter(include_in_schema=False)

GREETING_SCENE = "contract-service"
GREETING_SERVICE = "sovereignty-centre"
DEMO_PEOPLE = tuple(f"c{number:05d}" for number in (1, 7, 8, 42, 77, 361, 1024, 4711))
YEAR_S = 365 * 24 * 3600


@router.get("/")
def landing(request: Request) -> Response:
    return page(request, "shared/landing.html", people=DEMO_PEOPLE)


@router.post("/login")
def sign_in(request: Request, customer: Annotated[str, Form()]) -> Response:
    """The demonstration's login: whoever is asked for. Absent unless the settings say `demo`."""
    here = faces(request)
    name = _greeting(here, customer) if here.product.settings.demo else None
    if name is None:
        raise LoginRefusedError
    return _signed_in(request, customer, name)


@router.get("/handoff")
def arrive(request: Request) -> Response:
    """Where a scanned code leads. The code itself is in the part of the address we never see."""
    return page(request, "customer/arrive.html")


@router.post("/handoff")
def take_over(request: Request, code: Annotated[str, Form(max_length=40)]) -> Response:
    here = faces(request)
    by = here.handoffs.redeem(code, here.clock())
    if by is None:
        raise UsedCodeError
    return _signed_in(request, by.subject, by.name)


@router.post("/logout")
def sign_out(request: Request) -> Response:
    faces(request).sessions.close(request.cookies.get(COOKIE))
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


@router.post("/language")
def choose_language(
    request: Request, language: Annotated[str, Form()], to: Annotated[str, Form(alias="next")] = "/"
) -> Response:
    if language not in LANGUAGES:
        raise MalformedFormError(f"language is {language[:20]!r}, want one of {[*LANGUAGES]}")
    response = RedirectResponse(own_path(to), 303)
    secure = request.url.scheme == "https"
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR_S, samesite="lax", secure=secure)
    return response


@router.get("/static/{name}")
async def static(request: Request, name: str, v: str = "") -> Response:
    """A file of ours. Its address carries its digest, so a browser may keep it for ever."""
    file = faces(request).static.get(name)
    if file is None:
        raise NotFoundError(name)
    caching = f"public, max-age={YEAR_S}, immutable" if v == file.digest else "no-cache"
    headers = {"Cache-Control": caching, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.squeezed, media_type=file.media_type, headers=headers)
    return Response(file.raw, media_type=file.media_type, headers=headers)


def _signed_in(request: Request, subject: str, name: str) -> Response:
    """Always a new session: whatever the browser had before is worth nothing from now on."""
    here = faces(request)
    here.sessions.close(request.cookies.get(COOKIE))
    response = RedirectResponse("/customer", 303)
    put_cookie(response, request, here.sessions.open(subject, name, here.clock()))
    return response


def _greeting(here: Faces, customer: str) -> str | None:
    """The customer's name, read through the gate as every read is; None if there is no such."""
    request = ReadRequest(GREETING_SERVICE, GREETING_SCENE, customer, ("name",), here.clock())
    return here.product.gate.read(request).values.get("name")
