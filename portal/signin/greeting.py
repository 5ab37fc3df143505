"""Looks up the name that a customer is greeted with. Signing in does not depend on it.

A customer may withdraw, export and leave while the company's table has no name for them, has lost
their row, or cannot be read at all. Section 1 of specs/portal.md.
"""

import logging
from dataclasses import dataclass

from gate.decision.decide import Reason, View
from gate.reads.request import ReadRequest
from gate.reads.sources.interface import SourceUnavailableError
from portal.web.pages import PortalContext

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Greeting:
    """`name`: None if there is none, or it could not be read. `absent`: the source was read, and
    has no row of this customer."""

    name: str | None
    absent: bool


def look_up(here: PortalContext, customer: str) -> Greeting:
    """Read the name through the gate, if the company has a role for it. Never fails: what could
    not be read is no name."""
    if not customer:
        return Greeting(None, absent=True)
    if (use := here.product.company.roles.greeting) is None:
        return Greeting(None, absent=False)
    request = ReadRequest(use.service, use.scene, customer, (use.item,), here.clock())
    try:
        answer = here.product.gate.read(request)
    except Exception as error:  # noqa: BLE001 - whatever fails there, the customer must get in
        log.warning("a customer is greeted without a name: %s", type(error).__name__)
        return Greeting(None, absent=False)
    name = answer.values.get(use.item)
    looked = answer.decision.reason is not Reason.SOURCE_UNAVAILABLE
    return Greeting(
        name if isinstance(name, str) and name.strip() else None,
        absent=looked and answer.views.get(use.item) is View.WITHHELD,
    )


def is_customer(here: PortalContext, customer: str, greeting: Greeting) -> bool:
    """Whether this may be a customer: False only if neither the source nor the ledger has the
    number."""
    ledger = here.product.ledger
    return not greeting.absent or ledger.read_log_tags(customer, ledger.origin) is not None


def is_known(here: PortalContext, customer: str, greeting: Greeting) -> bool:
    """The same for a trial, also of a company that greets nobody by name: then the source is asked
    whether it has the number. If it cannot be read, the customer gets in.
    """
    if not is_customer(here, customer, greeting):
        return False
    ledger, source = here.product.ledger, here.product.gate.source
    if (
        here.product.company.roles.greeting is not None
        or ledger.read_log_tags(customer, ledger.origin) is not None
    ):
        return True
    try:
        return source.row(customer, [source.key]) is not None
    except SourceUnavailableError as error:
        log.warning("a trial sign-in did not look into the source: %s", type(error).__name__)
        return True
