"""Contract health: checks whether sources meet the service levels of the contracts (M19, M20).

Five aspects of every field of every scene: it exists, it has its type, few enough values are
missing, the last delivery arrived soon enough (latency) and recently enough (freshness). Only
promised aspects are checked; a promised aspect that cannot be measured counts as missed, and an
empty table misses every promise. In every scene the key is checked: one row a customer, each with
an id.

The third consecutive miss of a field raises an alert and proposes the contract's substitute, which
is an ordinary field of the scene and is read through the gate. Normative clauses: specs/health.md,
"Contract health".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Executable, bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from gate.contracts.scene import Scene, SceneField
from gate.contracts.source import SourceContract
from ledger.storage import database
from steward.contracts.source_probe import KeyFacts, SourceDelivery, SourceFacts
from steward.storage.health import ATTAINED, HEALTH, MISS, RUN, STREAK

MISSES_TO_ALERT = 3
TEN_THOUSAND = 10_000

_LAST_RUN = select(func.max(RUN.c.at))
_LAST_MISSES = MISS.c.at == _LAST_RUN.scalar_subquery()
_MISSED = (
    select(MISS.c.field, MISS.c.aspect, MISS.c.wanted, MISS.c.found)
    .where(MISS.c.scene == bindparam("scene"), _LAST_MISSES)
    .order_by(MISS.c.seq)
)
_MISSED_FIELDS = select(MISS.c.scene, MISS.c.field).where(_LAST_MISSES).distinct()
_ATTAINED = (
    select(ATTAINED.c.scene, func.sum(ATTAINED.c.checks), func.sum(ATTAINED.c.kept))
    .where(ATTAINED.c.at >= bindparam("since"))
    .group_by(ATTAINED.c.scene)
)
_STREAKS = select(STREAK).where(STREAK.c.misses >= MISSES_TO_ALERT)
_STREAK = STREAK.c.scene == bindparam("in_scene"), STREAK.c.field == bindparam("of_field")
_ON_STREAK = select(STREAK.c.scene, STREAK.c.field)
_END_STREAK = delete(STREAK).where(*_STREAK)
_EXTEND_STREAK = update(STREAK).where(*_STREAK).values(misses=STREAK.c.misses + 1)
_ADD_RUN, _ADD_ATTAINED, _ADD_MISS, _ADD_STREAK = map(insert, (RUN, ATTAINED, MISS, STREAK))


class Aspect(StrEnum):
    PRESENCE = "presence"
    TYPE = "type"
    NULLS = "nulls"
    LATENCY = "latency"
    FRESHNESS = "freshness"
    KEY = "key"


EMPTY = "no rows"
TIMELY = {Aspect.LATENCY, Aspect.FRESHNESS}


@dataclass(frozen=True, slots=True)
class Check:
    """One promise compared with the observed value; both as the desk shows them."""

    scene: str
    field: str
    aspect: Aspect
    met: bool
    wanted: str
    observed: str


@dataclass(frozen=True, slots=True)
class ContractAlert:
    """A field that missed `misses` consecutive runs, the first at `since`.

    `substitute`: the field that the contract proposes instead; None if that one misses as well.
    """

    scene: str
    field: str
    misses: int
    since: datetime
    substitute: str | None


@dataclass(frozen=True, slots=True)
class Attainment:
    """The number of checks of a scene, and how many passed."""

    scene: str
    checks: int
    met: int

    @property
    def share(self) -> int:
        """In ten-thousandths, rounded down: 10000 only if nothing was missed."""
        return TEN_THOUSAND * self.met // self.checks if self.checks else TEN_THOUSAND


class RunOrderError(ValueError):
    """A run is not later than the previous one; three misses must be at three times."""


def checks(
    scenes: Mapping[str, Scene], source: SourceContract, facts: SourceFacts, at: datetime
) -> list[Check]:
    """Compare every promise of every contract with `facts` observed at `at`. Pure."""
    provided = {name for name, item in source.items.items() if item.provided}
    checked = [
        check
        for scene in scenes.values()
        for name, field in scene.fields.items()
        if name not in provided
        for check in _checks(scene, field, facts, at)
    ]
    if facts.key is not None:
        checked += [_key_check(scene.id, facts.key) for scene in scenes.values()]
    checked += [
        _key_check(scene.id, facts.related[table.name])
        for scene in scenes.values()
        for table in source.related
        if table.name in facts.related and scene.fields.keys() & {*table.items}
    ]
    return checked if facts.rows else [replace(each, met=False, observed=EMPTY) for each in checked]


class ContractHealth:
    """The history of checks of the data directory `home`. Thread-safe; one transaction per run.

    Raises SchemaVersionError, DatabaseError.
    """

    def __init__(self, home: Path, scenes: Mapping[str, Scene]) -> None:
        self._database, self._scenes = database.of(home), scenes
        self._engine = self._database.engine(HEALTH)

    def record(self, run_checks: Sequence[Check], at: datetime) -> list[ContractAlert]:
        """Add one run and return the new alerts. Durable when it returns.

        Raises RunOrderError unless `at` is later than all previous runs.
        """
        with database.exclusive(self._engine) as connection:
            _begin(connection, at)
            missed = _insert(connection, run_checks, at)
            _count(connection, missed, at)
            # Crash anywhere above: the run is not recorded, and the streaks are unchanged.
            alerts = self._alerts(connection, missed)
        return [each for each in alerts if each.misses == MISSES_TO_ALERT]

    def alerts(self) -> list[ContractAlert]:
        """All fields with three or more consecutive misses at the last run."""
        with database.reading(self._engine) as connection:
            return self._alerts(connection, _last_missed(connection))

    def missed(self, scene: str) -> list[Check]:
        """The failed checks of the last run in one scene."""
        with database.reading(self._engine) as connection:
            rows = connection.execute(_MISSED, {"scene": scene}).all()
        return [Check(scene, field, Aspect(aspect), False, *rest) for field, aspect, *rest in rows]

    def attainment(self, since: datetime) -> dict[str, Attainment]:
        """The share of passed checks by scene, in all runs from `since` on."""
        with database.reading(self._engine) as connection:
            rows = connection.execute(_ATTAINED, {"since": _stamp(since)}).all()
        return {scene: Attainment(scene, int(count), int(met)) for scene, count, met in rows}

    def freshness(self) -> dict[str, dict[str, bool]]:
        """By scene and field, whether it was in time at the last run, where that is promised.

        Empty before the first run.
        """
        if self.last_run() is None:
            return {}
        return {scene.id: self._timely(scene) for scene in self._scenes.values()}

    def last_run(self) -> datetime | None:
        with database.reading(self._engine) as connection:
            at = connection.execute(_LAST_RUN).scalar()
        return None if at is None else _moment(at)

    def _timely(self, scene: Scene) -> dict[str, bool]:
        late = {each.field for each in self.missed(scene.id) if each.aspect in TIMELY}
        return {
            name: name not in late
            for name, field in scene.fields.items()
            if not field.item.provided and (field.item.frequency or name in scene.latency)
        }

    def _alerts(self, connection: Connection, missed: set[tuple[str, str]]) -> list[ContractAlert]:
        """By scene and field."""
        return [
            ContractAlert(
                row.scene,
                row.field,
                row.misses,
                _moment(row.since),
                self._substitute(row.scene, row.field, missed),
            )
            for row in sorted(connection.execute(_STREAKS))
        ]

    def _substitute(self, scene: str, field: str, missed: set[tuple[str, str]]) -> str | None:
        contract = self._scenes.get(scene)
        declared = contract.fields.get(field) if contract else None
        other = declared.substitute if declared else None
        return None if other is None or (scene, other) in missed else other


def _key_check(scene: str, key: KeyFacts) -> Check:
    if key.nulls is None:
        observed = "no such column"
    else:
        observed = f"{key.surplus} surplus rows, {key.nulls} without id"
    return Check(scene, key.column, Aspect.KEY, key.sound, "unique, never null", observed)


def _checks(scene: Scene, field: SceneField, facts: SourceFacts, at: datetime) -> Iterator[Check]:
    item, name = field.item, field.item.name

    def check(aspect: Aspect, wanted: object, observed: object, *, met: bool) -> Check:
        return Check(scene.id, name, aspect, met, str(wanted), str(observed))

    kind = facts.types.get(name)
    yield check(Aspect.PRESENCE, name, name if kind else "", met=kind is not None)
    if kind is not None:
        yield check(Aspect.TYPE, item.type, kind, met=kind == item.type)
    if item.max_nulls is not None and name in facts.nulls:
        share = _share(facts.nulls[name], facts.rows)
        most = item.max_nulls
        within = facts.nulls[name] * TEN_THOUSAND <= most * facts.rows
        yield check(Aspect.NULLS, f"{most} of 10000", f"{share} of 10000", met=within)
    for rule in item.rules if kind is not None else ():
        count = facts.missing.get((name, rule), facts.nulls.get(name))
        within = count is not None and facts.rows > 0 and rule.satisfied_by(count, facts.rows)
        yield check(Aspect.NULLS, rule, f"{count} of {facts.rows} rows", met=within)
    delivery = facts.deliveries.get(item.system)
    if (most_late := scene.latency.get(name)) is not None:
        late = None if delivery is None else delivery.arrived - delivery.as_of
        yield check(Aspect.LATENCY, most_late, late or "", met=_within(late, most_late))
    if item.frequency is not None:
        old = _age(delivery, at)
        yield check(Aspect.FRESHNESS, item.frequency, old or "", met=_within(old, item.frequency))


def _age(delivery: SourceDelivery | None, at: datetime) -> timedelta | None:
    """The time since it arrived; None without a delivery or for one dated in the future."""
    return None if delivery is None or delivery.arrived > at else at - delivery.arrived


def _within(age: timedelta | None, most: timedelta) -> bool:
    return age is not None and timedelta() <= age <= most


def _share(part: int, whole: int) -> int:
    """In ten-thousandths, rounded up: 0 only if `part` is 0."""
    return -(-TEN_THOUSAND * part // whole) if whole else 0


def _begin(connection: Connection, at: datetime) -> None:
    """Add a run. Raises RunOrderError."""
    last = connection.execute(_LAST_RUN).scalar()
    if last is not None and _stamp(at) <= last:
        raise RunOrderError(f"a run at {_stamp(at)}, want one after {last}; run it again later")
    connection.execute(_ADD_RUN, {"at": _stamp(at)})


def _insert(
    connection: Connection, run_checks: Sequence[Check], at: datetime
) -> set[tuple[str, str]]:
    """Write the misses and sums of one run; returns the fields that missed."""
    missed = [each for each in run_checks if not each.met]
    sums: dict[str, list[int]] = {}
    for each in run_checks:
        count = sums.setdefault(each.scene, [0, 0])
        count[0] += 1
        count[1] += each.met
    stamp = _stamp(at)
    attained = [
        {"at": stamp, "scene": scene, "checks": count, "kept": kept}
        for scene, (count, kept) in sums.items()
    ]
    misses = [
        {
            "at": stamp,
            "scene": each.scene,
            "field": each.field,
            "aspect": each.aspect.value,
            "wanted": each.wanted,
            "found": each.observed,
        }
        for each in missed
    ]
    _many(connection, _ADD_ATTAINED, attained)
    _many(connection, _ADD_MISS, misses)
    return {(each.scene, each.field) for each in missed}


def _count(connection: Connection, missed: set[tuple[str, str]], at: datetime) -> None:
    """Extend the streaks of fields that missed; end those of the others."""
    known = {(row.scene, row.field) for row in connection.execute(_ON_STREAK)}
    new = [
        {"scene": scene, "field": field, "misses": 1, "since": _stamp(at)}
        for scene, field in missed - known
    ]
    _many(connection, _END_STREAK, _bound(known - missed))
    _many(connection, _EXTEND_STREAK, _bound(known & missed))
    _many(connection, _ADD_STREAK, new)


def _bound(fields: set[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"in_scene": scene, "of_field": field} for scene, field in fields]


def _many(connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)


def _last_missed(connection: Connection) -> set[tuple[str, str]]:
    return {(row.scene, row.field) for row in connection.execute(_MISSED_FIELDS)}


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
