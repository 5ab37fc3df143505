"""Routes of the first page, the choice of language, and static files."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from portal.consent import gpc
from portal.signin import trial
from portal.web.pages import LANGUAGE_COOKIE, PortalContext, StaticFile, context, page
from portal.web.problems import MalformedFormError, NotFoundError
from portal.web.security import own_path

router = APIRouter(include_in_schema=False)

DAY_S = 24 * 3600
YEAR_S = 365 * DAY_S
REPEATED = {  # forms that decide nothing: looking again is recorded like looking
    "/customer/handoff",
    "/desk/customers",
    "/docs",
    "/regulator/opening",
    "/regulator/replay",
}


@router.get("/")
def landing(request: Request, unrecorded: bool = False) -> Response:
    provider = context(request).provider is not None
    facts: dict[str, Any] = {
        "people": trial.people(context(request).product),
        "provider": provider,
        "mailed": _signs_in_by_mail(context(request)),
        "signal": gpc.asked(request),
        "unrecorded": unrecorded,
    }
    return page(request, "shared/landing.html", **facts)


def _signs_in_by_mail(here: PortalContext) -> bool:
    return here.post is not None and here.product.settings.mail_sign_in


@router.get("/.well-known/gpc.json")
def honours_the_signal() -> Response:
    """State that this site honours Global Privacy Control ("GPC Support Resource", W3C GPC)."""
    resource = {"gpc": True, "lastUpdate": gpc.LAST_UPDATE}
    return JSONResponse(resource, headers={"Cache-Control": f"public, max-age={DAY_S}"})


@router.post("/language")
def choose_language(
    request: Request,
    language: Annotated[str, Form()],
    to: Annotated[str, Form(alias="next")] = "/",
    again: Annotated[str, Form()] = "",
) -> Response:
    """Set the language and show the page again.

    One that a form led to (a search, a receipt, a replay) is asked for again with the same form,
    which the button carries: the answer 307 repeats the body (RFC 9110 section 15.4.8).
    """
    known = [*context(request).words]
    if language not in known:
        raise MalformedFormError(f"language is {language[:20]!r}, want one of {known}")
    repeated = again == "form" and own_path(to) in REPEATED
    response = RedirectResponse(own_path(to), 307 if repeated else 303)
    secure = request.url.scheme == "https"
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR_S, samesite="lax", secure=secure)
    return response


@router.get("/brand/colours.css")
def colours(request: Request, v: str = "") -> Response:
    """The company's colours, over those of the product."""
    style = context(request).brand_style
    return Response(style.raw, media_type=style.media_type, headers=_cached(style, v))


@router.get("/brand/logo")
def logo(request: Request, v: str = "") -> Response:
    if (file := context(request).brand_logo) is None:
        raise NotFoundError("logo")
    return Response(file.raw, media_type=file.media_type, headers=_cached(file, v))


def _cached(file: StaticFile, version: str) -> dict[str, str]:
    """A URL that contains the file's digest may be cached for ever."""
    for_ever = f"public, max-age={YEAR_S}, immutable"
    return {"Cache-Control": for_ever if version == file.digest else "no-cache"}


@router.get("/static/{name}")
async def static(request: Request, name: str, v: str = "") -> Response:
    """A static file. Its URL contains its digest, so browsers may cache it forever."""
    file = context(request).static.get(name)
    if file is None:
        raise NotFoundError(name)
    headers = _cached(file, v) | {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.squeezed, media_type=file.media_type, headers=headers)
    return Response(file.raw, media_type=file.media_type, headers=headers)
