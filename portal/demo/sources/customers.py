"""Builds the demonstration's table `customer`: 17 real columns and generated contact items.

    id      age  job         …  y    name          email                       phone
    c00001  58   management  …  no   Clara Whitby  clara.whitby.1@mail.example +44 7700 900417

Generated items belong to nobody: addresses end in example domains (RFC 2606), telephone numbers
lie in ranges reserved for fiction (Ofcom's +44 7700 900000-900999, the North American
555-0100-0199), IP ranges in the networks of RFC 5737. The same seed makes the same table: every
choice is `md5(seed/item/row)` reduced to the size of a list, so no library's generator is involved.
"""

import json
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

SEED = 2026

COLUMNS = {  # of the published file, with the types they are read as
    "age": "INTEGER",
    "job": "VARCHAR",
    "marital": "VARCHAR",
    "education": "VARCHAR",
    "default": "VARCHAR",
    "balance": "INTEGER",
    "housing": "VARCHAR",
    "loan": "VARCHAR",
    "contact": "VARCHAR",
    "day": "INTEGER",
    "month": "VARCHAR",
    "duration": "INTEGER",
    "campaign": "INTEGER",
    "pdays": "INTEGER",
    "previous": "INTEGER",
    "poutcome": "VARCHAR",
    "y": "VARCHAR",
}

AREAS = 24  # LX01 … LX24, invented


def build(database: Path, *, seed: int = SEED) -> int:
    """Create or replace table `customer` in a DuckDB file; returns the number of rows."""
    import duckdb

    with duckdb.connect(database) as connection:
        return load(connection, seed=seed)


def load(connection: Any, *, seed: int = SEED) -> int:
    """Create or replace table `customer` in a DuckDB connection; returns the number of rows."""
    query = (files(__package__) / "customers.sql").read_text("utf-8")
    names = json.loads((files(__package__) / "names.json").read_text("utf-8"))
    with bundled() as path:
        facts = {"path": str(path), "columns": COLUMNS, "seed": seed, "areas": AREAS}
        connection.execute(query, facts | names)
    rows: int = connection.execute("SELECT count(*) FROM customer").fetchall()[0][0]
    return rows


def bundled() -> AbstractContextManager[Path]:
    """The published file, as a path that exists while the context lasts."""
    return as_file(files(__package__) / "bank.csv.gz")
