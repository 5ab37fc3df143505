"""Alerts of the gate: an unusually large read, or a policy mismatch.

An alert names a service, a scene and a number; never a customer or a value. `GateOptions.alarm`
says where alerts go; by default they are logged.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_LOG = logging.getLogger("gate")


class AlertKind(StrEnum):
    MASS_EXPORT = "mass-export"  # one answer, or many single reads, cover many customers
    POLICY_MISMATCH = "policy-mismatch"  # compiled and full policy disagree: scene suspended


@dataclass(frozen=True, slots=True)
class GateAlert:
    kind: AlertKind
    service: str
    scene: str
    at: datetime
    customers: int  # number of customers concerned
    detail: str


Alarm = Callable[[GateAlert], None]


def log(alert: GateAlert) -> None:
    """The default alarm: write the alert to the log."""
    _LOG.warning(
        "%s: service %s in scene %s: %s", alert.kind, alert.service, alert.scene, alert.detail
    )
