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

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from gate.contracts.scene import Scene, SceneField
from gate.contracts.source import SourceContract
from steward.contracts.source_probe import KeyFacts, SourceDelivery, SourceFacts

MISSES_TO_ALERT = 3
TEN_THOUSAND = 10_000

_SCHEMA = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS run (at TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS attained (at TEXT, scene TEXT, checks INTEGER, kept INTEGER);
CREATE TABLE IF NOT EXISTS miss
  (at TEXT, scene TEXT, field TEXT, aspect TEXT, wanted TEXT, found TEXT);
CREATE TABLE IF NOT EXISTS streak
  (scene TEXT, field TEXT, misses INTEGER, since TEXT, PRIMARY KEY (scene, field));
CREATE INDEX IF NOT EXISTS attained_by_time ON attained (at);
CREATE INDEX IF NOT EXISTS miss_by_time ON miss (at);
"""


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
    return checked if facts.rows else [replace(each, met=False, observed=EMPTY) for each in checked]


class ContractHealth:
    """The history of checks, in its own database. Thread-safe; one transaction per run."""

    def __init__(self, path: Path, scenes: Mapping[str, Scene]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._scenes = path, scenes
        with closing(self._connect()) as database:
            database.executescript(_SCHEMA)

    def record(self, run_checks: Sequence[Check], at: datetime) -> list[ContractAlert]:
        """Add one run and return the new alerts. Durable when it returns.

        Raises RunOrderError unless `at` is later than all previous runs.
        """
        with closing(self._connect()) as database, database:
            database.execute("BEGIN IMMEDIATE")
            self._begin(database, at)
            missed = _insert(database, run_checks, at)
            _count(database, missed, at)
            # Crash anywhere above: the run is not recorded, and the streaks are unchanged.
            return self._alerts(database, missed, "misses = ?")

    def alerts(self) -> list[ContractAlert]:
        """All fields with three or more consecutive misses at the last run."""
        with closing(self._connect()) as database:
            return self._alerts(database, _last_missed(database), "misses >= ?")

    def missed(self, scene: str) -> list[Check]:
        """The failed checks of the last run in one scene."""
        sql = (
            "SELECT field, aspect, wanted, found FROM miss WHERE scene = ?"
            " AND at = (SELECT max(at) FROM run) ORDER BY rowid"
        )
        with closing(self._connect()) as database:
            rows = database.execute(sql, [scene]).fetchall()
        return [Check(scene, field, Aspect(aspect), False, *rest) for field, aspect, *rest in rows]

    def attainment(self, since: datetime) -> dict[str, Attainment]:
        """The share of passed checks by scene, in all runs from `since` on."""
        sql = "SELECT scene, sum(checks), sum(kept) FROM attained WHERE at >= ? GROUP BY scene"
        with closing(self._connect()) as database:
            rows = database.execute(sql, [_stamp(since)]).fetchall()
        return {scene: Attainment(scene, count, met) for scene, count, met in rows}

    def freshness(self) -> dict[str, dict[str, bool]]:
        """By scene and field, whether it was in time at the last run, where that is promised.

        Empty before the first run.
        """
        if self.last_run() is None:
            return {}
        return {scene.id: self._timely(scene) for scene in self._scenes.values()}

    def last_run(self) -> datetime | None:
        with closing(self._connect()) as database:
            (at,) = database.execute("SELECT max(at) FROM run").fetchone()
        return None if at is None else _moment(at)

    def _timely(self, scene: Scene) -> dict[str, bool]:
        late = {each.field for each in self.missed(scene.id) if each.aspect in TIMELY}
        return {
            name: name not in late
            for name, field in scene.fields.items()
            if not field.item.provided and (field.item.frequency or name in scene.latency)
        }

    def _begin(self, database: sqlite3.Connection, at: datetime) -> None:
        (last,) = database.execute("SELECT max(at) FROM run").fetchone()
        if last is not None and _stamp(at) <= last:
            raise RunOrderError(f"a run at {_stamp(at)}, want one after {last}; run it again later")
        database.execute("INSERT INTO run VALUES (?)", [_stamp(at)])

    def _alerts(
        self, database: sqlite3.Connection, missed: set[tuple[str, str]], which: str
    ) -> list[ContractAlert]:
        sql = f"SELECT scene, field, misses, since FROM streak WHERE {which} ORDER BY 1, 2"  # noqa: S608 - ours
        rows = database.execute(sql, [MISSES_TO_ALERT]).fetchall()
        return [
            ContractAlert(
                scene, field, misses, _moment(since), self._substitute(scene, field, missed)
            )
            for scene, field, misses, since in rows
        ]

    def _substitute(self, scene: str, field: str, missed: set[tuple[str, str]]) -> str | None:
        contract = self._scenes.get(scene)
        declared = contract.fields.get(field) if contract else None
        other = declared.substitute if declared else None
        return None if other is None or (scene, other) in missed else other

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None)


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


def _insert(
    database: sqlite3.Connection, run_checks: Sequence[Check], at: datetime
) -> set[tuple[str, str]]:
    """Write the misses and sums of one run; returns the fields that missed."""
    missed = [each for each in run_checks if not each.met]
    sums: dict[str, list[int]] = {}
    for each in run_checks:
        count = sums.setdefault(each.scene, [0, 0])
        count[0] += 1
        count[1] += each.met
    stamp = _stamp(at)
    database.executemany(
        "INSERT INTO attained VALUES (?, ?, ?, ?)", [(stamp, s, *sums[s]) for s in sums]
    )
    database.executemany(
        "INSERT INTO miss VALUES (?, ?, ?, ?, ?, ?)",
        [(stamp, m.scene, m.field, m.aspect.value, m.wanted, m.observed) for m in missed],
    )
    return {(each.scene, each.field) for each in missed}


def _count(database: sqlite3.Connection, missed: set[tuple[str, str]], at: datetime) -> None:
    """Extend the streaks of fields that missed; end those of the others."""
    known = {(scene, field) for scene, field in database.execute("SELECT scene, field FROM streak")}
    database.executemany("DELETE FROM streak WHERE scene = ? AND field = ?", known - missed)
    database.executemany(
        "INSERT INTO streak VALUES (?, ?, 1, ?)"
        " ON CONFLICT (scene, field) DO UPDATE SET misses = misses + 1",
        [(*each, _stamp(at)) for each in missed],
    )


def _last_missed(database: sqlite3.Connection) -> set[tuple[str, str]]:
    sql = "SELECT DISTINCT scene, field FROM miss WHERE at = (SELECT max(at) FROM run)"
    return {(scene, field) for scene, field in database.execute(sql)}


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
