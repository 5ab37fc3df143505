"""The gate, as obviously as it can be written: lists, dicts, and the sentences of specs/gate.md."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from gate.contract import Fallback, Scene
from ledger.event import Granted, Instruction, Withdrawn

Grant = dict[str, datetime]  # field -> end of its grant


def grants(history: Sequence[Instruction], subject: str, scene: Scene) -> Grant:
    """G2, G3: what one customer grants in one scene after a history."""
    held: Grant = {}
    for instruction in history:
        if instruction.subject != subject or getattr(instruction.act, "scene", None) != scene.id:
            continue
        match instruction.act:
            case Granted(fields=fields, until=until):
                longest = (instruction.at + scene.longest).replace(second=0, microsecond=0)
                end = longest if until is None else min(until, longest)
                held = dict.fromkeys(fields, end)
            case Withdrawn(fields=None):
                held = {}
            case Withdrawn(fields=fields):
                held = {field: end for field, end in held.items() if field not in (fields or ())}
    return held


def answer(
    history: Sequence[Instruction],
    scenes: Mapping[str, Scene],
    service: str,
    scene: str,
    subject: str,
    fields: Sequence[str],
    at: datetime,
    *,
    released: bool,
) -> dict[str, str]:
    """The view of each field; empty when the request is refused (G5)."""
    contract = scenes.get(scene)
    if contract is None or not contract.admits(service) or not fields:
        return {}
    if any(field not in contract.fields for field in fields):
        return {}
    held = grants(history, subject, contract)
    live = {field for field, end in held.items() if at < end}
    return {field: _view(contract, field, live, released=released) for field in fields}


def _view(scene: Scene, field: str, live: set[str], *, released: bool) -> str:
    if scene.locked or field in live:
        return "personal"
    declared = scene.fields[field]
    if declared.fallback is Fallback.SYNTHETIC and released:
        return "synthetic"
    if declared.fallback is Fallback.GENERALISE and declared.generalised_by in live:
        return "generalised"
    return "withheld"
