"""Synthetic releases under a ledgered budget: debit, fit, publish, serve. In this order.

A release is fitted only on customers who grant every synthesised field of the scene. The debit is
a public entry of the consent log before any noise is drawn: a process that dies in between has
spent its budget, and the last release stays in force.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from fractions import Fraction
from threading import Lock
from typing import Any

from gate.contract import Fallback, Scene
from ledger.event import BudgetReserved, SyntheticReleased
from ledger.ledger import Ledger
from ledger.reader import Recorded
from portal.product import Product, releases
from synthetic import spending
from synthetic.budget import PrivacyLoss
from synthetic.fit import fit

EPSILON = Fraction(1)  # of one release
DELTA = Fraction(1, 10**6)
RHO_A_YEAR = Fraction(1, 8)  # of one scene: (2.42, 1e-6) at the end, by PrivacyLoss.epsilon

_reserving = Lock()  # between looking at what is spent and recording the debit
_serving = Lock()  # the gate has a scene's releases in the order in which the log has them


def release(product: Product, scene: Scene, at: datetime) -> None:
    """Fit a release, record it, serve it. Raises BudgetExceededError: then nothing changed."""
    columns = list(scene.domain.columns)
    consenting = product.gate.consenting(scene.id, columns, at)
    fitted = fit(
        product.gate.source.rows(consenting, columns),
        scene=scene.id,
        domain=scene.domain,
        workload=[*scene.workload, *((trend,) for trend in scene.trends)],
        loss=(EPSILON, DELTA),
        at=at,
        ledger_size=product.ledger.size,
        contract=f"{scene.id} {scene.version} {scene.digest}",
        reserve=lambda body: reserve(product.ledger, scene.id, body, at),
    )
    with _serving:
        product.ledger.announce([SyntheticReleased(fitted.id, scene.id, fitted.body(), at)])
        known = releases(product.ledger.announced(), {scene.id: scene})
        product.gate.serve(scene.id, *known[scene.id])


def reserve(ledger: Ledger, scene: str, body: Mapping[str, Any], at: datetime) -> None:
    """Record a debit, durably, or raise BudgetExceededError."""
    with _reserving:
        spending.admit(bodies(ledger.announced()), body, limits({scene}))
        ledger.announce([BudgetReserved(scene, body, at)])


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
