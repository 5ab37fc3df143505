"""`sovereign init` and `check` over SQLite; tests/adopt/test_telco_company.py serves from it."""

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gate.contracts import company as loaded
from portal.commands import app
from synthetic.model.domain import Categories

TELCO = Path(__file__).parents[2] / "examples" / "telco"
TABLE = "Subscribers 2026"
COLUMNS = (
    "nr INTEGER PRIMARY KEY, contract TEXT CHECK (contract IN ({})), tenure INTEGER, paid REAL"
)
CONTRACTS = ("Month-to-month", "One year", "Two year")


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """A folder for a table of SQLite with a name of its own, and numbers as keys."""
    made, rows = tmp_path / "company", tmp_path / "customers.sqlite"
    with (TELCO / "customers.csv").open(encoding="utf-8", newline="") as file:
        read = [each for _, each in zip(range(300), csv.DictReader(file), strict=False)]
    with closing(sqlite3.connect(rows)) as connection, connection:
        listed = ", ".join(f"'{each}'" for each in CONTRACTS)
        connection.execute(f'CREATE TABLE "{TABLE}" ({COLUMNS.format(listed)})')
        connection.executemany(
            f'INSERT INTO "{TABLE}" VALUES (?, ?, ?, ?)',
            [
                (n, each["Contract"], each["tenure"], each["MonthlyCharges"])
                for n, each in enumerate(read, 1)
            ],
        )
    words = ["--from", str(rows), "--table", TABLE, "--origin", "small.example/consent"]
    ran("init", made, *words)
    return made


def ran(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def test_c7_a_table_of_any_name_with_numbers_as_keys_is_proposed_and_checked(
    company: Path,
) -> None:
    read = loaded.load(company)
    assert (read.source.table, read.source.key) == (TABLE, "nr")
    assert read.source.items["contract"].domain == Categories(CONTRACTS, CONTRACTS[-1])
    assert "no fault" in ran("check", company)
    # C6: a column that the table does not have is named with those that it has.
    contract = next((company / "sources").glob("*"))
    text = contract.read_text("utf-8")
    contract.write_text(text.replace("- name: nr\n", "- name: number\n"), "utf-8")
    wrong = CliRunner().invoke(app, ["check", str(company)])
    assert (wrong.exit_code, "'number', want contract, nr" in wrong.output) == (1, True)


def test_c6_check_counts_what_the_contract_does_not_allow(tmp_path: Path) -> None:
    rows = tmp_path / "customers.sqlite"
    with closing(sqlite3.connect(rows)) as connection, connection:
        connection.execute("CREATE TABLE customer (id TEXT, plan TEXT, tenure INTEGER NOT NULL)")
    company = tmp_path / "company"
    book = tmp_path / "book.json"
    book.write_text('{"plan": {"kind": "categories", "values": ["a", "b"], "other": "b"}}')
    words = ["--from", str(rows), "--codebook", str(book), "--origin", "tiny.example/consent"]
    ran("init", company, *words)
    assert "has no rows" in CliRunner().invoke(app, ["check", str(company)]).output
    with closing(sqlite3.connect(rows)) as connection, connection:
        connection.execute("INSERT INTO customer VALUES ('c1', 'a', 1), ('c1', 'z', 1)")
        connection.execute("INSERT INTO customer VALUES (NULL, 'a', 'long')")
    wrong = CliRunner().invoke(app, ["check", str(company)])
    assert wrong.exit_code == 1
    assert "id: key: wanted unique, never null, found 1 surplus rows, 1 without id" in wrong.output
    assert "tenure: nulls" in wrong.output
    assert "note: plan: 1 values are outside its domain" in wrong.output
