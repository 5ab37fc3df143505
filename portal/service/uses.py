"""Tells a service what it may ask for: scenes, fields and purposes.

    GET /v1/uses    {"service": "analytics", "uses": [{"scene": "segmentation", "purpose": …}]}

It follows from contracts and policy, as the gate's refusals do, and names no customer.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from gate.contracts.scene import Scene
from gate.decision.key_scope import KeyedService
from gate.policy.compiled import Plan
from portal.desk.intake import Asker
from portal.operations.wiring import Product
from portal.web.pages import context

router = APIRouter(prefix="/v1", tags=["usage"])


@router.get("/uses")
def permitted(request: Request, by: Asker) -> dict[str, Any]:
    """The scenes that your service may ask for, with their fields and purpose."""
    found = uses(context(request).product, by)
    if isinstance(by, KeyedService) and by.scenes:
        found = [each for each in found if each["scene"] in by.scenes]
    return {"service": str(by), "uses": found}


def uses(product: Product, by: str) -> list[Mapping[str, Any]]:
    """One line for each scene in which contract and policy let the service have a field."""
    plans = [product.gate.plan(by, each) for each in product.scenes]
    return [_use(each) for each in plans if each is not None and each.offered]


def _use(plan: Plan) -> Mapping[str, Any]:
    scene = plan.scene
    return {
        "scene": scene.id,
        "title": scene.title,
        "purpose": scene.purpose,
        "legal_basis": scene.legal_basis.value,
        "shapes": sorted(each.value for each in scene.shapes),
        "fields": [_field(scene, each) for each in scene.fields if plan.bits[each] & plan.offered],
    }


def _field(scene: Scene, name: str) -> Mapping[str, Any]:
    field = scene.fields[name]
    return {
        "field": name,
        "title": field.item.title,
        "without_permission": field.fallback.value,
    }
