"""A consent ledger with some instructions of customers."""

from pathlib import Path

from ledger.events.envelope import Granted, Wording
from ledger.service import Ledger
from tests.ledger.witnessing import NOON, ORIGIN

WORDING = Wording("en", bytes(32))
GRANTED = Granted("segmentation", ("age", "job"), None)


def ledger_with(home: Path, customers: int) -> Ledger:
    """Every customer has granted one scene."""
    ledger = Ledger.open(home, origin=ORIGIN)
    for number in range(customers):
        said = ledger.draft(f"c-{number:05}", GRANTED, at=NOON, wording=WORDING)
        ledger.record([said])
    return ledger
