"""What a service may read, has read, and was last answered: for the service itself.

    GET /v1/usage    {"quotas": [{"scene": "segmentation", "points": 3, …}], "answers": [{…}]}

Of an answer it tells what the service was told anyway, of a batch how many decisions it holds; whom
it was about the read log itself does not say in clear. Answers are those of this gate instance,
from its newest entries.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request

from portal.desk.intake import service
from portal.operations.wiring import Product
from portal.web.pages import faces

MOST_ANSWERS, LOOKED_AT = 20, 4096
SHOWN = ("at", "action", "scene", "fields", "views", "reason", "rows", "release", "mode")

router = APIRouter(prefix="/v1", tags=["usage"])
Service = Annotated[str, Depends(service)]


@router.get("/usage")
def used(request: Request, by: Service) -> dict[str, Any]:
    """Your quotas with what you have used of them, and your last answers, newest first."""
    here = faces(request)
    return {
        "quotas": quotas(here.product, by, here.clock()),
        "answers": answers(here.product, by),
    }


def quotas(product: Product, by: str, at: datetime) -> list[dict[str, Any]]:
    """One line for each scene whose contract names the service."""
    scenes = [s for s in product.scenes.values() if by in {each.id for each in s.services}]
    known = product.gate.options.quotas
    return [{"scene": each.id, **asdict(known.usage(by, each.id, at))} for each in scenes]


def answers(product: Product, by: str) -> Sequence[dict[str, Any]]:
    """The last answers to the service among the newest entries of this gate's read log."""
    size = product.reads.size
    newest = [*enumerate(product.reads.entries(max(0, size - LOOKED_AT), size))][::-1]
    first = max(0, size - LOOKED_AT)
    found: list[dict[str, Any]] = []
    for place, entry in newest:
        reading = json.loads(entry)
        if reading["service"] == by:
            shown = _alone(reading) if "scene" in reading else _batch(reading)
            found.append({"entry": first + place} | shown)
        if len(found) == MOST_ANSWERS:
            break
    return found


def lines(product: Product, by: str) -> Sequence[dict[str, Any]]:
    """The same for a page: what an answer does not say is None."""
    return [dict.fromkeys(SHOWN) | each for each in answers(product, by)]


def _alone(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A table that was made up to another release's counts names its mode; others do not."""
    return {name: entry[name] for name in SHOWN if name in entry}


def _batch(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("at", "action", "decisions")}
