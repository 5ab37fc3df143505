"""Conditions that a customer sets: "freeze this model while its accuracy is below [92] %". Pure.

The scene's contract lists the conditions; the customer enters the figure. A rate is entered in per
cent, a count as a number; the ledger stores both in ten-thousandths.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from gate.contracts.odcs import Text
from gate.contracts.scene import Scene
from gate.contracts.triggers import ReportedSignal, Template, Trigger, counts, crossed
from gate.state.consent_bits import EPOCH
from ledger.events.envelope import TriggerCleared, TriggerSet
from ledger.events.reducer import ConsentState
from portal.web.problems import MalformedFormError

PER_CENT, ONE = 100, 10_000  # ten-thousandths in one per cent, and in one
FIGURE = re.compile(r"[0-9]{1,7}(?:[.,][0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ConditionView:
    """One condition as the page shows it."""

    place: int  # in the contract
    title: Text
    asks: bool  # whether there is a figure to complete
    per_cent: bool
    armed: bool
    standing: str  # message key
    figure: str  # the customer's, or the one the contract proposes
    reported: float | None  # the last report, in the same unit
    reported_at: datetime | None
    template: str  # with the next three: the page's script compares a draft with them
    signal: str
    unit: int
    threshold: int  # the contract's


def conditions(
    scene: Scene, state: ConsentState | None, reports: Mapping[int, ReportedSignal]
) -> tuple[ConditionView, ...]:
    """The conditions the scene offers. `reports`: the last report of each signal, by place."""
    return tuple(
        _condition(place, trigger, threshold(trigger, scene, state), reports.get(place))
        for place, trigger in enumerate(scene.triggers)
    )


def threshold(trigger: Trigger, scene: Scene, state: ConsentState | None) -> int | None:
    """The customer's threshold in ten-thousandths; None if the condition is not set."""
    triggers = state.triggers.get(scene.id, ()) if state else ()
    wanted = (trigger.template, trigger.signal)
    return next((t.threshold for t in triggers if (t.template, t.signal) == wanted), None)


def armed(scene: Scene, state: ConsentState | None) -> bool:
    return any(threshold(trigger, scene, state) is not None for trigger in scene.triggers)


def why_frozen(
    scene: Scene, state: ConsentState | None, reports: Mapping[int, ReportedSignal], minute: int
) -> str:
    """The message key that says why the gate freezes the scene. `reports`: see `conditions`."""
    waits = False
    for place, trigger in enumerate(scene.triggers):
        report, figure = reports.get(place), threshold(trigger, scene, state)
        if figure is None:
            continue
        if report is None:
            waits = True
        elif counts(trigger, report, minute) and _crossed(trigger, report, figure):
            return "card.frozen"
    return "card.frozen-waits" if waits else "card.frozen-stale"


def decide(
    scene: Scene, trigger: Trigger, figure: str | None, state: ConsentState | None
) -> TriggerSet | TriggerCleared | None:
    """The act that sets the condition to `figure` (None: clears it); None if nothing would change.

    Raises MalformedFormError.
    """
    now = threshold(trigger, scene, state)
    if figure is None:
        act = TriggerCleared(scene.id, trigger.template, trigger.signal)
        return None if now is None else act
    wanted = read_figure(trigger, figure)
    if wanted == now:
        return None
    return TriggerSet(scene.id, trigger.template, trigger.signal, wanted)


def read_figure(trigger: Trigger, text: str) -> int:
    """The figure of a form in ten-thousandths. Raises MalformedFormError."""
    if not _asks(trigger):
        return trigger.threshold
    if not FIGURE.fullmatch(text.strip()):
        raise MalformedFormError(f"figure is {text[:20]!r}, want a number such as 92 or 92.5")
    whole, _, part = text.strip().replace(",", ".").partition(".")
    hundredths = int(whole) * 100 + int(part.ljust(2, "0") or "0")
    figure = hundredths * _unit(trigger) // 100
    if trigger.template is Template.METRIC_BELOW and figure > ONE:
        raise MalformedFormError(f"figure is {text[:20]!r}, want at most 100 per cent")
    return figure


def _condition(
    place: int, trigger: Trigger, threshold: int | None, report: ReportedSignal | None
) -> ConditionView:
    shown = trigger.threshold if threshold is None else threshold
    return ConditionView(
        place=place,
        title=trigger.title,
        asks=_asks(trigger),
        per_cent=_unit(trigger) == PER_CENT,
        armed=threshold is not None,
        standing=_standing(armed=threshold is not None, reported=report is not None),
        figure=f"{shown / _unit(trigger):g}",
        reported=report.value / _unit(trigger) if report else None,
        reported_at=EPOCH + timedelta(minutes=report.minute) if report else None,
        template=trigger.template,
        signal=trigger.signal,
        unit=_unit(trigger),
        threshold=trigger.threshold,
    )


def _crossed(trigger: Trigger, report: ReportedSignal, figure: int) -> bool:
    return bool(crossed(trigger.template, report.value, np.array([figure], dtype=np.int64))[0])


def _standing(*, armed: bool, reported: bool) -> str:
    if armed:
        return "condition.armed" if reported else "condition.waits"
    return "condition.not-armed" if reported else "condition.would-wait"


def _asks(trigger: Trigger) -> bool:
    return trigger.template is not Template.INCIDENT_OPEN


def _unit(trigger: Trigger) -> int:
    return PER_CENT if trigger.template is Template.METRIC_BELOW else ONE
