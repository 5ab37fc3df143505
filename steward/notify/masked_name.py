"""Names that a notice may carry: the first character and three stars."""

from collections.abc import Callable
from datetime import datetime

from gate.reads.point import Gate, ReadRequest
from gate.sdk.client import GateClient, GateRefusedError, GateUnavailableError

SCENE, SERVICE = "contract-service", "customer-care"  # as whom a name is read
NOBODY = "***"

Naming = Callable[[str, datetime], str]  # subject, now -> masked name


def masked(name: str | None) -> str:
    """`Zhang Wei` is `Z***`, `张伟` is `张***`; without a name there are only the stars."""
    return f"{(name or '').strip()[:1]}{NOBODY}"


def unnamed(_subject: str, _at: datetime) -> str:
    """For those who may not read names: everybody is three stars."""
    return NOBODY


def through(gate: Gate, service: str = SERVICE) -> Naming:
    """Names as a service of the contract may read them: through the gate, journalled like any."""

    def name(subject: str, at: datetime) -> str:
        answer = gate.read(ReadRequest(service, SCENE, subject, ("name",), at))
        found = answer.values.get("name")
        return masked(found if isinstance(found, str) else None)

    return name


def over(client: GateClient) -> Naming:
    """The same from another process. A gate that does not answer leaves the stars alone."""

    def name(subject: str, _at: datetime) -> str:
        try:
            found = client.read(SCENE, subject, ["name"]).values.get("name")
        except (GateRefusedError, GateUnavailableError):
            return NOBODY
        return masked(found if isinstance(found, str) else None)

    return name
