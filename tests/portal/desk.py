"""A bank with something on every page of the desk."""

from ledger.events.envelope import Granted, Withdrawn
from portal.consent import wording
from portal.desk.office import Office
from portal.jobs.cases import flow_of
from portal.operations.wiring import Product
from portal.web import i18n
from steward.oversight.review import Proposal
from tests.portal.conftest import Clock

ME = "c00007"
TEXT = "We will refund the fee <b>today</b>."


def furnish(product: Product, clock: Clock) -> Office:
    """One case (c00007 leaves nearest-branch), one proposal, four runs of checks that miss."""
    office = Office(product)
    say(product, clock, Withdrawn("nearest-branch"))
    flow = flow_of(product)
    flow.run(clock())
    flow.close()
    office.reviews.propose(Proposal("care-desk", ME, TEXT), clock())
    for _ in range(4):  # the bank of the tests records no deliveries: what they promise is missed
        office.check(clock())
        clock.advance(hours=1)
    return office


def say(product: Product, clock: Clock, act: Withdrawn | Granted) -> None:
    shown = wording.wording(product.scenes[act.scene], i18n.load()["en"])
    product.ledger.record([product.ledger.draft(ME, act, at=clock(), wording=shown)])
