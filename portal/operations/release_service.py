"""Makes synthetic releases under a ledgered budget: debit, fit, publish, serve, in this order.

A release is fitted only on customers who grant every synthesised field of the scene and whose own
privacy cap it does not exceed. One for statistics counts everybody who does not object, or is not
made: leaving out whoever consents most widely would bias it. The debit is recorded in the consent
log before any noise is drawn. If the process dies in between, the budget is spent and the last
release stays active; the next fit of the scene resumes from the measurements in home/fits/.

A release for statistics also measures the periods of its contract's series that have ended and that
no earlier release measured, each once. Events that arrive later are not counted.
"""

import logging
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

from gate.contracts.scene import Population, Scene
from gate.contracts.series import EventSeries
from gate.policy.compiled import compile_plan
from gate.reads.bulk import series, statistics
from ledger.events.envelope import BudgetReserved, SyntheticReleased
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from portal.configuration.budget_plan import BudgetPlan
from portal.configuration.privacy_limits import SCENE
from portal.operations import exposures
from portal.operations.replay_grounds import grounds
from portal.operations.wiring import Product, releases
from synthetic.fitting import budget_split, checkpoint
from synthetic.fitting.budget_split import MeasuredMarginals
from synthetic.fitting.checkpoint import Partial, PartialError
from synthetic.fitting.fit import fit
from synthetic.fitting.release import Release
from synthetic.model.graphical_model import GRAPHICAL
from synthetic.model.series import Period, PeriodCounts
from synthetic.privacy import budget_ledger
from synthetic.privacy.budget import Account, PrivacyLoss, total
from synthetic.privacy.budget_ledger import UsedReservationError
from synthetic.privacy.customer_cap import Exposure

LEAST_ADMITTED = Fraction(1, 2)  # of those who consent: a release of fewer would serve nobody

_reserving = Lock()  # held while the spent budget is checked and the debit recorded
_serving = Lock()  # so that the gate has a scene's releases in log order
_LOG = logging.getLogger("sovereign")


class TooFewAdmittedError(Exception):
    """Too many customers would exceed their cap: the last release stays active."""


@dataclass(frozen=True, slots=True)
class FitPopulation:
    """Customers a release is fitted on, at a size of the consent log. `ledger_root`: hex."""

    subjects: list[str]
    ledger_size: int
    ledger_root: str


def release(product: Product, scene: Scene, at: datetime, like: Release | None = None) -> None:
    """Fit a release, or resume an interrupted fit; record the release and serve it.

    `like`: measure the marginals of this earlier release. Raises BudgetExceededError and
    TooFewAdmittedError, which change nothing, and PartialError while another process fits, or if
    the interrupted fit cannot be resumed: then it is dropped, and its budget stays spent.
    """
    with checkpoint.locked(unfinished(product.home, scene.id)) as partial:
        try:
            fitted = _fitted(product, scene, at, like, partial)
        except UsedReservationError:
            return  # killed after the release was recorded: it is served already
        except PartialError:
            partial.drop()
            raise
        with _serving:
            product.ledger.announce([SyntheticReleased(fitted.id, scene.id, fitted.body(), at)])
            # If we crash here, the release is recorded, and its reservation makes no second one.
            partial.drop()
            known = releases(product.ledger.announced(), {scene.id: scene})
            product.gate.serve(scene.id, *known[scene.id])


def unfinished(home: Path, scene: str) -> Path:
    """The file of the scene's interrupted fit."""
    return home / "fits" / f"{scene}.json"


def population(
    product: Product, scene: Scene, at: datetime, resumed: str | None = None
) -> FitPopulation:
    """The customers who consent now and stay within their cap.

    `resumed`: the debit of the fit itself, if it is resumed. Raises TooFewAdmittedError.
    """
    consenting, limits = _consenting(product, scene, at), product.settings.privacy
    loss = budget_plan(product).loss(scene)
    admitted = _admitted(product, consenting.subjects, loss, at, resumed)
    left_out = len(consenting.subjects) - len(admitted)
    if left_out:
        _LOG.info("%s: %d customers are left out because of their cap", scene.id, left_out)
    if len(admitted) < LEAST_ADMITTED * len(consenting.subjects):
        raise TooFewAdmittedError(
            f"{scene.id}: a release would exceed the cap of most consenting customers (rho "
            f"{limits.year.rho} a year, {limits.total.rho} in all); the last release stays active"
        )
    return FitPopulation(admitted, consenting.ledger_size, consenting.ledger_root)


def _fitted(
    product: Product, scene: Scene, at: datetime, like: Release | None, partial: Partial
) -> Release:
    begun = partial.reservation() if partial.exists else None
    resumed = begun.id if begun else None
    made = product.gate.served(scene.id).releases
    due = due_periods(scene, made, begun.at if begun else at)
    rows, size, root = _counted(product, scene, at, resumed, due)
    key, plan = product.gate.source.key, budget_plan(product)
    return fit(
        rows,
        scene=scene.id,
        domain=scene.domain,
        workload=workload(scene, product.scenes.values()),
        targets=scene.predicts,
        loss=plan.loss(scene),
        delta=plan.limits.delta,
        at=at,
        ledger_size=size,
        ledger_root=root,
        period=period(at),
        contract=f"{scene.id} {scene.version} {scene.digest}",
        reserve=lambda body: reserve(product.ledger, scene.id, body, at, plan.limit(scene)),
        limit=plan.limit(scene),
        marginals=_measured(scene),
        like=like,
        partial=partial,
        series=_events(product, rows, due),
        customer=key,  # one row of each customer is counted, also where the table has several
    )


def _measured(scene: Scene) -> MeasuredMarginals:
    counts = scene.counts_everybody
    return MeasuredMarginals.DECLARED if counts else MeasuredMarginals.ADAPTIVE


def due_periods(
    scene: Scene, made: Iterable[object], at: datetime
) -> list[tuple[EventSeries, Period]]:
    """The periods of its series that the next release measures, oldest first.

    `made`: the scene's releases so far.

    In a calendar year at most as many of a series as its contract's plan has.
    """
    releases = [each for each in made if isinstance(each, Release)]
    found = []
    for each in scene.series:
        measured = {
            one.period.start: release.period
            for release in releases
            for one in release.series
            if one.terms.name == each.name
        }
        left = each.a_year - [*measured.values()].count(period(at))
        ended = each.terms.ended(each.since, each.until, at)
        waiting = [(each, one) for one in ended if one.start not in measured]
        found += waiting[: max(0, left)]
    return found


def _events(
    product: Product, rows: Any, due: Sequence[tuple[EventSeries, Period]]
) -> list[PeriodCounts]:
    """Clipped counts of these periods, of the customers of `rows`, who are in the read log."""
    if not due:
        return []
    import pyarrow as pa

    key = product.gate.source.key
    people = rows.select(key).to_pyarrow()[key].cast(pa.string())
    return [series.clipped(product.tables, each, one, people) for each, one in due]


def _counted(
    product: Product,
    scene: Scene,
    at: datetime,
    resumed: str | None,
    due: Sequence[tuple[EventSeries, Period]],
) -> tuple[Any, int, str]:
    """The rows of the population, and size and root of the consent log that it rests on.

    `resumed`: as in `population`.
    """
    if not scene.counts_everybody:
        people = population(product, scene, at, resumed)
        wanted = [*scene.domain.columns, product.gate.source.key]
        rows = product.gate.source.rows(people.subjects, wanted)
        return rows, people.ledger_size, people.ledger_root
    loss = total([budget_plan(product).loss(scene), *(each.terms.loss for each, _ in due)])
    _require_everybody_admitted(product, scene, at, resumed, loss)
    counted = statistics.population(product.gate, scene, at)
    return counted.rows, counted.point.size, b64decode(counted.point.root).hex()


def _require_everybody_admitted(
    product: Product, scene: Scene, at: datetime, resumed: str | None, loss: PrivacyLoss
) -> None:
    """Raise TooFewAdmittedError if a release of `loss` would take anybody beyond their cap."""
    for paid, cap in _paid(product, loss, at, resumed):
        most = paid.most + loss
        if not most <= cap:
            raise TooFewAdmittedError(
                f"{scene.id}: a release would take a customer to rho {most.rho}, beyond the cap of "
                f"{cap.rho}; leaving them out would bias it, so the last release stays active"
            )


def _consenting(product: Product, scene: Scene, at: datetime) -> FitPopulation:
    """All customers who grant every synthesised field, and the ledger size at which they do."""
    gate, plan = product.gate, compile_plan("", scene, offered=(), release=None)
    with gate.lock:
        state, point = gate.current(0)
        members = gate.members(plan, plan.mask(tuple(scene.domain.columns)) or 0, at)
        return FitPopulation(state.subjects.of(members), point.size, b64decode(point.root).hex())


def _admitted(
    product: Product, subjects: list[str], loss: PrivacyLoss, at: datetime, resumed: str | None
) -> list[str]:
    """`subjects` without those whom a release of `loss` would take beyond their cap."""
    for paid, cap in _paid(product, loss, at, resumed):
        subjects = paid.admitted(subjects, loss, cap)
    return subjects


def _paid(
    product: Product, loss: PrivacyLoss, at: datetime, resumed: str | None
) -> Iterator[tuple[Exposure, PrivacyLoss]]:
    """What customers have lost, and the cap of it, of the year and in all.

    Left out where even a customer in every fit stays within the cap after one more of `loss`.
    """
    limits = product.settings.privacy
    for of_period, cap in ((period(at), limits.year), (None, limits.total)):
        fits = exposures.fits(product.ledger.announced(), of_period)
        fits = [each for each in fits if each.reservation != resumed]
        if exposures.upper_bound(fits) + loss <= cap:
            continue
        versions = grounds(product.home, (), _LOG.warning).versions()
        yield exposures.exposure(product.ledger, versions, fits), cap


def budget_plan(product: Product) -> BudgetPlan:
    """How releases share the privacy budget, by the product's settings."""
    known = product.settings
    return BudgetPlan.of(
        known.privacy, known.refit_days, known.refit_changes, product.scenes.values()
    )


def workload(scene: Scene, scenes: Iterable[Scene]) -> list[tuple[str, ...]]:
    """The group-bys and trends that its releases are fitted for.

    A release for statistics is fitted for those of every scene whose tables it completes.
    """
    served = [scene]
    if scene.counts_everybody:
        served += [each for each in scenes if each.population is Population.NOT_OBJECTING]
    found = [group for each in served for group in each.group_bys]
    alike = {frozenset(group): group for group in reversed(found)}  # the first of each wins
    return [*reversed(alike.values())]


def reusable_marginals(
    last: Release | None, scene: Scene, scenes: Iterable[Scene]
) -> Release | None:
    """The last release, if its marginals still suit the contracts; else None."""
    groups = workload(scene, scenes)
    if last is None or last.mechanism != GRAPHICAL or last.domain != scene.domain:
        return None
    measured = [each.clique for each in last.measurements]
    declared = {*map(frozenset, groups)} == {*map(frozenset, last.workload)}
    predictable = not budget_split.with_target(scene.domain, scene.predicts, measured)
    return last if declared and predictable else None


def reserve(
    ledger: Ledger, scene: str, body: Mapping[str, Any], at: datetime, limit: PrivacyLoss = SCENE
) -> Account:
    """Record a debit durably, unless it is recorded already; returns the account after it.

    `limit`: what the scene may spend in the period.

    Raises BudgetExceededError and UsedReservationError.
    """
    with _reserving:
        admission = budget_ledger.admit(bodies(ledger.announced()), body, {scene: limit})
        if not admission.recorded:
            ledger.announce([BudgetReserved(scene, body, at)])
        return admission.account


def period(at: datetime) -> str:
    """Budgets are by calendar year, in UTC."""
    return str(at.astimezone(UTC).year)


def unreleased(product: Product) -> list[Scene]:
    """The scenes for which releases are made and that have none yet."""
    return [
        scene
        for scene in product.scenes.values()
        if scene.releases and product.gate.release(scene.id) is None
    ]


def bodies(announced: Iterable[RecordedEvent]) -> Iterator[Mapping[str, Any]]:
    """The records of the budget ledger, in log order."""
    for entry in announced:
        if isinstance(entry.event, (BudgetReserved, SyntheticReleased)):
            yield entry.event.body


def limits(scenes: Iterable[str]) -> dict[str, PrivacyLoss]:
    """What each scene may spend in one period where its reservations state nothing else."""
    return dict.fromkeys(scenes, SCENE)
