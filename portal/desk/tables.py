"""View models of the desk's pages, so that templates decide nothing. Pure except for reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gate.contracts.odcs import Text
from gate.contracts.scene import Scene
from gate.contracts.source import Item, SourceContract
from portal.desk.office import Agreements, SearchResult
from portal.operations.job_results import DEGRADED, JobResult, Snapshot
from portal.web.chart import Chart, ChartLine, chart
from steward.agreements.health import TEN_THOUSAND, Advice, HealthReport
from steward.agreements.trend import Day
from steward.contracts.health import Attainment, Check, ContractAlert, ContractHealth

PER_CENT = 100  # ten-thousandths


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of health in per cent; None where the whole is empty."""

    key: str  # of its message: coverage, freshness, dependence
    per_cent: float | None
    limit: float
    beyond: bool  # worse than the threshold


@dataclass(frozen=True, slots=True)
class AgreementRow:
    customers: int
    figures: tuple[Figure, ...]
    advised: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class CustomerRow:
    subject: str
    name: str
    figures: tuple[Figure, ...]
    advice: tuple[str, ...]
    searches: int


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One item that misses its promises, with all scenes in which it does."""

    item: Text
    system: Text
    scenes: tuple[Text, ...]
    misses: int  # in a row, in the scene that has missed it longest
    since: datetime
    substitutes: tuple[tuple[Text, Text], ...]  # scene, item proposed instead


@dataclass(frozen=True, slots=True)
class JobRow:
    name: str
    health: str
    degraded: bool
    result: JobResult


@dataclass(frozen=True, slots=True)
class ContractRow:
    scene: Scene
    per_cent: float | None  # of the checks of the last day
    missed: tuple[Check, ...]  # by the last run


@dataclass(frozen=True, slots=True)
class ContractItemRow:
    """One line of the data-source map."""

    title: Text
    system: Text
    producer: str
    update: str
    days: float | None  # between deliveries at most
    basis: str
    lineage: tuple[Text, ...]
    conflict: tuple[Text, ...]


def jobs(snapshot: Snapshot, at: datetime) -> list[JobRow]:
    """Every job of the product, in the order of the schedule."""
    health = snapshot.health(at)
    return [
        JobRow(name, health[name], health[name] in DEGRADED, each)
        for name, each in snapshot.jobs.items()
    ]


def agreements(health: Agreements) -> AgreementRow:
    limits = health.limits
    shares = (limits.least_coverage, limits.least_freshness, limits.most_dependence)
    figures = _figures(health.total, health.total.advice(limits), shares)
    advised = tuple((advice.value, count) for advice, count in health.advised.items())
    return AgreementRow(health.customers, figures, advised)


def customer(result: SearchResult) -> CustomerRow:
    """The row of a search result, without thresholds, which the aggregate shows."""
    figures = _figures(result.report, result.advice, (0, 0, 0))
    advice = tuple(each.value for each in result.advice)
    return CustomerRow(result.subject, result.name or "", figures, advice, result.searches)


def alerts(
    raised: Sequence[ContractAlert], scenes: Mapping[str, Scene], source: SourceContract
) -> list[AlertRow]:
    by_item: dict[str, list[ContractAlert]] = {}
    for each in raised:
        if each.scene in scenes:
            by_item.setdefault(each.field, []).append(each)
    return [_alert(source.items[name], each, scenes, source) for name, each in by_item.items()]


def attained(
    health: ContractHealth, scenes: Mapping[str, Scene], since: datetime
) -> Iterator[ContractRow]:
    shares = health.attainment(since)
    for scene in scenes.values():
        yield ContractRow(scene, _share(shares.get(scene.id)), tuple(health.missed(scene.id)))


def items(source: SourceContract) -> Iterator[ContractItemRow]:
    for item in source.items.values():
        yield ContractItemRow(
            title=item.title,
            system=source.systems[item.system],
            producer=item.producer,
            update=item.update,
            days=item.frequency / timedelta(days=1) if item.frequency else None,
            basis=item.legal_basis,
            lineage=tuple(source.items[name].title for name in item.lineage),
            conflict=tuple(source.systems[name] for name in item.conflict),
        )


def _figures(
    report: HealthReport, advice: Sequence[Advice], limits: tuple[int, int, int]
) -> tuple[Figure, ...]:
    names = ("coverage", "freshness", "dependence")
    shares = (report.coverage, report.freshness, report.dependence)
    return tuple(
        Figure(name, _per_cent(share), limit / PER_CENT, beyond in advice)
        for name, share, limit, beyond in zip(names, shares, limits, Advice, strict=True)
    )


def _alert(
    item: Item, raised: Sequence[ContractAlert], scenes: Mapping[str, Scene], source: SourceContract
) -> AlertRow:
    return AlertRow(
        item=item.title,
        system=source.systems[item.system],
        scenes=tuple(scenes[each.scene].title for each in raised),
        misses=max(each.misses for each in raised),
        since=min(each.since for each in raised),
        substitutes=tuple(
            (scenes[each.scene].title, source.items[each.substitute].title)
            for each in raised
            if each.substitute is not None
        ),
    )


def _share(attained: Attainment | None) -> float | None:
    return None if attained is None else attained.share / PER_CENT


def _per_cent(share: int | None) -> float | None:
    return None if share is None else share / PER_CENT


def over_time(days: Sequence[Day], label: Callable[[date], str]) -> Chart | None:
    """The health of all agreements day by day, in shares of one; None before the first count."""
    if not days:
        return None
    figures = {
        "coverage": [each.coverage for each in days],
        "freshness": [each.freshness for each in days],
        "dependence": [each.dependence for each in days],
    }
    lines = [
        ChartLine(key, tuple(None if f is None else f / TEN_THOUSAND for f in shares))
        for key, shares in figures.items()
    ]
    return chart([label(each.day) for each in days], lines)
