"""Checks a DuckDB file that is a source of personal rows."""

from pathlib import Path

import duckdb


def damage(path: Path) -> str | None:
    """What is wrong with the file, or None. Changes nothing.

    Reads every column of every table: DuckDB checks the sums of the blocks that it reads. Raises
    duckdb.ConnectionException if another process has the file.
    """
    try:
        with duckdb.connect(path, read_only=True) as database:
            for (table,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                quoted = '"' + table.replace('"', '""') + '"'
                database.execute(f"SELECT bit_xor(hash(rows)) FROM {quoted} AS rows").fetchall()  # noqa: S608 - quoted
    except duckdb.ConnectionException:
        raise
    except duckdb.Error as error:
        return f"it cannot be read ({type(error).__name__})"
    return None
