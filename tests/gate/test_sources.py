"""Clauses G100 and G101 of specs/gate.md: the gate behaves the same over every source."""

import sqlite3
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest

from gate.decision.decide import Reason, View
from gate.reads.bulk import record_batches
from gate.reads.bulk.named import read_named
from gate.reads.bulk.named_request import NamedRequest
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.filter import FilterCondition
from gate.reads.request import ReadRequest
from gate.reads.sources import description, interface
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import RowSource, SourceUnavailableError
from gate.reads.sources.postgres import PostgresSource
from gate.reads.sources.sqlite import SQLiteSource
from ledger.events.envelope import Granted
from portal.imports import moment, subjects
from portal.imports.row import Bad, ImportRow
from portal.operations.settings import Settings
from portal.operations.wiring import open_source
from tests import bank as company
from tests.gate.world import NOON, PEOPLE, PLACES, World, people, world
from tests.postgres import fresh

COLUMNS = ["id", *PEOPLE["c1"], *PLACES]


@pytest.fixture(scope="module")
def address(address: str) -> str:
    return fresh(address)


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


def fill_sqlite(place: Path) -> None:
    kinds = {"age": "integer"}
    columns = ", ".join(f"{name} {kinds.get(name, 'text')}" for name in COLUMNS)
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute(f"CREATE TABLE customer ({columns})")
        rows = [[name, *each.values(), *PLACES.values()] for name, each in PEOPLE.items()]
        marks = ", ".join("?" * len(COLUMNS))
        connection.executemany(f"INSERT INTO customer VALUES ({marks})", rows)


@pytest.fixture(scope="module", params=["duckdb", "sqlite", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "duckdb":
        yield DuckDBSource(people(tmp_path_factory.mktemp("people") / "people.duckdb"))
        return
    if request.param == "sqlite":
        place = tmp_path_factory.mktemp("people") / "people.sqlite"
        fill_sqlite(place)
        yield SQLiteSource(place)
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


def test_g168_named_customers_are_answered_as_each_of_them_alone(bank: World) -> None:
    fields, ids = ("age", "job"), ("c3", "nobody", "c1' OR 1=1 --", "c2", "c1", "c\t9")
    asked = NamedRequest("analytics", "segmentation", ids, fields, NOON)
    found = read_named(bank.gate, asked).table.to_pylist()
    assert [row["customer"] for row in found] == [*ids]
    for row in found:
        alone = bank.gate.read(
            ReadRequest("analytics", "segmentation", row["customer"], fields, NOON)
        )
        assert {name: row[name] for name in fields} == dict(alone.values)
        assert {name: row[f"{name}.view"] for name in fields} == dict(alone.views)
        assert (row["customer.allowed"], row["customer.reason"]) == (
            alone.decision.allowed,
            alone.decision.reason,
        )
    assert found[4]["job"] == "admin"


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


@pytest.mark.parametrize("shape", [read_rows, read_table])
@pytest.mark.parametrize("scene", ["segmentation", "contract-service"])
def test_g100_rows_of_a_customer_whom_the_source_has_twice_are_refused(
    bank: World, tmp_path: Path, shape: Any, scene: str
) -> None:
    """A second row may come after the start, which checks that there is none."""
    path = people(tmp_path / "twice.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("INSERT INTO customer SELECT * FROM customer WHERE id = 'c3'")
    bank.gate.source = DuckDBSource(path)
    with pytest.raises(SourceUnavailableError, match="a customer has several rows"):
        shape(bank.gate, request(scene=scene))


def test_g100_a_filter_that_leaves_one_of_two_rows_is_refused(
    bank: World, tmp_path: Path, source: RowSource
) -> None:
    """Which of the two is the customer's own, nobody can say."""
    path = people(tmp_path / "twice.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("INSERT INTO customer (id, age, job) VALUES ('c3', 20, 'admin')")
    bank.gate.source = DuckDBSource(path)
    for condition in (FilterCondition("age", "le", 20), FilterCondition("age", "ge", 60)):
        with pytest.raises(SourceUnavailableError, match="a customer has several rows"):
            read_rows(bank.gate, request(condition))
    bank.gate.source = source  # in which each has one
    assert read_rows(bank.gate, request(FilterCondition("age", "ge", 60))).authorised == 1


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


def test_a_database_that_is_down_is_answered_without_data() -> None:
    nowhere = "host=127.0.0.1 port=9 dbname=x connect_timeout=1"
    with pytest.raises(SourceUnavailableError, match="check that the database is up"):
        PostgresSource(nowhere)
    with pytest.raises(SourceUnavailableError):
        DuckDBSource(Path("nowhere.duckdb"))
    with pytest.raises(SourceUnavailableError):
        SQLiteSource(Path("nowhere.sqlite"))


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
    address = fresh(address)  # in which no other test has a connection
    fill(address)
    source = PostgresSource(address)
    with psycopg.connect(address, autocommit=True) as watching:
        before = settled(watching, most=1)  # its pool's
        for _ in range(5):
            read(source.rows(["c1"], ["name"]), 2)
        _, left = interface.batches(source.rows(["c1", "c2", "c3"], ["name"]), 1)
        next(left)
        assert others(watching) > before
        assert isinstance(left, Generator)
        left.close()
        assert settled(watching, most=before) == before == 1
    source.close()


def settled(watching: psycopg.Connection[Any], most: int) -> int:
    """How many other connections are left, once the server has noticed what was closed."""
    deadline = time.monotonic() + 180
    while (left := others(watching)) > most and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def others(watching: psycopg.Connection[Any]) -> int:
    found = watching.execute("""SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
        AND pid <> pg_backend_pid()""").fetchone()
    return int(found[0]) if found else 0


def read(rows: Any, size: int) -> list[int]:
    return [each.num_rows for each in interface.batches(rows, size)[1]]


def test_the_settings_name_the_source(address: str, tmp_path: Path) -> None:
    fill(address)
    named = open_source(Settings(data_dir=tmp_path, source=address), company.bank().source)
    assert isinstance(named, PostgresSource)
    assert named.count() == 3
    named.close()
    path = people(tmp_path / "others.duckdb")
    assert isinstance(open_source(Settings(source=str(path)), company.bank().source), DuckDBSource)
    assert "opensesame" not in repr(Settings(source="postgresql://u:opensesame@host/db"))


def test_a_column_of_a_file_has_its_own_name_also_if_it_is_a_word_of_sql(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("Id,name,Year,Two Words\nc1,Ada,1815,x\n", "utf-8")
    found = description.describe(str(tmp_path / "people.csv"), "customer")
    assert [each.name for each in found] == ["id", "name", "year", "two_words"]
    source = DuckDBSource(tmp_path / "people.csv")
    assert source.row("c1", ["name", "year"]) == {"name": "Ada", "year": 1815}
