"""The budget ledger: a debit precedes its noise, and no debit passes the limit."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from threading import Thread

import pytest

from ledger.events.envelope import SyntheticReleased
from ledger.service import Ledger
from portal.configuration.privacy_limits import SCENE
from portal.operations import release_service
from portal.operations.wiring import Product, open_product
from synthetic.privacy import budget_ledger
from synthetic.privacy.budget import BudgetExceededError, PrivacyLoss
from synthetic.privacy.budget_ledger import Reservation
from tests.portal.conftest import START

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HALF = PrivacyLoss(SCENE.rho / 2)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path, origin="test.example/consent")


def body(nonce: str, loss: PrivacyLoss = HALF, period: str = "2026") -> dict[str, object]:
    return Reservation("segmentation", period, loss, NOON, 0, nonce).body()


def test_a_debit_stands_in_the_public_log(ledger: Ledger) -> None:
    release_service.reserve(ledger, "segmentation", body("01"), NOON)
    (recorded,) = ledger.announced()
    assert list(release_service.bodies([recorded])) == [body("01")]


def test_a_debit_past_the_limit_is_refused_and_not_recorded(ledger: Ledger) -> None:
    for nonce in ("01", "02"):
        release_service.reserve(ledger, "segmentation", body(nonce), NOON)
    with pytest.raises(BudgetExceededError, match="keep serving the last release"):
        release_service.reserve(
            ledger, "segmentation", body("03", PrivacyLoss(Fraction(1, 10**9))), NOON
        )
    assert ledger.size == 2
    release_service.reserve(ledger, "segmentation", body("04", period="2027"), NOON)


def test_concurrent_debits_never_overspend(ledger: Ledger) -> None:
    refused: list[BudgetExceededError] = []

    def debit(nonce: str) -> None:
        try:
            release_service.reserve(ledger, "segmentation", body(nonce), NOON)
        except BudgetExceededError as error:
            refused.append(error)

    threads = [Thread(target=debit, args=(f"{n:02d}",)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    spent = budget_ledger.verify(
        release_service.bodies(ledger.announced()), release_service.limits({"segmentation"})
    )
    assert len(refused) == 6
    assert spent.findings == []
    assert spent.accounts["segmentation", "2026"].left == PrivacyLoss(Fraction(0))


def test_g115_a_product_started_again_keeps_every_release_and_finds_the_same_anchor(
    product: Product,
) -> None:
    scene = product.scenes["segmentation"]
    for days in range(2):
        release_service.release(product, scene, START + timedelta(days=days))
    served = product.gate.served(scene.id)
    assert served.anchor is not None
    assert [each.id for each in served.releases] == [
        each.event.release
        for each in product.ledger.announced()
        if isinstance(each.event, SyntheticReleased)
    ]
    product.ledger.close()
    again = open_product(product.settings).gate.served(scene.id)
    assert [each.id for each in again.releases] == [each.id for each in served.releases]
    assert again.anchor is not None
    assert again.anchor.id == served.anchor.id
