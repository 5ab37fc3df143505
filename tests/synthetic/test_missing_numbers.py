"""S65, S66: NaN is missing, infinity outside the domain, and a customer counts once."""

import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from portal.commands import app
from synthetic.fitting.release import Release
from synthetic.model import counts
from synthetic.model.domain import Categories, Domain, Numbers
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT

SCENE = SCENES_FOLDER / "segmentation.odcs.yaml"
SOURCE = SOURCE_CONTRACT
DOMAIN = Domain(
    {
        "balance": Numbers(0, 100, (10, 50), nullable=True),
        "job": Categories(("admin", "other"), "other"),
    }
)
LACKING = {  # how a missing number is written, in which type
    "NaN in a DOUBLE": "'nan'::DOUBLE",
    "NaN in a FLOAT": "'nan'::FLOAT",
    "NULL in a DOUBLE": "NULL::DOUBLE",
    "nan in a text": "'nan'",
    "NaN in a text": "'NaN'",
    "-nan in a number": "'-nan'::DOUBLE",
}


@pytest.mark.parametrize("why", LACKING)
def test_what_is_no_number_is_missing(why: str) -> None:
    number, _ = counted(LACKING[why])
    assert number == [0, 0, 0, 1]


BEYOND = {"'inf'::DOUBLE": 2, "'-inf'::DOUBLE": 0, "'Infinity'": 2, "'-inf'": 0}


@pytest.mark.parametrize("written", BEYOND)
def test_infinity_is_outside_the_domain_and_in_the_nearest_bin(written: str) -> None:
    number, unknown = counted(written)
    assert number == [int(place == BEYOND[written]) for place in range(4)]
    assert unknown == 1


def counted(value: str) -> tuple[list[int], int]:
    """The marginal over one balance, and how many values are outside the domain."""
    import ibis

    connection = ibis.duckdb.connect()
    connection.raw_sql(f"CREATE TABLE t AS SELECT {value} AS balance, 'admin' AS job")
    table = connection.table("t")
    marginal = counts.count(table, DOMAIN, [("balance",)])["balance",]
    return marginal.tolist(), counts.unknown(table, DOMAIN)["balance"]


def test_nan_where_nothing_may_be_missing_is_outside_the_domain() -> None:
    import ibis

    strict = Domain({"balance": Numbers(0, 100, (10, 50)), "job": DOMAIN["job"]})
    connection = ibis.duckdb.connect()
    connection.raw_sql("CREATE TABLE t AS SELECT 'nan'::DOUBLE AS balance, 'admin' AS job")
    table = connection.table("t")
    assert counts.unknown(table, strict)["balance"] == 1
    assert counts.count(table, strict, [("balance",)])["balance",].tolist() == [1, 0, 0]


COLUMNS = (
    "'c' || (i % {customers}) AS id, 30 + i % 9 AS age, 'technician' AS job, 'single' AS marital,"
    " 'primary' AS education, {balance} AS balance, 'no' AS housing, 'no' AS loan,"
    " 'cellular' AS contact, 'may' AS month, 'unknown' AS poutcome, 'no' AS y"
)


def fit(
    folder: Path, *options: str, ending: str, balance: str, customers: int, count: int = 4000
) -> Result:
    rows = folder / f"rows.{ending}"
    columns = COLUMNS.format(balance=balance, customers=customers)
    duckdb.execute(f"COPY (SELECT {columns} FROM range({count}) r(i)) TO '{rows}'")
    asked = ["--rows", rows, "--scene", SCENE, "--source", SOURCE, "--to", folder / "o.json"]
    return CliRunner().invoke(app, ["synth", "fit", *map(str, asked), *options])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_half_a_column_of_nan_makes_nobody_rich(ending: str, tmp_path: Path) -> None:
    done = fit(
        tmp_path,
        ending=ending,
        balance="CASE WHEN i % 2 = 0 THEN 'nan'::DOUBLE ELSE 700 END",
        customers=40_000,  # with a tenth of them the noise alone makes up to one in a hundred rich
        count=40_000,
    )
    assert done.exit_code == 0, done.output
    release = Release.from_body(json.loads((tmp_path / "o.json").read_text("utf-8")))
    drawn = release.sample(2_000, ["balance"])["balance"].to_pylist()
    assert sum(each > 20_000 for each in drawn) < 20


@pytest.mark.parametrize("options", [(), ("--customer", "id")])
def test_a_customer_with_several_rows_counts_once(options: tuple[str, ...], tmp_path: Path) -> None:
    done = fit(tmp_path, *options, ending="parquet", balance="700", customers=1000)
    assert done.exit_code == 0, done.output
    assert "one customer with all their rows (at most 1)" in done.output
    assert release_rows(tmp_path) == pytest.approx(1000, abs=120)


def test_rows_without_a_customer_are_said_to_count_one_each(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    columns = COLUMNS.format(balance="700", customers=1000)
    duckdb.execute(
        f"COPY (SELECT * EXCLUDE id FROM (SELECT {columns} FROM range(400) r(i))) TO '{rows}'"
    )
    asked = ["--rows", rows, "--scene", SCENE, "--source", SOURCE, "--to", tmp_path / "o.json"]
    done = CliRunner().invoke(app, ["synth", "fit", *map(str, asked)])
    assert done.exit_code == 0, done.output
    assert "each row counts as a customer of its own" in done.output


def release_rows(folder: Path) -> int:
    return Release.from_body(json.loads((folder / "o.json").read_text("utf-8"))).rows
