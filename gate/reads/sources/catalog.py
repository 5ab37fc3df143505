"""Reads a database's catalogue: its tables, their keys and what refers to what. Reads no row."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.reads.sources import sqlite
from gate.reads.sources.duckdb import TABLE_FILES
from gate.reads.sources.interface import SourceUnavailableError
from gate.reads.sources.related import quoted

_SQLITE_TABLES = """
SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%'
ESCAPE '\\' ORDER BY rowid
"""
_DUCKDB_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_catalog = current_database() AND table_schema = 'main' ORDER BY table_name
"""
_DUCKDB_KEYS = """
SELECT table_name, constraint_type = 'PRIMARY KEY', constraint_column_names
FROM duckdb_constraints() WHERE constraint_type IN ('PRIMARY KEY', 'UNIQUE')
"""
_DUCKDB_REFERENCES = """
SELECT table_name, constraint_column_names[1], referenced_table, referenced_column_names[1]
FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' AND len(constraint_column_names) = 1
"""
_POSTGRES_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (current_schemas(false)) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
AND NOT c.relispartition ORDER BY c.relname
"""
_POSTGRES_KEYS = """
SELECT c.relname, i.indisprimary, (
  SELECT array_agg(a.attname::text) FROM pg_attribute a
  WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey))
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (current_schemas(false)) AND i.indisunique AND i.indpred IS NULL
AND i.indexprs IS NULL
"""
_POSTGRES_REFERENCES = """
SELECT c.relname, a.attname, t.relname, b.attname FROM pg_constraint f
JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class t ON t.oid = f.confrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = f.confkey[1]
WHERE f.contype = 'f' AND cardinality(f.conkey) = 1 AND n.nspname = ANY (current_schemas(false))
"""


@dataclass(slots=True)
class TableKeys:
    """What a table declares. `primary`: its columns. `unique`: single columns, the primary key too.
    `references`: column -> (table, column) that it refers to."""

    primary: tuple[str, ...] = ()
    unique: set[str] = field(default_factory=set)
    references: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add_key(self, columns: Iterable[str], *, primary: bool) -> None:
        names = tuple(columns)
        if primary:
            self.primary = names
        if len(names) == 1:
            self.unique.add(names[0])


def tables(place: str) -> dict[str, TableKeys]:
    """Tables and views of a database by name; none for a CSV or Parquet file, which is one table.

    Raises SourceUnavailableError.
    """
    if "://" in place:
        return _postgres(place)
    path = Path(place)
    if path.suffix in TABLE_FILES or not path.is_file():
        return {}
    return _sqlite(path) if sqlite.is_sqlite(path) else _duckdb(path)


def _sqlite(path: Path) -> dict[str, TableKeys]:
    with sqlite.reading(path) as connection:
        names = [str(name) for (name,) in connection.execute(_SQLITE_TABLES).fetchall()]
        return {name: _of_sqlite(connection, name) for name in names}


def _of_sqlite(connection: sqlite3.Connection, table: str) -> TableKeys:
    def rows(what: str, of: str) -> list[Any]:
        return connection.execute(f"PRAGMA {what}({quoted(of)})").fetchall()

    found = TableKeys()
    found.add_key((row[1] for row in rows("table_info", table) if row[5]), primary=True)
    for _, index, unique, _, partial in rows("index_list", table):
        columns = [row[2] for row in rows("index_info", index)]
        if unique and not partial and None not in columns:  # None: of an expression
            found.add_key(columns, primary=False)
    referring = rows("foreign_key_list", table)
    composite = {row[0] for row in referring if row[1]}
    for number, _, target, column, to, *_ in referring:
        if number not in composite:
            found.references[column] = (target, to or _sqlite_key(rows("table_info", target)))
    return found


def _sqlite_key(columns: Iterable[Any]) -> str:
    """The primary key, which a reference without a column means."""
    return next((str(row[1]) for row in columns if row[5]), "")


def _duckdb(path: Path) -> dict[str, TableKeys]:
    import duckdb

    try:
        with duckdb.connect(path, read_only=True) as connection:
            return _assembled(
                [row[0] for row in connection.execute(_DUCKDB_TABLES).fetchall()],
                connection.execute(_DUCKDB_KEYS).fetchall(),
                connection.execute(_DUCKDB_REFERENCES).fetchall(),
            )
    except duckdb.Error as error:
        raise SourceUnavailableError(f"{path} cannot be read as a table of customers") from error


def _postgres(address: str) -> dict[str, TableKeys]:
    import psycopg

    try:
        with psycopg.connect(address) as connection:
            connection.read_only = True
            return _assembled(
                [row[0] for row in connection.execute(_POSTGRES_TABLES).fetchall()],
                connection.execute(_POSTGRES_KEYS).fetchall(),
                connection.execute(_POSTGRES_REFERENCES).fetchall(),
            )
    except psycopg.Error as error:
        raise SourceUnavailableError(
            f"the database does not answer ({type(error).__name__}): check --from"
        ) from error


def _assembled(
    names: Iterable[str], keys: Iterable[Any], references: Iterable[Any]
) -> dict[str, TableKeys]:
    found: Mapping[str, TableKeys] = {name: TableKeys() for name in names}
    for table, primary, columns in keys:
        if table in found:
            found[table].add_key(columns, primary=bool(primary))
    for table, column, target, to in references:
        if table in found:
            found[table].references[column] = (target, to)
    return dict(found)
