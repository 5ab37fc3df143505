"""The synthetic releases in use, as a regulator sees them: what was promised, and the record."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from gate.contracts.scene import Scene, Text
from gate.reads.point import Gate
from portal.operations.release_service import period
from portal.web.chart import Chart, ChartLine, chart
from synthetic.completion.completion import SERVED
from synthetic.completion.mode import Mode
from synthetic.evaluation.evaluate import SHARES, expected_loss
from synthetic.fitting.release import Release
from synthetic.model.consistency import Reconciled


@dataclass(frozen=True, slots=True)
class ReleaseRow:
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
    """One row for each scene that is answered from a release now."""
    for scene in scenes.values():
        if (release := of(gate, scene.id)) is not None:
            yield _row(release, scene)


def of(gate: Gate, scene: str) -> Release | None:
    """The release that answers now."""
    found = gate.release(scene)
    return found if isinstance(found, Release) else None


def named(gate: Gate, name: str) -> Release | None:
    """Any release that stands in the log, by its id; of a scene's name the one that answers now."""
    found = gate.served(name.rpartition("-")[0]).by_id(name)
    return found if isinstance(found, Release) else of(gate, name)


@dataclass(frozen=True, slots=True)
class GroupBy:
    """One declared group-by: its columns, and what its noise is beside its segments."""

    items: tuple[Text, ...]
    cells: int
    sigma: float  # standard deviation of the noise, in customers
    largest: int  # noisy count of the largest segment
    smallest: int  # of the smallest that holds at least 1 % of all rows


@dataclass(frozen=True, slots=True)
class Quality:
    """What a release is worth, from its public record alone.

    `anchor`: the release whose counts tables of the scene are made up to; None: they are naive.
    `error`: of a segment in such a table, by noise alone: mean and 95th percentile, if any is told.
    """

    row: ReleaseRow
    anchor: ReleaseRow | None
    error: tuple[float, float] | None
    promise: str
    losses: Chart  # expected relative error of the segments, by share withdrawn
    groups: tuple[GroupBy, ...]

    @property
    def mode(self) -> Mode:
        return Mode.RELEASE_ANCHORED if self.anchor else Mode.NAIVE


def quality(release: Release, scene: Scene, anchor: Release | None) -> Quality:
    """Raises nothing: a release without large segments has a chart without lines."""
    found = [expected_loss(release, share) for share in SHARES]
    lines = [
        ChartLine("mean", tuple(_finite(each.mean) for each in found)),
        ChartLine("p95", tuple(_finite(each.p95) for each in found)),
    ]
    drawn = chart([f"{share:.0%}" for share in SHARES], lines)
    groups = tuple(_group(each, release, scene) for each in release.served)
    counted = _row(anchor, scene) if anchor else None
    error = _error(anchor) if anchor else None
    return Quality(_row(release, scene), counted, error, str(release.statement), drawn, groups)


def _error(anchor: Release) -> tuple[float, float] | None:
    """Of a table in which nobody stands as they are: all of it carries the noise of the counts."""
    found = expected_loss(anchor, 1.0)
    return (found.mean, found.p95) if isfinite(found.mean) else None


@dataclass(frozen=True, slots=True)
class Age:
    """`days`: since it was fitted. `last`: its year's budget pays for no further one."""

    days: int
    last: bool


def age(release: Release, at: datetime) -> Age:
    """From the public record alone: the account stands in it."""
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
