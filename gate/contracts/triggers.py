"""Metrics that triggers watch. A trigger is data: template, signal, the customer's threshold.

    metric_below   frozen while the signal is below the threshold: 92.0 % passes, 91.99 % freezes
    count_over     frozen while the signal is above the threshold
    stale_over     the same, for signals that report an age
    incident_open  frozen while the signal is not zero, whatever the threshold

Figures are integers in ten-thousandths. A signal counts only from the source that the contract
names; missing, stale or dated in the future it freezes every trigger that watches it. One report
moves all customers' triggers in one vector comparison, without an event per customer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Thresholds = npt.NDArray[np.int64]

MAX_TRIGGERS = 4  # of a scene: they have to fit the consent word


class Template(StrEnum):
    METRIC_BELOW = "metric_below"
    COUNT_OVER = "count_over"
    STALE_OVER = "stale_over"
    INCIDENT_OPEN = "incident_open"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger that a scene's contract offers to its customers; its slot is its position."""

    template: Template
    signal: str
    source: str  # the only service whose reports count
    fresh: timedelta  # for how long a report counts
    threshold: int  # what the portal proposes, in ten-thousandths
    title: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReportedSignal:
    """The last report of a signal."""

    value: int
    minute: int


def slot(triggers: Sequence[Trigger], template: str, signal: str) -> int | None:
    """Which of a contract's triggers this is, or None if the contract does not offer it."""
    for position, trigger in enumerate(triggers):
        if (trigger.template, trigger.signal) == (template, signal):
            return position
    return None


def crossed(template: Template, value: int, thresholds: Thresholds) -> npt.NDArray[np.bool_]:
    """Whose thresholds the value crosses."""
    match template:
        case Template.METRIC_BELOW:
            return np.asarray(value < thresholds)
        case Template.COUNT_OVER | Template.STALE_OVER:
            return np.asarray(value > thresholds)
        case Template.INCIDENT_OPEN:
            return np.full(thresholds.shape, value != 0)


def counts(trigger: Trigger, report: ReportedSignal | None, minute: int) -> bool:
    """Whether there is a report that counts at `minute`."""
    if report is None:
        return False
    return report.minute <= minute < report.minute + int(trigger.fresh.total_seconds() // 60)
