"""Synthetic releases under a ledgered budget: debit, fit, publish, serve. In this order.

A release is fitted only on customers who grant every synthesised field of the scene, and whom it
does not take past their own cap. The debit is a public entry of the consent log before any noise is
drawn. A process that dies in between has spent its budget, and the last release stays in force; the
next fit of the scene goes on with what was measured, kept in home/fits/.
"""

import logging
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

from gate.contracts.scene import Fallback, Scene
from gate.policy.compiled import compile_plan
from ledger.events.envelope import BudgetReserved, SyntheticReleased
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from portal.operations import exposures
from portal.operations.replay_grounds import grounds
from portal.operations.wiring import Product, releases
from synthetic.fitting import budget_split, checkpoint
from synthetic.fitting.checkpoint import Partial, PartialError
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.model.graphical_model import GRAPHICAL
from synthetic.privacy import accounting, budget_ledger
from synthetic.privacy.budget import Account, PrivacyLoss
from synthetic.privacy.budget_ledger import UsedReservationError

EPSILON = Fraction(1)  # of one release
DELTA = Fraction(1, 10**6)
RHO_A_YEAR = Fraction(1, 8)  # of one scene: (2.42, 1e-6) at the end, by PrivacyLoss.epsilon
CAP = PrivacyLoss(Fraction(1, 4))  # of one customer, over all scenes: (3.55, 1e-6) a year
LEAST_ADMITTED = Fraction(1, 2)  # of those who consent: a release of fewer would serve nobody

_reserving = Lock()  # between looking at what is spent and recording the debit
_serving = Lock()  # the gate has a scene's releases in the order in which the log has them
_LOG = logging.getLogger("sovereign")


class TooFewAdmittedError(Exception):
    """Most customers who consent would pass their cap: the last release stays in force."""


@dataclass(frozen=True, slots=True)
class Population:
    """Who a release is fitted on, and the state of the consent log that says so. `root`: hex."""

    subjects: list[str]
    ledger_size: int
    ledger_root: str


def release(product: Product, scene: Scene, at: datetime, like: Release | None = None) -> None:
    """Fit a release, or go on with an interrupted one; record it, serve it.

    `like`: measure what this earlier release measured. Raises BudgetExceededError, and then nothing
    changed; TooFewAdmittedError; PartialError while another process fits, or if what was kept can
    not be gone on with: then it is dropped, and its budget stays spent.
    """
    with checkpoint.held(unfinished(product.home, scene.id)) as kept:
        try:
            fitted = _fitted(product, scene, at, like, kept)
        except UsedReservationError:
            return  # killed between recording the release and forgetting the fit: it is served
        except PartialError:
            kept.drop()
            raise
        with _serving:
            product.ledger.announce([SyntheticReleased(fitted.id, scene.id, fitted.body(), at)])
            # Crash here: the release is recorded, and its reservation makes no second one.
            kept.drop()
            known = releases(product.ledger.announced(), {scene.id: scene})
            product.gate.serve(scene.id, *known[scene.id])


def unfinished(home: Path, scene: str) -> Path:
    """Where an interrupted fit of the scene waits."""
    return home / "fits" / f"{scene}.json"


def population(
    product: Product, scene: Scene, at: datetime, going_on: str | None = None
) -> Population:
    """Who consents now and stays within their cap. `going_on`: the debit of the fit itself, if it
    was interrupted. Raises TooFewAdmittedError."""
    consenting = _consenting(product, scene, at)
    admitted = _admitted(product, consenting.subjects, at, going_on)
    left_out = len(consenting.subjects) - len(admitted)
    if left_out:
        _LOG.info("%s: %d customers are left out, for their own cap", scene.id, left_out)
    if len(admitted) < LEAST_ADMITTED * len(consenting.subjects):
        raise TooFewAdmittedError(
            f"{scene.id}: a release would take most of those who consent past their own cap of rho "
            f"{CAP.rho} a year; the last release stays in force until the next"
        )
    return Population(admitted, consenting.ledger_size, consenting.ledger_root)


def _fitted(
    product: Product, scene: Scene, at: datetime, like: Release | None, kept: Partial
) -> Release:
    columns = list(scene.domain.columns)
    people = population(product, scene, at, kept.reservation().id if kept.exists else None)
    return fit(
        product.gate.source.rows(people.subjects, columns),
        scene=scene.id,
        domain=scene.domain,
        workload=[*scene.workload, *((trend,) for trend in scene.trends)],
        targets=scene.predicts,
        loss=(EPSILON, DELTA),
        at=at,
        ledger_size=people.ledger_size,
        ledger_root=people.ledger_root,
        period=period(at),
        contract=f"{scene.id} {scene.version} {scene.digest}",
        reserve=lambda body: reserve(product.ledger, scene.id, body, at),
        like=like,
        partial=kept,
    )


def _consenting(product: Product, scene: Scene, at: datetime) -> Population:
    """All who grant every synthesised field, and the very state of the log that says so."""
    gate, plan = product.gate, compile_plan("", scene, offered=(), release=None)
    with gate.lock:
        state, point = gate.current(0)
        members = gate.members(plan, plan.mask(tuple(scene.domain.columns)) or 0, at)
        return Population(state.subjects.of(members), point.size, b64decode(point.root).hex())


def _admitted(
    product: Product, subjects: list[str], at: datetime, going_on: str | None
) -> list[str]:
    """Without those whom one more release would take past their cap."""
    loss = accounting.loss_within(EPSILON, DELTA)
    found = exposures.fits(product.ledger.announced(), period(at))
    found = [each for each in found if each.reservation != going_on]
    if exposures.most(found) + loss <= CAP:
        return subjects  # whoever was in every one of them stays below
    versions = grounds(product.home, (), _LOG.warning).versions()
    return exposures.exposure(product.ledger, versions, found).admitted(subjects, loss, CAP)


def kept_marginals(last: Release | None, scene: Scene) -> Release | None:
    """The last release, if its marginals may be measured again for the scene as it is now."""
    workload = [*scene.workload, *((trend,) for trend in scene.trends)]
    if last is None or last.mechanism != GRAPHICAL or last.domain != scene.domain:
        return None
    measured = [each.clique for each in last.measurements]
    declared = {*map(frozenset, workload)} == {*map(frozenset, last.workload)}
    foretold = not budget_split.with_target(scene.domain, scene.predicts, measured)
    return last if declared and foretold else None


def reserve(ledger: Ledger, scene: str, body: Mapping[str, Any], at: datetime) -> Account:
    """Record a debit durably, unless it stands there already; the account right after it.

    Raises BudgetExceededError and UsedReservationError.
    """
    with _reserving:
        admission = budget_ledger.admit(bodies(ledger.announced()), body, limits({scene}))
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


def bodies(announced: Iterable[RecordedEvent]) -> Iterator[Mapping[str, Any]]:
    """The records of the budget ledger, in log order."""
    for entry in announced:
        if isinstance(entry.event, (BudgetReserved, SyntheticReleased)):
            yield entry.event.body


def limits(scenes: Iterable[str]) -> dict[str, PrivacyLoss]:
    """What each scene may spend in one period."""
    return dict.fromkeys(scenes, PrivacyLoss(RHO_A_YEAR))
