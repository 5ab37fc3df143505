"""Describes a table of customers: columns, types and constraints. Reads no value.

A CSV file has no types of its own: DuckDB looks at its rows to find them, and nothing of what it
saw is kept but the types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gate.reads.sources import check_constraint, sqlite
from gate.reads.sources.duckdb import TABLE_FILES, plain_names
from gate.reads.sources.interface import SourceUnavailableError

TYPES = {  # DuckDB's and PostgreSQL's types, by how they begin, as ODCS calls them
    "BIGINT": "integer",
    "HUGEINT": "integer",
    "INTEGER": "integer",
    "SMALLINT": "integer",
    "TINYINT": "integer",
    "UBIGINT": "integer",
    "UINTEGER": "integer",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "DECIMAL": "number",
    "DOUBLE": "number",
    "FLOAT": "number",
    "NUMERIC": "number",
    "REAL": "number",
}
_COLUMNS = """
SELECT column_name, data_type, udt_name, is_nullable = 'NO',
  col_description(to_regclass(quote_ident(table_name)), ordinal_position)
FROM information_schema.columns
WHERE table_name = %s AND table_schema = ANY (current_schemas(false)) ORDER BY ordinal_position
"""
_KEYS = """
SELECT a.attname FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = to_regclass(quote_ident(%s)) AND i.indisprimary
"""
_LABELS = """
SELECT e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
WHERE t.typname = %s ORDER BY e.enumsortorder
"""
_CHECKS = """
SELECT pg_get_expr(c.conbin, c.conrelid) FROM pg_constraint c
WHERE c.conrelid = to_regclass(quote_ident(%s)) AND c.contype = 'c'
"""
_SQLITE_STATEMENT = "SELECT sql FROM sqlite_schema WHERE name = ? AND type = 'table'"
_DUCKDB_CHECKS = """
SELECT expression FROM duckdb_constraints()
WHERE table_name = ? AND constraint_type = 'CHECK' AND expression IS NOT NULL
"""
_DUCKDB_KEYS = """
SELECT unnest(constraint_column_names) FROM duckdb_constraints()
WHERE table_name = ? AND constraint_type = 'PRIMARY KEY'
"""
_DUCKDB_COMMENTS = """
SELECT column_name, comment FROM duckdb_columns()
WHERE table_name = ? AND NOT internal AND comment IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class DescribedColumn:
    """`kind`: ODCS logicalType. `values`: of an enumeration or a check constraint, in order.
    `label`: the name as a file writes it. `comment`: as the database has it."""

    name: str
    kind: str
    required: bool = False
    key: bool = False
    values: tuple[str, ...] = ()
    label: str = ""
    comment: str = ""


def describe(place: str, table: str) -> list[DescribedColumn]:
    """The columns of a table in a CSV, Parquet, DuckDB or SQLite file, or at postgresql://….

    Raises SourceUnavailableError.
    """
    if "://" in place:
        columns = _postgres(place, table)
    else:
        path = Path(place)
        columns = _sqlite(path, table) if sqlite.is_sqlite(path) else _duckdb(path, table)
    if not columns:
        shown = "the database" if "://" in place else place  # an address may hold a password
        raise SourceUnavailableError(f"{shown} has no table {table!r}: name one with --table")
    return columns


def _duckdb(path: Path, table: str) -> list[DescribedColumn]:
    import duckdb

    if not path.is_file():
        raise SourceUnavailableError(
            f"no file {path}: {remedy(Path(path)) or 'check the path of the source'}"
        )
    read = TABLE_FILES.get(path.suffix)
    try:
        with duckdb.connect() if read else duckdb.connect(path, read_only=True) as connection:
            if read:
                return _of_file(connection, read, path)
            keys = {row[0] for row in connection.execute(_DUCKDB_KEYS, [table]).fetchall()}
            checks = connection.execute(_DUCKDB_CHECKS, [table]).fetchall()
            listed = check_constraint.allowed(row[0] for row in checks)
            name = table.replace('"', '""')
            rows = connection.execute(f'DESCRIBE "{name}"').fetchall()
            columns = [
                _column(name, kind, required=null == "NO", key={name} == keys)
                for name, kind, null, *_ in rows
            ]
            comments = dict(connection.execute(_DUCKDB_COMMENTS, [table]).fetchall())
            said = [replace(each, comment=comments.get(each.name, "")) for each in columns]
            return _with_values(said, listed)
    except duckdb.CatalogException:
        return []
    except duckdb.Error as error:
        why = _unreadable(path) if path.suffix == ".csv" else ""
        raise SourceUnavailableError(
            f"{path} cannot be read as a table of customers{why}"
        ) from error


def _unreadable(path: Path) -> str:
    """What is wrong with a CSV file, without its values."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return f": line {number} is not UTF-8; save the file as UTF-8"
    return ": want a line with the columns' names, then one line for each customer"


def _of_file(connection: Any, read: str, path: Path) -> list[DescribedColumn]:
    """The columns of a CSV or Parquet file, with the names that stand in it."""
    rows = connection.execute(f"DESCRIBE FROM {read}", [str(path)]).fetchall()
    as_written = read.replace("normalize_names = true", "normalize_names = false")
    written = connection.execute(f"DESCRIBE FROM {as_written}", [str(path)]).fetchall()
    plain = plain_names([name for name, *_ in rows])
    return [
        replace(_column(plain.get(name, name), kind, required=False), label=label)
        for (name, kind, *_), (label, *_) in zip(rows, written, strict=True)
    ]


def _sqlite(path: Path, table: str) -> list[DescribedColumn]:
    with sqlite.reading(path) as connection:
        name = table.replace('"', '""')
        rows = connection.execute(f'PRAGMA table_info("{name}")').fetchall()
        sql = connection.execute(_SQLITE_STATEMENT, [table]).fetchone()
    keys = {row[1] for row in rows if row[5]}
    listed = check_constraint.allowed(check_constraint.of_statement(str(sql[0])) if sql else ())
    columns = [
        _column(name, sqlite.kind(declared), required=bool(null), key={name} == keys)
        for _, name, declared, null, *_ in rows
    ]
    return _with_values(columns, listed)


def _with_values(
    columns: Sequence[DescribedColumn], listed: Mapping[str, tuple[str, ...]]
) -> list[DescribedColumn]:
    """The columns, with the values that check constraints allow."""
    return [
        replace(each, values=listed[each.name])
        if each.name in listed and each.kind == "string" and not each.values
        else each
        for each in columns
    ]


def _column(name: str, kind: str, *, required: bool, key: bool = False) -> DescribedColumn:
    if kind.startswith("ENUM("):
        values = [each.strip()[1:-1] for each in kind[5:-1].split(",")]
        return DescribedColumn(name, "string", required, key, tuple(values))
    return DescribedColumn(name, _logical(kind), required, key)


def _postgres(address: str, table: str) -> list[DescribedColumn]:
    import psycopg

    try:
        with psycopg.connect(address) as connection:
            connection.read_only = True

            def rows(query: str, asked: str) -> Sequence[Any]:
                return connection.execute(query.encode(), [asked]).fetchall()

            keys = {row[0] for row in rows(_KEYS, table)}
            listed = check_constraint.allowed(row[0] for row in rows(_CHECKS, table))
            columns = [
                DescribedColumn(
                    name,
                    _logical(kind.upper()),
                    required,
                    {name} == keys,
                    tuple(row[0] for row in rows(_LABELS, own)) if kind == "USER-DEFINED" else (),
                    comment=comment or "",
                )
                for name, kind, own, required, comment in rows(_COLUMNS, table)
            ]
            return _with_values(columns, listed)
    except psycopg.Error as error:
        raise SourceUnavailableError(
            f"the database does not answer ({type(error).__name__}): check --from"
        ) from error


def _logical(kind: str) -> str:
    return next((name for begin, name in TYPES.items() if kind.startswith(begin)), "string")


def remedy(absent: Path) -> str:
    """How to get a source's file that is missing; empty if its folder does not say how."""
    program = absent.parent / "generate.py"
    return f"run python {program}, which writes it" if program.is_file() else ""
