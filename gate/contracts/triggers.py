"""Triggers: conditions on signals under which a customer's grant is frozen.

A trigger has a template, a signal and the customer's threshold:

    metric_below   frozen while the signal is below the threshold: 92.0 % passes, 91.99 % freezes
    count_over     frozen while the signal is above the threshold
    stale_over     the same, for signals that report an age
    incident_open  frozen while the signal is not zero, whatever the threshold

Numbers are integers in ten-thousandths. A signal is valid only from the source that the contract
names. A missing or stale signal, or one dated in the future, freezes every trigger that watches it.
One report updates all customers' triggers in one vector comparison, without events per customer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Thresholds = npt.NDArray[np.int64]

MAX_TRIGGERS = 40  # per scene: what the consent bits have room for


class Template(StrEnum):
    METRIC_BELOW = "metric_below"
    COUNT_OVER = "count_over"
    STALE_OVER = "stale_over"
    INCIDENT_OPEN = "incident_open"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that a scene's contract offers to customers; its slot is its position."""

    template: Template
    signal: str
    source: str  # the only service whose reports are valid
    fresh: timedelta  # how long a report is valid
    threshold: int  # the default that the portal proposes, in ten-thousandths
    title: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReportedSignal:
    """The last report of a signal."""

    value: int
    minute: int


def slot(triggers: Sequence[Trigger], template: str, signal: str) -> int | None:
    """The slot of a contract's trigger, or None if the contract does not offer it."""
    for position, trigger in enumerate(triggers):
        if (trigger.template, trigger.signal) == (template, signal):
            return position
    return None


def crossed(template: Template, value: int, thresholds: Thresholds) -> npt.NDArray[np.bool_]:
    """By customer, whether the value crosses the threshold."""
    match template:
        case Template.METRIC_BELOW:
            return np.asarray(value < thresholds)
        case Template.COUNT_OVER | Template.STALE_OVER:
            return np.asarray(value > thresholds)
        case Template.INCIDENT_OPEN:
            return np.full(thresholds.shape, value != 0)


def counts(trigger: Trigger, report: ReportedSignal | None, minute: int) -> bool:
    """Whether the report is valid at `minute`; False without one."""
    if report is None:
        return False
    return report.minute <= minute < report.minute + int(trigger.fresh.total_seconds() // 60)
