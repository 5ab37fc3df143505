"""Masks customers' names for notices: the first character and three stars."""

from collections.abc import Callable
from datetime import datetime

from gate.reads.point import Gate, ReadRequest
from gate.sdk.client import GateClient, GateRefusedError, GateUnavailableError

SCENE, SERVICE = "contract-service", "customer-care"  # scene and service in which names are read
NOBODY = "***"

Naming = Callable[[str, datetime], str]  # subject, now -> masked name


def masked(name: str | None) -> str:
    """Mask a name: `Zhang Wei` becomes `Z***`, `张伟` becomes `张***`, None becomes `***`."""
    return f"{(name or '').strip()[:1]}{NOBODY}"


def unnamed(_subject: str, _at: datetime) -> str:
    """A `Naming` without access to names: every customer is `***`."""
    return NOBODY


def through(gate: Gate, service: str = SERVICE) -> Naming:
    """A `Naming` that reads names through the gate as `service`, logged like any read."""

    def name(subject: str, at: datetime) -> str:
        answer = gate.read(ReadRequest(service, SCENE, subject, ("name",), at))
        value = answer.values.get("name")
        return masked(value if isinstance(value, str) else None)

    return name


def over(client: GateClient) -> Naming:
    """A `Naming` over HTTP; if the gate does not answer, names are `***`."""

    def name(subject: str, _at: datetime) -> str:
        try:
            value = client.read(SCENE, subject, ["name"]).values.get("name")
        except (GateRefusedError, GateUnavailableError):
            return NOBODY
        return masked(value if isinstance(value, str) else None)

    return name
