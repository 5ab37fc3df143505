"""Routes of the regulator's pages: public data only, no personal data, no login."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from portal.consent import history
from portal.regulator import logs, releases
from portal.web.i18n import Words
from portal.web.pages import context, page, words
from portal.web.problems import NotFoundError
from steward.oversight import stale_releases

router = APIRouter(include_in_schema=False)

LOG = re.compile(r"[a-z0-9-]{1,64}")
RESOURCE = re.compile(
    r"checkpoint|tile/([0-9]{1,2}|entries)/(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?"
)
HOUR_S = 3600
REASON = "verify.reason."  # keys of the messages why a receipt proves nothing


@router.get("/regulator")
def show(request: Request) -> Response:
    product = context(request).product
    return page(
        request,
        "regulator/regulator.html",
        logs=logs.published(product.home / "log"),
        keys=logs.keys(product.home / "keys"),
        scenes=product.scenes.values(),
        today=context(request).clock().date(),
        releases=[*releases.in_use(product.gate, product.scenes)],
    )


@router.get("/log/{log}/{resource:path}")
def log_file(request: Request, log: str, resource: str) -> Response:
    """A file of a tile directory, by its C2SP tlog-tiles path."""
    if not LOG.fullmatch(log) or not RESOURCE.fullmatch(resource):
        raise NotFoundError
    path = context(request).product.home / "log" / log / resource
    if resource == "checkpoint":
        return _file(path, "text/plain", "no-cache")
    return _file(path, "application/octet-stream", f"public, max-age={HOUR_S}")


@router.get("/keys/{name}.vkey")
def key(request: Request, name: str) -> Response:
    """The verifier keys of one log, one a line (C2SP signed-note)."""
    keys = logs.keys(context(request).product.home / "keys").get(name)
    if keys is None:
        raise NotFoundError
    return PlainTextResponse("".join(f"{each}\n" for each in keys))


@router.get("/consent.policy")
@router.get("/state.policy")
def trust(request: Request) -> Response:
    """The keys that must have signed that log's checkpoints (C2SP tlog-policy)."""
    return _file(context(request).product.home / request.url.path[1:], "text/plain", "no-cache")


@router.get("/verify")
def verify(request: Request) -> Response:
    """The page of the second verifier, which runs in the browser."""
    keys = logs.keys(context(request).product.home / "keys")
    key = "\n".join(keys.get("consent", []))
    acts, reasons = history.names(), [*_reasons(words(request))]
    return page(request, "regulator/verify.html", key=key, acts=acts, reasons=reasons)


def _reasons(spoken: Words) -> Iterator[tuple[str, str]]:
    """Why the browser's verifier refuses, by its code; `{size}` and the like are filled there."""
    for key in spoken.keys():  # noqa: SIM118 - a method of catalogues
        if key.startswith(REASON):
            yield key.removeprefix(REASON), spoken.pattern(key)


@router.get("/contracts/{scene}.odcs.yaml")
def contract(request: Request, scene: str) -> Response:
    """A scene's contract, with exactly the bytes of its digest in the log."""
    company = context(request).product.company
    if scene not in company.scenes:
        raise NotFoundError
    return _file(company.scene_file(scene), "application/yaml", "no-cache")


@router.post("/regulator/replay")
def replay(
    request: Request, first: Annotated[date, Form()], last: Annotated[date, Form()]
) -> Response:
    """Replay a period. A POST although it writes nothing, because it is expensive."""
    replayed = context(request).replays.run(first, last)
    form = {"first": first.isoformat(), "last": last.isoformat()}
    return page(request, "regulator/replay.html", replayed=replayed, form=form)


@router.get("/regulator/releases/{scene}")
def quality(request: Request, scene: str) -> Response:
    """The privacy loss and quality of the scene's release, from its public record."""
    product = context(request).product
    published, known = releases.of(product.gate, scene), product.scenes.get(scene)
    if published is None or known is None:
        raise NotFoundError
    shown = releases.quality(published, known, product.gate.served(scene).anchor)
    return page(
        request,
        "regulator/release.html",
        quality=shown,
        series=[*releases.series(product.gate, known)],
        erased=stale_releases.erased_since(product.ledger, published.ledger_size),
        age=releases.age(published, context(request).clock()),
    )


@router.get("/releases/{name}.json")
def release(request: Request, name: str) -> Response:
    """The public record of a release, by its id or its scene: noisy counts, scales and budget."""
    published = releases.named(context(request).product.gate, name)
    if published is None:
        raise NotFoundError
    return JSONResponse(published.body())


def _file(path: Path, media_type: str, caching: str) -> Response:
    if not path.is_file():
        raise NotFoundError
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": caching})
