"""G103 over DuckDB: the same as over PostgreSQL, see tests/gate/test_postgres_values.py."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from gate.reads import filter as filters
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import UNREADABLE, SourceUnavailableError, one_by_one

NONE = {
    "a date without end": ("until", "'infinity'::DATE"),
    "a date before all": ("until", "'-infinity'::DATE"),
    "a date BC": ("until", "'0044-03-15 (BC)'::DATE"),
    "a date after 9999": ("until", "'10000-01-01'::DATE"),
    "a moment without end": ("born", "'infinity'::TIMESTAMP"),
    "a moment of a zone without end": ("seen", "'-infinity'::TIMESTAMPTZ"),
}
COLUMNS = ["until", "born", "seen", "score"]
KEYS = {
    "VARCHAR": "c{}",
    "BIGINT": "{}",
    "UUID": "00000000-0000-0000-0000-00000000000{}",
    "DECIMAL(9,0)": "{}",
}


def filled(folder: Path, key: str = "VARCHAR", **changed: str) -> DuckDBSource:
    """Customers 1 and 2 with good values, and 3 with the changed ones."""
    good = {
        "until": "DATE '2027-01-31'",
        "born": "TIMESTAMP '1980-12-31'",
        "seen": "TIMESTAMPTZ '2026-01-31 12:00+00'",
        "score": "0.5::DOUBLE",
    }
    path = folder / "people.duckdb"
    with duckdb.connect(path) as connection:
        for number in (1, 2, 3):
            row = good | (changed if number == 3 else {})
            values = ", ".join(f"{each} AS {name}" for name, each in row.items())
            one = f"SELECT '{KEYS[key].format(number)}'::{key} AS id, {values}"
            make = "INSERT INTO customer" if number > 1 else "CREATE TABLE customer AS"
            connection.execute(f"{make} {one}")
    return DuckDBSource(path)


@pytest.mark.parametrize("why", NONE)
def test_a_value_without_representation_withholds_itself_alone(why: str, tmp_path: Path) -> None:
    name, value = NONE[why]
    source = filled(tmp_path, **{name: value})
    row = source.row("c3", COLUMNS)
    assert row is not None
    assert [column for column, each in row.items() if each is UNREADABLE] == [name]
    table = source.everybody(["id", *COLUMNS]).to_pyarrow().to_pylist()
    assert [(r["id"], c) for r in table for c in COLUMNS if r[c] is None] == [("c3", name)]


def test_a_moment_with_a_zone_is_read_in_utc(tmp_path: Path) -> None:
    row = filled(tmp_path).row("c1", ["seen"])
    assert row == {"seen": datetime(2026, 1, 31, 12, tzinfo=UTC)}


@pytest.mark.parametrize("key", KEYS)
def test_customers_are_found_whatever_type_their_id_has(key: str, tmp_path: Path) -> None:
    source = filled(tmp_path, key)
    first = KEYS[key].format(1)
    assert source.row(first, ["score"]) == {"score": 0.5}
    assert source.rows([first, "nobody"], ["id"]).to_pyarrow()["id"].to_pylist() == [first]
    for other in ("nobody", "", "0" + first, " " + first):
        assert source.row(other, ["score"]) is None, other
        assert source.rows([other], ["id"]).to_pyarrow().num_rows == 0


def test_a_customer_with_two_rows_has_none_of_their_own(tmp_path: Path) -> None:
    source = filled(tmp_path)
    with duckdb.connect(tmp_path / "two.duckdb") as connection:
        connection.execute(
            "CREATE TABLE customer AS SELECT 'c1' AS id, i AS score FROM range(2) r(i)"
        )
    source = DuckDBSource(tmp_path / "two.duckdb")
    with pytest.raises(SourceUnavailableError, match="several rows"):
        source.row("c1", ["score"])


def test_a_nan_passes_no_filter(tmp_path: Path) -> None:
    table = filled(tmp_path, score="'nan'::DOUBLE").everybody(COLUMNS)
    comparisons: list[filters.Comparison] = ["gt", "ge", "ne"]
    for each in comparisons:
        kept = filters.keep(table, [("score", each, 0.1)], table.__getitem__)
        assert kept.count().to_pyarrow().as_py() == 2, each


@pytest.mark.parametrize("key", KEYS)
def test_one_query_for_several_customers_answers_as_one_for_each(key: str, tmp_path: Path) -> None:
    """G200."""
    name, value = NONE["a date without end"]
    source = filled(tmp_path, key, **{name: value})
    first = KEYS[key].format(1)
    ids = [*(KEYS[key].format(n) for n in (3, 1, 2)), "nobody", "", "0" + first, " " + first]
    alone = one_by_one(source.row, ids, ["score", name])
    assert len(alone) == 3
    assert alone[ids[0]][name] is UNREADABLE  # type: ignore[index] # it is a row
    for some in (ids, ids[:3], ids[1:], ids[3:]):
        wanted = {each: alone[each] for each in some if each in alone}
        assert source.each_row(some, ["score", name]) == wanted


def test_two_rows_of_one_customer_are_in_nobody_elses_way(tmp_path: Path) -> None:
    """G200."""
    with duckdb.connect(tmp_path / "two.duckdb") as connection:
        connection.execute(
            "CREATE TABLE customer AS"
            " SELECT 'c' || greatest(i, 1) AS id, i AS score FROM range(4) r(i)"
        )
    source = DuckDBSource(tmp_path / "two.duckdb")
    for some in (["c1", "c2", "c3"], ["c2", "c1", "nobody"]):
        found = {**source.each_row(some, ["score"])}
        assert isinstance(found.pop("c1"), SourceUnavailableError)
        assert found == {each: {"score": int(each[1:])} for each in some if each in {"c2", "c3"}}
