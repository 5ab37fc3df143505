"""Looks up the name that a customer is greeted with. Signing in does not depend on it.

A customer may withdraw, export and leave while the company's table has no name for them, has lost
their row, or cannot be read at all. Section 1 of specs/portal.md.
"""

import logging
from dataclasses import dataclass

from gate.decision.decide import Reason, View
from gate.reads.point import ReadRequest
from portal.web.pages import PortalContext

SCENE = "contract-service"
SERVICE = "sovereignty-centre"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Greeting:
    """`name`: None if there is none, or it could not be read. `absent`: the source was read, and
    has no row of this customer."""

    name: str | None
    absent: bool


def look_up(here: PortalContext, customer: str) -> Greeting:
    """Read the name through the gate. Never fails: what could not be read is no name."""
    if not customer:
        return Greeting(None, absent=True)
    request = ReadRequest(SERVICE, SCENE, customer, ("name",), here.clock())
    try:
        answer = here.product.gate.read(request)
    except Exception as error:  # noqa: BLE001 - whatever fails there, the customer must get in
        log.warning("a customer is greeted without a name: %s", type(error).__name__)
        return Greeting(None, absent=False)
    name = answer.values.get("name")
    looked = answer.decision.reason is not Reason.SOURCE_UNAVAILABLE
    return Greeting(
        name if isinstance(name, str) and name.strip() else None,
        absent=looked and answer.views.get("name") is View.WITHHELD,
    )


def is_customer(here: PortalContext, customer: str, greeting: Greeting) -> bool:
    """Whether this may be a customer: False only if neither the source nor the ledger has the
    number."""
    ledger = here.product.ledger
    return not greeting.absent or ledger.read_log_tags(customer, ledger.origin) is not None
