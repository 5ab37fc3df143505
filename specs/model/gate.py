"""A short executable model of the gate with lists and dicts, by the clauses of specs/gate.md."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from gate.contracts.scene import Fallback, Scene
from gate.contracts.triggers import Template, Trigger
from ledger.events.envelope import (
    Event,
    Granted,
    Instruction,
    ScenePublished,
    SignalReported,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)

Grant = dict[str, datetime]  # field -> end of its grant


def grants(history: Sequence[Event], subject: str, scene: Scene) -> Grant:
    """G2, G3, G15: the fields that one customer grants in one scene after a history."""
    granted: Grant = {}
    published = (0, 0, 0)
    own = _numbers(scene.version)
    for instruction in history:
        if isinstance(instruction, ScenePublished) and instruction.scene == scene.id:
            published = _numbers(instruction.version)
        if not isinstance(instruction, Instruction) or instruction.subject != subject:
            continue
        if getattr(instruction.act, "scene", None) != scene.id:
            continue
        match instruction.act:
            case Granted(fields=fields, until=until):
                longest = (instruction.at + scene.longest).replace(second=0, microsecond=0)
                end = longest if until is None else min(until, longest)
                meant = [
                    f for f in fields if f in scene.fields and published >= scene.fields[f].since
                ]
                narrower = published < scene.consent_since
                granted = {} if narrower or published[0] > own[0] else dict.fromkeys(meant, end)
            case Withdrawn(fields=None):
                granted = {}
            case Withdrawn(fields=fields):
                granted = {
                    field: end for field, end in granted.items() if field not in (fields or ())
                }
    return granted


def _numbers(text: str) -> tuple[int, int, int]:
    major, minor, patch = map(int, text.split("."))
    return major, minor, patch


def frozen(history: Sequence[Event], subject: str, scene: Scene, at: datetime) -> bool:
    """G40-G44: whether an armed trigger freezes the scene at an instant."""
    last = {(e.source, e.signal): e for e in history if isinstance(e, SignalReported)}
    armed = _armed(history, subject, scene)
    for trigger in scene.triggers:
        threshold = armed.get((trigger.template, trigger.signal))
        report = last.get((trigger.source, trigger.signal))
        if threshold is not None and _stops(trigger, threshold, report, at):
            return True
    return False


def _armed(history: Sequence[Event], subject: str, scene: Scene) -> dict[tuple[str, str], int]:
    armed: dict[tuple[str, str], int] = {}
    for event in history:
        match event:
            case Instruction(subject=who, act=TriggerSet(name, template, signal, threshold)):
                if (who, name) == (subject, scene.id):
                    armed[template, signal] = threshold
            case Instruction(subject=who, act=TriggerCleared(name, template, signal)):
                if (who, name) == (subject, scene.id):
                    armed.pop((template, signal), None)
    return armed


def _stops(trigger: Trigger, threshold: int, report: SignalReported | None, at: datetime) -> bool:
    if report is None:
        return True
    since = report.at.replace(second=0)
    if not since <= at < since + trigger.fresh:
        return True
    match trigger.template:
        case Template.METRIC_BELOW:
            return report.value < threshold
        case Template.COUNT_OVER | Template.STALE_OVER:
            return report.value > threshold
        case Template.INCIDENT_OPEN:
            return report.value != 0


def answer(
    history: Sequence[Event],
    scenes: Mapping[str, Scene],
    service: str,
    scene: str,
    subject: str,
    fields: Sequence[str],
    at: datetime,
    *,
    released: bool,
    offered: Collection[str] | None = None,
) -> dict[str, str]:
    """The view of each field; empty when the request is refused (G5).

    `offered`: the fields that the organisation's policy lets the service have; None: all of them.
    """
    contract = scenes.get(scene)
    if contract is None or not contract.admits(service) or not fields:
        return {}
    if any(field not in contract.fields for field in fields):
        return {}
    if offered is not None and any(field not in offered for field in fields):
        return {}
    held = grants(history, subject, contract)
    stopped = frozen(history, subject, contract, at)
    live = set() if stopped else {field for field, end in held.items() if at < end}
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
