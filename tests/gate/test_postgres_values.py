"""G103: one value that PostgreSQL has and others cannot represent withholds that value alone."""

import ipaddress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gate.contracts.scene import Scene
from gate.contracts.source import Item
from gate.decision.decide import Reason, View
from gate.reads import filter as filters
from gate.reads.bulk.named import read_named
from gate.reads.bulk.named_request import NamedRequest
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows
from gate.reads.request import ReadRequest
from gate.reads.sources.interface import UNREADABLE, SourceUnavailableError, one_by_one
from gate.reads.sources.postgres import PostgresSource
from synthetic.model import counts
from tests.gate.scenes import SERVICE
from tests.gate.world import NOON, world
from tests.postgres import fresh

TYPES = {
    "age": "integer",
    "until": "date",
    "seen": "timestamptz",
    "born": "timestamp",
    "share": "numeric",
    "price": "numeric(12,2)",
    "score": "double precision",
    "paid": "money",
    "address": "inet",
    "device": "uuid",
    "more": "jsonb",
    "mood": "mood",
    "wait": "interval",
    "at_hour": "time",
    "label": "char(4)",
}
GOOD = {
    "age": "31",
    "until": "2027-01-31",
    "seen": "2026-01-31 12:00+00",
    "born": "1980-12-31 00:00",
    "share": "0.25",
    "price": "12.50",
    "score": "0.5",
    "paid": "1234.56",
    "address": "10.0.0.7/8",
    "device": "7b0a9f6e-3f0e-4a43-9e0a-d6b1a5f7c001",
    "more": '{"a": 1}',
    "mood": "good",
    "wait": "1 day",
    "at_hour": "24:00",
    "label": "ab",
}
NONE = {  # why a value has no representation -> column, value
    "a date without end": ("until", "infinity"),
    "a date before all": ("until", "-infinity"),
    "a date BC": ("until", "0044-03-15 BC"),
    "a date after 9999": ("until", "10000-01-01"),
    "a moment without end": ("seen", "infinity"),
    "a moment BC": ("seen", "0044-03-15 12:00 BC"),
    "a moment of no zone": ("born", "-infinity"),
    "a moment after 9999": ("born", "294000-01-01"),
    "NaN": ("share", "NaN"),
    "a number without end": ("share", "Infinity"),
    "more digits than a decimal has": ("share", "1e40"),
    "more decimals than a decimal has": ("share", "0.00000000001"),
    "NaN of two decimals": ("price", "NaN"),
}
KEYS = {"text": "c{}", "uuid": "00000000-0000-0000-0000-00000000000{}", "bigint": "{}"}


@pytest.fixture(scope="module")
def address(address: str) -> str:
    own = fresh(address)
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
    return own


def filled(address: str, key: str = "text", **changed: str) -> PostgresSource:
    """Customers 1 and 2 with good values, and 3 with the changed ones."""
    columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    rows = {n: GOOD if n < 3 else GOOD | changed for n in (1, 2, 3)}
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS customer")
        connection.execute(f"CREATE TABLE customer (id {key}, {columns})".encode())
        for number, row in rows.items():
            places = ", ".join(["%s"] * (1 + len(row)))
            values = [KEYS[key].format(number), *row.values()]
            connection.execute(f"INSERT INTO customer VALUES ({places})".encode(), values)
    return PostgresSource(address)


@pytest.mark.parametrize("why", NONE)
def test_a_value_without_representation_withholds_itself_alone(why: str, address: str) -> None:
    name, value = NONE[why]
    source = filled(address, **{name: value})
    row = source.row("c3", [*TYPES])
    assert row is not None
    assert [column for column, each in row.items() if each is UNREADABLE] == [name]
    table = source.everybody(["id", *TYPES]).to_pyarrow().to_pylist()
    nothing = [(each["id"], column) for each in table for column in TYPES if each[column] is None]
    assert nothing == [("c3", name)]


def test_every_type_is_read_as_what_it_is(address: str) -> None:
    source = filled(address)
    row: Any = source.row("c1", [*TYPES])
    assert (row["paid"], row["price"]) == (Decimal("1234.5600"), Decimal("12.50"))
    assert (row["address"], row["label"], row["mood"]) == ("10.0.0.7/8", "ab", "good")
    assert (row["device"], row["at_hour"]) == (GOOD["device"], "24:00:00")
    assert isinstance(ipaddress.ip_interface(row["address"]), ipaddress.IPv4Interface)
    table = source.rows(["c1"], [*TYPES]).to_pyarrow().to_pylist()[0]
    assert table["paid"] == row["paid"]
    assert (table["until"], table["seen"]) == (row["until"], row["seen"])


@pytest.mark.parametrize("key", KEYS)
def test_customers_are_found_whatever_type_their_id_has(key: str, address: str) -> None:
    source = filled(address, key)
    first, second = KEYS[key].format(1), KEYS[key].format(2)
    assert source.row(first, ["age"]) == {"age": 31}
    assert source.rows([first, second, "nobody"], ["id"]).to_pyarrow()["id"].to_pylist() == [
        first,
        second,
    ]
    for other in ("nobody", "", "0" + first, " " + first, "9" * 40, "a\0b", "\u0661"):
        assert source.row(other, ["age"]) is None, other
        assert source.rows([other.replace("\0", "")], ["id"]).to_pyarrow().num_rows == 0


def test_an_id_has_one_spelling(address: str) -> None:
    source = filled(address, "uuid")
    upper = "00000000-0000-0000-0000-00000000000A"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("UPDATE customer SET id = %s WHERE age = 31", [upper])
    assert source.row(upper, ["age"]) is None
    with pytest.raises(SourceUnavailableError, match="several rows"):
        source.row(upper.lower(), ["age"])


def test_options_of_the_address_are_kept(address: str) -> None:
    filled(address)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS elsewhere")
        connection.execute("DROP TABLE IF EXISTS elsewhere.customer")
        connection.execute("CREATE TABLE elsewhere.customer AS SELECT 'c1' AS id, 77 AS age")
    source = PostgresSource(make_conninfo(address, options="-c search_path=elsewhere"))
    assert source.row("c1", ["age"]) == {"age": 77}
    assert source.everybody(["age"]).to_pyarrow()["age"].to_pylist() == [77]


def test_a_table_that_is_not_there_is_named_at_the_start(address: str) -> None:
    with pytest.raises(SourceUnavailableError, match="no table 'nowhere'"):
        PostgresSource(address, table="nowhere")


def test_the_gate_withholds_the_value_and_says_why(address: str, tmp_path: Path) -> None:
    item = replace(SERVICE.fields["name"].item, name="until", type="date")
    scene = _offering(item)
    bank = world(tmp_path)
    bank.gate.scenes = {scene.id: scene}
    bank.gate.source = filled(address, until="infinity")
    good, bad = (
        bank.gate.read(ReadRequest("analytics", scene.id, who, ("until", "age"), NOON))
        for who in ("c1", "c3")
    )
    assert {*good.views.values()} == {View.PERSONAL}
    assert bad.views == {"until": View.WITHHELD, "age": View.PERSONAL}
    assert bad.values == {"until": None, "age": 31}
    assert (bad.decision.allowed, bad.decision.reason) == (False, Reason.SOURCE_UNAVAILABLE)
    rows = read_rows(bank.gate, TableRequest("analytics", scene.id, ("until", "age"), NOON))
    assert rows.table.num_rows == 3
    ids, fields = ("c3", "c1", "c\0", "c9"), ("until", "age")
    named = read_named(bank.gate, NamedRequest("analytics", scene.id, ids, fields, NOON))
    for row in named.table.to_pylist():
        alone = bank.gate.read(ReadRequest("analytics", scene.id, row["customer"], fields, NOON))
        assert {name: row[name] for name in fields} == dict(alone.values)
        assert {name: row[f"{name}.view"] for name in fields} == dict(alone.views)
        assert row["customer.reason"] == alone.decision.reason


def _offering(item: Item) -> Scene:
    name = SERVICE.fields["name"]
    age = replace(name, item=replace(item, name="age", type="integer"))
    fields = {"until": replace(name, item=item), "age": age}
    return replace(SERVICE, fields=fields)


def test_a_nan_is_missing_in_filters_and_counts(address: str) -> None:
    source = filled(address, score="NaN", share="NaN")
    table = source.everybody([*TYPES])
    found = table.aggregate(
        score=counts.missing(table.score).sum(), share=counts.missing(table.share).sum()
    )
    assert found.to_pyarrow().to_pylist() == [{"score": 1, "share": 1}]
    comparisons: list[filters.Comparison] = ["gt", "ge", "ne"]
    for each in comparisons:
        kept = filters.keep(table, [("score", each, 0.1)], table.__getitem__)
        assert kept.count().to_pyarrow().as_py() == 2, each


@pytest.mark.parametrize("key", KEYS)
def test_one_query_for_several_customers_answers_as_one_for_each(key: str, address: str) -> None:
    """G200."""
    name, value = NONE["a date without end"]
    source = filled(address, key, **{name: value})
    first = KEYS[key].format(1)
    ids = [
        *(KEYS[key].format(n) for n in (3, 1, 2)),
        "nobody",
        "",
        "0" + first,
        " " + first,
        "9" * 40,
        "a\0b",
    ]
    alone = one_by_one(source.row, ids, ["age", name])
    assert len(alone) == 3
    assert alone[ids[0]][name] is UNREADABLE  # type: ignore[index] # it is a row
    for some in (ids, ids[:3], ids[1:], ids[3:]):
        wanted = {each: alone[each] for each in some if each in alone}
        assert source.each_row(some, ["age", name]) == wanted


def test_two_rows_of_one_customer_are_in_nobody_elses_way(address: str) -> None:
    """G200."""
    source = filled(address)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("UPDATE customer SET id = 'c1' WHERE id = 'c3'")
    for some in (["c1", "c2"], ["c2", "nobody", "c1", "c4", "c5"]):
        found = {**source.each_row(some, ["age"])}
        assert isinstance(found.pop("c1"), SourceUnavailableError)
        assert found == {"c2": {"age": 31}}
