"""Data directories whose stores are files, and such whose stores are in PostgreSQL."""

import json
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from ledger.storage.database import REMEMBERED, postgres_engine

# For a test in which the database makes no difference.
in_files = pytest.mark.parametrize("home", ["sqlite"], indirect=True)

_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'"


def in_postgres(home: Path, address: str) -> None:
    """Let the data directory have its tables in PostgreSQL, where there are none yet."""
    engine = postgres_engine(make_url(address).set(drivername="postgresql+psycopg"), "public")
    with engine.begin() as connection:
        for (schema,) in connection.execute(text(_SCHEMAS)).all():
            connection.execute(text(f'DROP SCHEMA "{schema}" CASCADE'))
    engine.dispose()
    (home / REMEMBERED).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / REMEMBERED).write_text(json.dumps({"database": address, "vault": ""}))
