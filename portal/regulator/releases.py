"""View models of the synthetic releases in use: privacy loss, quality, age."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from gate.contracts.odcs import Text
from gate.contracts.scene import Scene, Surrogates
from gate.contracts.series import EventSeries
from gate.reads import releases as served_releases
from gate.reads.point import Gate
from portal.operations.release_service import period
from portal.web.chart import Chart, ChartLine, chart
from synthetic.completion.completion import SERVED
from synthetic.completion.mode import Mode
from synthetic.evaluation import inference_risk
from synthetic.evaluation.evaluate import SHARES, expected_loss
from synthetic.evaluation.inference_risk import InferenceRisk
from synthetic.fitting.release import Release
from synthetic.model.consistency import Reconciled
from synthetic.model.series import PeriodMeasurement


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One release in use, as the table shows it."""

    scene: str
    title: Text
    id: str
    fitted_at: datetime
    mechanism: str
    epsilon: float
    delta: float
    rho: float  # zero-concentrated differential privacy
    measurements: int
    customers: int  # noisy


def in_use(gate: Gate, scenes: Mapping[str, Scene]) -> Iterator[ReleaseRow]:
    """One row for each scene that has a release now."""
    for scene in scenes.values():
        if (release := of(gate, scene.id)) is not None:
            yield _row(release, scene)


def of(gate: Gate, scene: str) -> Release | None:
    """The scene's present release; None if it has none."""
    release = gate.release(scene)
    return release if isinstance(release, Release) else None


def named(gate: Gate, name: str) -> Release | None:
    """Any release in the log by its id, or a scene's present release by the scene's name."""
    release = gate.served(name.rpartition("-")[0]).by_id(name)
    return release if isinstance(release, Release) else of(gate, name)


@dataclass(frozen=True, slots=True)
class GroupBy:
    """One declared group-by: its columns, its noise and the size of its segments."""

    items: tuple[Text, ...]
    cells: int
    sigma: float  # standard deviation of the noise, in customers
    largest: int  # noisy count of the largest segment
    smallest: int  # of the smallest with at least 1 % of all rows


@dataclass(frozen=True, slots=True)
class RiskRow:
    """How often a synthetic value of an item would be the true one, among uncommon values."""

    item: Text
    risk: InferenceRisk


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of a release, and of the release that the scene's tables rest on.

    Everything here follows from the two public records. `anchor`: the release to whose counts
    tables are completed; None: naive completion. `everybody`: it counts all who do not object.
    `error`: relative error of a segment in such a table by noise alone (mean, 95th percentile).
    """

    row: ReleaseRow
    anchor: ReleaseRow | None
    everybody: bool
    error: tuple[float, float] | None
    promise: str
    losses: Chart  # expected relative error of the segments, by share withdrawn
    groups: tuple[GroupBy, ...]
    surrogates: Surrogates
    risks: tuple[RiskRow, ...]  # empty without surrogates

    @property
    def mode(self) -> Mode:
        return Mode.RELEASE_ANCHORED if self.anchor else Mode.NAIVE


def quality(release: Release, scene: Scene, anchor: Release | None) -> Quality:
    """The quality of `release`. Without large segments the chart has no lines."""
    basis = anchor or release
    losses = [expected_loss(basis, share, scene.group_bys) for share in SHARES]
    lines = [
        ChartLine("mean", tuple(_finite(each.mean) for each in losses)),
        ChartLine("p95", tuple(_finite(each.p95) for each in losses)),
    ]
    surrogates = scene.surrogates or Surrogates.NONE
    return Quality(
        _row(release, scene),
        _row(anchor, scene) if anchor else None,
        anchor is not None and anchor.scene != scene.id,
        _error(anchor, scene) if anchor else None,
        str(release.statement),
        chart([f"{share:.0%}" for share in SHARES], lines),
        tuple(_groups(basis, scene)),
        surrogates,
        () if surrogates is Surrogates.NONE else tuple(_risks(release, scene)),
    )


def _groups(release: Release, scene: Scene) -> Iterator[GroupBy]:
    """What `release` measured of the scene's own items."""
    for each in release.served:
        if scene.fields.keys() >= {*each.clique}:
            yield _group(each, release, scene)


def _risks(release: Release, scene: Scene) -> Iterator[RiskRow]:
    for name, risk in inference_risk.risks(release).items():
        if name in scene.fields:
            yield RiskRow(scene.fields[name].item.title, risk)


def _error(anchor: Release, scene: Scene) -> tuple[float, float] | None:
    """Error of a fully synthetic table: every count carries noise."""
    loss = expected_loss(anchor, 1.0, scene.group_bys)
    return (loss.mean, loss.p95) if isfinite(loss.mean) else None


@dataclass(frozen=True, slots=True)
class SeriesShown:
    """A series with every period that was measured. `at_most`: events counted of one customer."""

    title: Text
    at_most: int
    chart: Chart


def series(gate: Gate, scene: Scene) -> Iterator[SeriesShown]:
    """The measured series of a scene. Negative noisy counts are shown as 0."""
    for each in scene.series:
        made = [one for _, one in served_releases.periods(gate.served(scene.id), each.name)]
        if made:
            most = max(one.terms.at_most for one in made)
            places = [f"{one.period.start:%Y-%m-%d}" for one in made]
            yield SeriesShown(each.title, most, chart(places, [*_lines(each, made)]))


def _lines(declared: EventSeries, made: Sequence[PeriodMeasurement]) -> Iterator[ChartLine]:
    """The total, whose key is empty, and each category."""
    bars = tuple(float(one.total_bar) for one in made)
    yield ChartLine("", tuple(float(max(0, one.total)) for one in made), bars)
    for category in declared.terms.categories:
        counts = tuple(one.shown(category) for one in made)
        yield ChartLine(category, counts, tuple(float(one.bar) for one in made))


@dataclass(frozen=True, slots=True)
class Age:
    """`days`: since the fit. `last`: the year's budget is too small for another release."""

    days: int
    last: bool


def age(release: Release, at: datetime) -> Age:
    """The age of a release, from its public record alone, which contains the account."""
    account, this_year = release.account, release.period == period(at)
    last = account is not None and this_year and account.left < release.statement.rho
    return Age(max(0, (at - release.fitted_at).days), last)


def _finite(figure: float) -> float | None:
    return figure if isfinite(figure) else None


def _group(measured: Reconciled, release: Release, scene: Scene) -> GroupBy:
    values = measured.values.ravel()
    served = values[values >= max(1, SERVED * release.rows)]
    return GroupBy(
        tuple(scene.fields[name].item.title for name in measured.clique),
        int(values.size),
        float(measured.variance) ** 0.5,
        round(values.max(initial=0)),
        round(served.min(initial=values.max(initial=0))),
    )


def _row(release: Release, scene: Scene) -> ReleaseRow:
    promise = release.statement
    return ReleaseRow(
        scene.id,
        scene.title,
        release.id,
        release.fitted_at,
        release.mechanism,
        float(promise.epsilon),
        float(promise.delta),
        float(promise.rho.rho),
        len(release.measurements),
        release.rows,
    )
