"""Synthetic releases under a ledgered budget: debit, fit, publish, serve. In this order.

A release is fitted only on customers who grant every synthesised field of the scene. The debit is
a public entry of the consent log before any noise is drawn: a process that dies in between has
spent its budget, and the last release stays in force.
"""

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from threading import Lock
from typing import Any

from gate.contract import Fallback, Scene
from ledger.event import BudgetReserved, SyntheticReleased
from ledger.ledger import Ledger
from ledger.reader import Recorded
from portal.product import Product
from synthetic import spending
from synthetic.budget import Account, PrivacyLoss
from synthetic.fit import fit

EPSILON = Fraction(1)  # of one release
DELTA = Fraction(1, 10**6)
RHO_A_YEAR = Fraction(1, 8)  # of one scene: (2.42, 1e-6) at the end, by PrivacyLoss.epsilon

_reserving = Lock()  # between looking at what is spent and recording the debit


def release(product: Product, scene: Scene, at: datetime) -> None:
    """Fit a release, record it, serve it. Raises BudgetExceededError: then nothing changed."""
    columns = list(scene.domain.columns)
    size, root = product.ledger.root()
    consenting = product.gate.consenting(scene.id, columns, at)
    fitted = fit(
        product.gate.source.rows(consenting, columns),
        scene=scene.id,
        domain=scene.domain,
        workload=[*scene.workload, *((trend,) for trend in scene.trends)],
        loss=(EPSILON, DELTA),
        at=at,
        ledger_size=size,
        ledger_root=b64decode(root).hex(),
        period=period(at),
        contract=f"{scene.id} {scene.version} {scene.digest}",
        reserve=lambda body: reserve(product.ledger, scene.id, body, at),
    )
    product.ledger.announce([SyntheticReleased(fitted.id, scene.id, fitted.body(), at)])
    product.gate.serve(scene.id, fitted)


def reserve(ledger: Ledger, scene: str, body: Mapping[str, Any], at: datetime) -> Account:
    """Record a debit durably, unless it stands there already; the account right after it.

    Raises BudgetExceededError and UsedReservationError.
    """
    with _reserving:
        admission = spending.admit(bodies(ledger.announced()), body, limits({scene}))
        if not admission.recorded:
            ledger.announce([BudgetReserved(scene, body, at)])
        return admission.account


def period(at: datetime) -> str:
    """Budgets are by calendar year, in UTC."""
    return str(at.astimezone(UTC).year)


def unreleased(product: Product) -> list[Scene]:
    """The scenes that are to be answered synthetically and have nothing to answer with."""
    return [
        scene
        for scene in product.scenes.values()
        if scene.fallback is Fallback.SYNTHETIC and product.gate.release(scene.id) is None
    ]


def bodies(announced: Iterable[Recorded]) -> Iterator[Mapping[str, Any]]:
    """The records of the budget ledger, in log order."""
    for entry in announced:
        if isinstance(entry.event, (BudgetReserved, SyntheticReleased)):
            yield entry.event.body


def limits(scenes: Iterable[str]) -> dict[str, PrivacyLoss]:
    """What each scene may spend in one period."""
    return dict.fromkeys(scenes, PrivacyLoss(RHO_A_YEAR))
