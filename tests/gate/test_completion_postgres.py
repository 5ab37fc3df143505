"""Tables are completed over PostgreSQL as over DuckDB (G100, G111)."""

from pathlib import Path

import psycopg
import pytest

from gate.reads.sources.postgres import PostgresSource
from synthetic.completion.mode import Mode
from tests.gate.completing import (
    ANCHORED,
    FIELDS,
    PEOPLE,
    ask,
    customer,
    opened,
    released,
    the_young_leave,
    true_rows,
    young_admins,
)
from tests.postgres import fresh
from tests.synthetic.material import Seeded


@pytest.fixture(scope="module")
def address(address: str) -> str:
    own = fresh(address)
    columns = "id text, age integer, job text, housing text"
    rows = [(customer(n), *(row[f] for f in FIELDS)) for n, row in enumerate(true_rows())]
    with psycopg.connect(own) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE customer ({columns})")
        cursor.executemany("INSERT INTO customer VALUES (%s, %s, %s, %s)", rows)
    return own


def test_g100_an_anchored_table_over_postgresql(address: str, tmp_path: Path) -> None:
    source = PostgresSource(address)
    try:
        world = opened(tmp_path, source, ANCHORED, [customer(n) for n in range(PEOPLE)])
        first = released(world, noise=Seeded(1))
        the_young_leave(world)
        answer = ask(world, ("age", "job"))
        assert (answer.mode, answer.release) == (Mode.RELEASE_ANCHORED, first.id)
        assert answer.table.num_rows == PEOPLE
        assert young_admins(answer) == pytest.approx(PEOPLE // 3, rel=0.05)
    finally:
        source.close()
