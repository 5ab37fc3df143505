"""What the gate tells the people behind it at once: something is being read, or decided, wrongly.

An alert names a service, a scene and a figure; never a customer, never a value. Whoever puts the
gate together says where alerts go (`Gate.alarm`); they are logged in any case.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_LOG = logging.getLogger("gate")


class AlertKind(StrEnum):
    MASS_EXPORT = "mass-export"  # one answer, or many points, about a large share of all customers
    POLICY_MISMATCH = "policy-mismatch"  # compiled and full policy disagreed: the scene is stopped


@dataclass(frozen=True, slots=True)
class GateAlert:
    kind: AlertKind
    service: str
    scene: str
    at: datetime
    customers: int  # how many the alert is about
    detail: str


Alarm = Callable[[GateAlert], None]


def log(alert: GateAlert) -> None:
    """The alarm of a gate that nobody connected to anything else."""
    _LOG.warning(
        "%s: service %s in scene %s: %s", alert.kind, alert.service, alert.scene, alert.detail
    )
