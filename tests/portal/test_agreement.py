"""What a session has opened is never older than the ledger."""

from datetime import timedelta

import pytest

from ledger.events.envelope import Granted, Withdrawn
from ledger.reader import RecordedEvent
from portal.auth.session_history import Agreement
from portal.consent import wording
from portal.operations.wiring import Product
from portal.web import i18n
from tests.portal.conftest import START

ME = "c00007"


def say(product: Product, act: Granted | Withdrawn) -> RecordedEvent:
    said = wording.wording(product.scenes[act.scene], i18n.load()["en"])
    version = product.ledger.version(ME)
    at = START + timedelta(seconds=version)
    draft = product.ledger.draft(ME, act, at=at, wording=said)
    (recorded,) = product.ledger.record([draft])
    return recorded


ACTS: list[Granted | Withdrawn] = [
    Granted("segmentation", ("age", "job"), None),
    Withdrawn("segmentation", ("age",)),
    Withdrawn("nearest-branch"),
]


@pytest.mark.parametrize("told", [True, False], ids=["told of each", "found out"])
def test_the_agreement_equals_the_ledger_after_every_act(product: Product, told: bool) -> None:
    agreement = Agreement(ME)
    for act in ACTS:
        recorded = say(product, act)
        if told:
            agreement.add(recorded)
        assert agreement.state(product.ledger) == product.ledger.state(ME)
        assert agreement.history(product.ledger) == product.ledger.history(ME)


def test_an_entry_out_of_turn_is_not_taken(product: Product) -> None:
    agreement = Agreement(ME)
    agreement.state(product.ledger)
    say(product, ACTS[0])
    agreement.add(say(product, ACTS[2]))  # the one before was never seen
    assert agreement.state(product.ledger) == product.ledger.state(ME)


def test_after_erasure_nothing_is_left(product: Product) -> None:
    agreement = Agreement(ME)
    assert agreement.history(product.ledger)
    product.ledger.erase(ME, START)
    assert agreement.history(product.ledger) == []
    assert agreement.state(product.ledger) is None


def test_who_never_spoke_has_no_state(product: Product) -> None:
    assert Agreement("c00060").state(product.ledger) is None
