"""Makes a telecom company like examples/telco, whose customers are in the CRM's database."""

import runpy
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

from examples.crm import database

TELCO = Path(__file__).parents[1] / "telco"
TABLES = {"subscriber": "customerid", "contact": "subscriber", "care": "subscriber"}
TABLES |= {"engagement": "subscriber", "event": "customerid"}
KINDS = {"VARCHAR": "TEXT", "BIGINT": "INTEGER", "DOUBLE": "REAL", "BOOLEAN": "BOOLEAN"}


def make(folder: Path, customers: int) -> Path:
    """The company's folder in `folder`, and `crm.sqlite` beside it with its first customers."""
    company = folder / "company"
    shutil.copytree(TELCO, company, ignore=shutil.ignore_patterns("*.duckdb*"))
    rows = folder / "generated.duckdb"
    runpy.run_path(str(TELCO / "generate.py"))["main"](rows)
    with (
        duckdb.connect(rows, read_only=True) as source,
        closing(sqlite3.connect(folder / database.FILE)) as target,
    ):
        for table, key in TABLES.items():
            _copy(source, target, table, key, customers)
        target.commit()
    rows.unlink()
    database.prepare(folder)
    declared = company / "company.toml"
    text = declared.read_text("utf-8")
    declared.write_text(
        text.replace('source = "customers.duckdb"', f'source = "../{database.FILE}"'), "utf-8"
    )
    return company


def ids(folder: Path) -> list[str]:
    """The company's customers, in order."""
    with database.reading(folder) as connection:
        rows = connection.execute("SELECT customerid FROM subscriber ORDER BY customerid")
        return [each["customerid"] for each in rows]


def _copy(
    source: duckdb.DuckDBPyConnection,
    target: sqlite3.Connection,
    table: str,
    key: str,
    customers: int,
) -> None:
    columns = source.execute(f"DESCRIBE {table}").fetchall()
    declared = ", ".join(f"{name} {KINDS.get(kind, kind)}" for name, kind, *_ in columns)
    target.execute(f"CREATE TABLE {table} ({declared})")
    target.execute(f"CREATE INDEX {table}_of ON {table} ({key})")
    known = "SELECT customerid FROM subscriber ORDER BY customerid LIMIT ?"
    rows = source.execute(f"FROM {table} WHERE {key} IN ({known})", [customers]).fetchall()
    places = ", ".join("?" * len(columns))
    target.executemany(f"INSERT INTO {table} VALUES ({places})", [[*map(_plain, r)] for r in rows])  # noqa: S608


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else str(value)
