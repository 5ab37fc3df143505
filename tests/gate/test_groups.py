"""Personal rows of statistics: coarsened, in multiples of the contract's group (G129, G130)."""

from collections import Counter
from datetime import date
from random import Random
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.reads.bulk import groups
from synthetic.model.domain import Categories, Dates, Domain, Numbers

DOMAIN = Domain(
    {
        "age": Numbers(18, 96, (30, 45, 60)),
        "job": Categories(("admin", "retired", "other"), "other"),
        "since": Dates(date(2024, 1, 1), date(2026, 1, 1), (date(2025, 1, 1),), nullable=True),
        "rate": Numbers(0.0, 1.0, (0.5,), integer=False),
    }
)
COLUMNS = ("age", "job")
Row = dict[str, Any]


def published(rows: list[Row], minimum: int, columns: tuple[str, ...] = COLUMNS) -> list[Row]:
    table = ibis.memtable(pd.DataFrame(rows))
    left = groups.published(table, "id", columns, DOMAIN, minimum).to_pyarrow()
    return list(left.to_pylist())


def people(count: int, seed: int = 1) -> list[Row]:
    random = Random(seed)
    jobs = ["admin", "retired", "diver"]
    return [
        {"id": f"c{number:03}", "age": random.randint(18, 96), "job": random.choice(jobs)}
        for number in range(count)
    ]


def sizes(rows: list[Row]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[name] for name in COLUMNS) for row in rows)


def test_a_value_stands_for_its_bin_or_category() -> None:
    days = [date(2024, 2, 1), None, date(2025, 3, 1)]
    rows: list[Row] = [
        {"id": f"c{n}", "age": age, "job": job, "since": day, "rate": rate}
        for n, (age, job, day, rate) in enumerate(
            zip((18, 44, 99), ("admin", None, "diver"), days, (0.1, 0.5, 1.0), strict=True)
        )
    ]
    table = ibis.memtable(rows, schema=SCHEMA)
    made = groups.published(table, "id", [*DOMAIN.columns], DOMAIN, 1).order_by("id").to_pyarrow()
    assert made["age"].to_pylist() == [24, 37, 78]
    assert made["job"].to_pylist() == ["admin", "other", "other"]
    assert made["since"].to_pylist() == [date(2024, 7, 2), None, date(2025, 7, 2)]
    assert made["rate"].to_pylist() == [0.25, 0.75, 0.75]
    assert made.schema.field("age").type == table.schema().to_pyarrow().field("age").type


SCHEMA = ibis.schema(
    {"id": "string", "age": "int64", "job": "string", "since": "date", "rate": "float64"}
)


@pytest.mark.parametrize("minimum", [2, 5, 10])
def test_groups_leave_in_multiples(minimum: int) -> None:
    rows = people(200)
    whole, left = sizes(published(rows, 1)), sizes(published(rows, minimum))
    assert left == Counter({g: n - n % minimum for g, n in whole.items() if n >= minimum})
    assert sum(left.values()) < sum(whole.values())


@given(st.integers(0, 59), st.integers(1, 1000))
def test_a_withdrawal_changes_no_group_or_all_of_a_multiple(victim: int, seed: int) -> None:
    rows = people(60, seed)
    before = sizes(published(rows, 5))
    after = sizes(published([row for at, row in enumerate(rows) if at != victim], 5))
    changed = {group: before[group] - after[group] for group in before if before != after}
    assert {each for each in changed.values() if each} <= {5}
    assert after - before == Counter()


def test_the_same_customers_stand_for_a_group_each_time() -> None:
    rows = people(100)
    first, again = published(rows, 10), published(rows[::-1], 10)
    assert {row["id"] for row in first} == {row["id"] for row in again}


@given(st.integers(0, 1000), st.integers(0, 8), st.integers(1, 30))
def test_whoever_withdraws_meanwhile_no_part_of_a_group_leaves(
    seed: int, after: int, size: int
) -> None:
    """Customers withdraw after so many batches; their groups are smaller by whole multiples."""
    random, minimum = Random(seed), 5
    rows = published(people(90, seed), minimum)
    random.shuffle(rows)
    gone = {row["id"] for row in rows if random.random() < 0.1}
    left: list[Row] = []
    whole = groups.WholeGroups("id", minimum)
    for number, start in enumerate(range(0, len(rows), size)):
        batch = pa.RecordBatch.from_pylist(rows[start : start + size])
        waiting = whole.with_waiting(batch)
        if number >= after:
            still = [row for row in waiting.to_pylist() if row["id"] not in gone]
            waiting = pa.RecordBatch.from_pylist(still, waiting.schema)
        leaving = whole.take(waiting).to_pylist()
        assert number < after or not gone & {row["id"] for row in leaving}
        left += leaving
    assert {count % minimum for count in sizes(left).values()} <= {0}
    lost, affected = sizes(rows) - sizes(left), sizes([r for r in rows if r["id"] in gone])
    assert {*lost} <= {*affected}, "a group of which nobody withdrew leaves whole"
    assert all(lost[group] < affected[group] + minimum for group in lost)
