"""Masks customers' names for notices: the first character and three stars."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from gate.contracts.company import ItemUse
from gate.reads.point import Gate
from gate.reads.request import ReadRequest

if TYPE_CHECKING:
    from sovereign_client import Client

NOBODY = "***"

Naming = Callable[[str, datetime], str]  # subject, now -> masked name


def masked(name: str | None) -> str:
    """Mask a name: `Zhang Wei` becomes `Z***`, `张伟` becomes `张***`, None becomes `***`."""
    return f"{(name or '').strip()[:1]}{NOBODY}"


def unnamed(_subject: str, _at: datetime) -> str:
    """A `Naming` without access to names: every customer is `***`."""
    return NOBODY


def through(gate: Gate, use: ItemUse | None) -> Naming:
    """A `Naming` that reads names through the gate, logged like any read."""
    if use is None:
        return unnamed

    def name(subject: str, at: datetime) -> str:
        answer = gate.read(ReadRequest(use.service, use.scene, subject, (use.item,), at))
        value = answer.values.get(use.item)
        return masked(value if isinstance(value, str) else None)

    return name


def over(client: "Client", use: ItemUse | None) -> Naming:
    """A `Naming` over HTTP; if the gate does not answer, names are `***`."""
    from sovereign_client import GateError, Personal

    if use is None:
        return unnamed

    def name(subject: str, _at: datetime) -> str:
        try:
            value = client.read(use.scene, subject, [use.item])[use.item]
        except GateError:
            return NOBODY
        text = value.value if isinstance(value, Personal) else None
        return masked(text if isinstance(text, str) else None)

    return name
