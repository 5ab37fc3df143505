"""Shows a service its quotas, their use, and its latest answers.

    GET /v1/usage    {"quotas": [{"scene": "segmentation", "points": 3, …}], "answers": [{…}]}

An answer shows only what the service received, and a batch the number of its decisions; the read
log does not name customers in clear. Answers are from the newest entries of this gate instance.
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
from portal.web.pages import context

MAX_ANSWERS, MAX_SEARCHED = 20, 4096  # answers shown, entries searched
SHOWN = ("at", "action", "scene", "fields", "views", "reason", "rows", "release", "mode")

router = APIRouter(prefix="/v1", tags=["usage"])
Service = Annotated[str, Depends(service)]


@router.get("/usage")
def used(request: Request, by: Service) -> dict[str, Any]:
    """Your quotas, how much of them is used, and your latest answers, newest first."""
    here = context(request)
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
    log = product.reads
    size = log.size
    newest = [*enumerate(log.entries(max(0, size - MAX_SEARCHED), size))][::-1]
    first = max(0, size - MAX_SEARCHED)
    answers: list[dict[str, Any]] = []
    for place, entry in newest:
        body = json.loads(entry)
        if body["service"] == by:
            shown = _alone(body) if "scene" in body else _batch(body)
            answers.append({"entry": first + place} | shown)
        if len(answers) == MAX_ANSWERS:
            break
    return answers


def lines(product: Product, by: str) -> Sequence[dict[str, Any]]:
    """The answers for a page; missing members are None."""
    return [dict.fromkeys(SHOWN) | each for each in answers(product, by)]


def _alone(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The shown members of an entry. Only calibrated tables have a mode."""
    return {name: entry[name] for name in SHOWN if name in entry}


def _batch(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("at", "action", "decisions")}
