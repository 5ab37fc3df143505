"""Writes the demonstration's table `delivery`: when each system last delivered data.

    system        as_of                 arrived
    core-banking  2026-11-21 05:40:00   2026-11-21 06:00:00     UTC

Generated: every system delivers just before the table is built, so a demonstration that runs for
days shows how contracts are missed.
"""

from datetime import datetime, timedelta
from pathlib import Path

from gate.contracts.source import SourceContract

ON_THE_WAY = timedelta(minutes=20)


def record(database: Path, source: SourceContract, at: datetime) -> None:
    """Write the table into the DuckDB file `database`, replacing an earlier one."""
    import duckdb

    with duckdb.connect(database) as connection:
        connection.execute(
            "CREATE OR REPLACE TABLE delivery"
            " (system VARCHAR, as_of TIMESTAMPTZ, arrived TIMESTAMPTZ)"
        )
        rows = [[system, at - ON_THE_WAY, at] for system in source.systems]
        connection.executemany("INSERT INTO delivery VALUES (?, ?, ?)", rows)
