"""G105 to G107 of specs/gate.md: related tables, keys of every type, and SQLite, on each engine."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from gate.contracts.odcs import ContractError
from gate.contracts.source import RelatedTable, load_source
from gate.reads.sources import check_constraint, description
from gate.reads.sources import sqlite as sqlite_source
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import SourceUnavailableError
from gate.reads.sources.postgres import PostgresSource
from gate.reads.sources.sqlite import SQLiteSource
from tests.bank import BANK
from tests.postgres import fresh

UUIDS = ["6f2c1b1e-0000-4000-8000-000000000001", "6f2c1b1e-0000-4000-8000-000000000002"]
KEYS = {  # type -> two ids as they are written, and other spellings that are nobody's
    "text": (["c1", "C1"], ["c2", "", "c1 "]),
    "integer": (["7", "10"], ["07", "7.0", "x", "9" * 30]),
    "uuid": (UUIDS, [UUIDS[0].upper(), f"{{{UUIDS[0]}}}", "x"]),
}
TABLE, USAGE = 'sub"scribers', "usage per month"
RELATED = RelatedTable(USAGE, "owner", ("minutes", "plan"))
Make = Callable[..., Any]


def statements(kind: str, ids: list[str], usage: list[str]) -> list[str]:
    """A table with two customers and a column that the further table hides, and that table."""
    name, declared = TABLE.replace('"', '""'), "text" if kind == "uuid?" else kind
    return [
        f'CREATE TABLE "{name}" (nr {declared}, tenure integer, plan text)',
        *(f"INSERT INTO \"{name}\" VALUES ('{each}', {n}, 'old')" for n, each in enumerate(ids)),
        f'CREATE TABLE "{USAGE}" (owner {declared}, minutes integer, plan text)',
        *(f"INSERT INTO \"{USAGE}\" VALUES ({each}, 90, 'basic')" for each in usage),
    ]


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Runs statements in a new database and opens it as a source."""
    opened: list[Any] = []

    def made(sql: list[str], related: tuple[RelatedTable, ...] = (RELATED,)) -> Any:
        if request.param == "postgres":
            address = fresh(request.getfixturevalue("address"))
            with psycopg.connect(address) as server:
                for each in sql:
                    server.execute(each.encode())
            opened.append(PostgresSource(address, TABLE, "nr", related))
            return opened[-1]
        path = tmp_path / "rows"
        if request.param == "duckdb":
            with duckdb.connect(path) as database:
                for each in sql:
                    database.execute(each)
            return DuckDBSource(path, TABLE, "nr", related)
        with closing(sqlite3.connect(path)) as connection, connection:
            for each in sql:
                connection.execute(each)
        return SQLiteSource(path, TABLE, "nr", related)

    yield made
    for each in opened:
        each.close()


def listed(rows: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.to_pyarrow().to_pylist()
    return sorted(found, key=str)


@pytest.mark.parametrize("kind", KEYS)
def test_g105_point_rows_and_table_read_related_items_by_keys_of_every_type(
    make: Make, kind: str
) -> None:
    (one, other), nobodys = KEYS[kind]
    source = make(statements(kind, [one, other], [f"'{one}'"]))
    assert source.row(one, ["tenure", "minutes", "plan"]) == {
        "tenure": 0,
        "minutes": 90,
        "plan": "basic",
    }
    assert source.row(other, ["tenure", "minutes"]) == {"tenure": 1, "minutes": None}
    for each in nobodys:
        assert source.row(each, ["minutes"]) is None, each
    names = ["nr", "minutes", "plan"]
    first, second = (
        {"nr": one, "minutes": 90, "plan": "basic"},
        {"nr": other, "minutes": None, "plan": None},
    )
    assert listed(source.everybody(names)) == sorted([first, second], key=str)
    assert listed(source.rows([one, *nobodys], names)) == [first]
    assert source.count() == 2
    assert source.open(USAGE).count().to_pyarrow().as_py() == 1
    assert source.open("none") is None


UNSOUND = {
    "a customer twice": (["'7'", "'7'"], "0 rows without a customer and 1 beyond"),
    "no customer": (["'7'", "NULL"], "1 rows without a customer and 0 beyond"),
}


@pytest.mark.parametrize("why", UNSOUND)
def test_g106_a_related_table_with_two_rows_of_a_customer_is_refused(make: Make, why: str) -> None:
    usage, found = UNSOUND[why]
    with pytest.raises(SourceUnavailableError, match=found):
        make(statements("integer", ["7", "10"], usage))


def test_g106_a_related_column_that_does_not_exist_is_refused(make: Make) -> None:
    with pytest.raises(SourceUnavailableError, match="has no column calls"):
        make(
            statements("integer", ["7"], []),
            (RelatedTable(USAGE, "owner", ("minutes", "calls")),),
        )


CUSTOM = """\
        customProperties:
          - {property: title, value: {en: Minutes, zh-CN: 分钟}}
          - {property: system, value: crm}
          - {property: producer, value: switch}
          - {property: update, value: daily}
          - {property: legalBasis, value: contract}
"""
FURTHER = f"""\
  - name: usage
    logicalType: object
    properties:
      - {{name: owner, logicalType: string, primaryKey: true}}
      - name: minutes
        logicalType: integer
        transformSourceObjects: [usage.calls]
{CUSTOM}\
      - name: calls
        logicalType: integer
{CUSTOM}"""
PLACE = "slaProperties:\n"
WRONG = {
    "no key": ((", primaryKey: true", ""), "usage has no primaryKey"),
    "the name of the first": (("name: usage", "name: customer"), "declared twice"),
    "an item of the first": (("name: calls", "name: age"), "is declared twice"),
    "a computed item": (
        ("producer, value: switch", "provided, value: true"),
        "is computed|producer",
    ),
}


def with_usage(folder: Path, further: str = FURTHER) -> Path:
    text = (BANK / "sources" / "customer.odcs.yaml").read_text("utf-8")
    level = '  - {property: frequency, value: 2, unit: d, element: "usage"}\n'
    path = folder / "customer.odcs.yaml"
    path.write_text(text.replace(PLACE, further + PLACE + level, 1), "utf-8")
    return path


def test_g105_a_source_contract_declares_further_tables(tmp_path: Path) -> None:
    read = load_source(with_usage(tmp_path))
    assert (read.table, read.related) == (
        "customer",
        (RelatedTable("usage", "owner", ("minutes", "calls")),),
    )
    assert read.items["minutes"].lineage == ("calls",)
    assert read.items["calls"].frequency == timedelta(days=2)
    assert read.items["age"].frequency == timedelta(days=7)


@pytest.mark.parametrize("why", WRONG)
def test_g105_a_further_table_that_is_not_understood_is_refused(why: str, tmp_path: Path) -> None:
    (old, new), found = WRONG[why]
    with pytest.raises(ContractError, match=found):
        load_source(with_usage(tmp_path, FURTHER.replace(old, new)))


def sqlite(path: Path, *sql: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        for each in sql:
            connection.execute(each)
    return path


def test_g107_sqlite_values_keep_their_type_and_others_are_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = sqlite(
        tmp_path / "rows.db",
        "CREATE TABLE customer (id TEXT, n INTEGER, x REAL, ok BOOLEAN, day DATE, at DATETIME, t)",
        "INSERT INTO customer VALUES ('c1', 5, 0.1, 1, '2026-02-28', '2026-02-28 10:00:00', 'a')",
        "INSERT INTO customer VALUES ('c2', 5.5, 'much', 2, '2026-02-30', 'soon', x'00')",
        "INSERT INTO customer VALUES ('c3', '', '', '', '', '', '')",
    )
    source = SQLiteSource(path)
    names = ["n", "x", "ok", "day", "at"]
    row = source.row("c1", names)
    assert row is not None
    assert [str(row[name]) for name in names] == [
        "5",
        "0.1",
        "True",
        "2026-02-28",
        "2026-02-28 10:00:00",
    ]
    for nobody in ("c2", "c3"):
        assert source.row(nobody, names) == dict.fromkeys(names)
    assert "1 values of customer.n are none of its type" in caplog.text
    assert "much" not in caplog.text


def test_g107_what_another_program_writes_is_read_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sqlite(tmp_path / "rows.db", "CREATE TABLE customer (id TEXT, n INTEGER)")
    source = SQLiteSource(path)
    assert source.row("c1", ["n"]) is None
    before = source.everybody(["n"])
    sqlite(path, "INSERT INTO customer VALUES ('c1', 5)")
    assert source.row("c1", ["n"]) is None
    monkeypatch.setattr(sqlite_source, "REFRESH_S", 0.0)
    assert source.row("c1", ["n"]) == {"n": 5}
    assert source.count() == 1
    assert listed(before) == []


def test_g107_no_sqlite_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    path.write_bytes(b"SQLite format 3\0 and then nothing of the kind")
    with pytest.raises(SourceUnavailableError, match="check that it is a SQLite file"):
        SQLiteSource(path)


CHECKS = {
    "plan IN ('basic', 'plus')": {"plan": ("basic", "plus")},
    "((plan = ANY (ARRAY['it''s'::text, 'b, c'::text])))": {"plan": ("it's", "b, c")},
    "((plan)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))": {
        "plan": ("a", "b")
    },
    "(\"plan\" IN ('a'))": {"plan": ("a",)},
    "plan NOT IN ('a', 'b')": {},
    "plan IN ('a') OR tenure > 3": {},
    "tenure > 3": {},
}


@pytest.mark.parametrize("constraint", CHECKS)
def test_a_check_constraint_gives_the_values_it_allows(constraint: str) -> None:
    assert check_constraint.allowed([constraint]) == CHECKS[constraint]


DECLARED = (
    "CREATE TABLE clients (nr INTEGER PRIMARY KEY, plan TEXT NOT NULL"
    " CHECK (plan IN ('basic', 'plus (new)')), fee NUMERIC(8, 2), since DATE)"
)


def test_c7_types_keys_and_allowed_values_are_read_from_every_engine(
    tmp_path: Path, address: str
) -> None:
    lite, duck, server = tmp_path / "rows.db", tmp_path / "rows.duckdb", fresh(address)
    sqlite(lite, DECLARED)
    with duckdb.connect(duck) as database:
        database.execute(DECLARED)
    with psycopg.connect(server) as connection:
        connection.execute(DECLARED.encode())
    wanted = [
        ("nr", "integer", True, ()),
        ("plan", "string", False, ("basic", "plus (new)")),
        ("fee", "number", False, ()),
        ("since", "date", False, ()),
    ]
    for place in (str(lite), str(duck), server):
        found = description.describe(place, "clients")
        assert [(c.name, c.kind, c.key, c.values) for c in found] == wanted
        assert found[1].required
