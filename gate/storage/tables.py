"""The tables of a read log: those of a log, and its private index (gate.storage.membership)."""

from typing import NamedTuple

from sqlalchemy import Column, LargeBinary, MetaData, Table

from ledger.storage.database import Schema
from ledger.storage.log_rows import Number
from ledger.storage.sqlite import add_log_tables

LOG = "log.sqlite"  # in an instance's folder


class IndexTables(NamedTuple):
    """A pair of tables: pseudonyms in entry order, and sorted runs of them."""

    names: Table
    runs: Table


def _index(metadata: MetaData, names: str, runs: str) -> IndexTables:
    return IndexTables(
        Table(
            names,
            metadata,
            Column("bundle", Number, primary_key=True, autoincrement=False),
            Column("names", LargeBinary, nullable=False),
        ),
        Table(
            runs,
            metadata,
            Column("number", Number, primary_key=True, autoincrement=False),
            Column("heads", LargeBinary, nullable=False),
            Column("at", LargeBinary, nullable=False),
        ),
    )


_METADATA = MetaData()
add_log_tables(_METADATA)
HEAD, BUNDLE, TILE = (_METADATA.tables[name] for name in ("head", "bundle", "tile"))
ENTRIES = _index(_METADATA, "owner", "run")
MEMBERS = _index(_METADATA, "member", "member_run")
LISTS = Table(
    "list",
    _METADATA,
    Column("entry", Number, primary_key=True, autoincrement=False),
    Column("first", Number, nullable=False, unique=True),
    Column("data", LargeBinary, nullable=False),
)
SETS = Table(
    "answered",
    _METADATA,
    Column("entry", Number, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
)
DELIVERIES = Table(
    "delivery",
    _METADATA,
    Column("bundle", Number, primary_key=True, autoincrement=False),
    Column("marks", LargeBinary, nullable=False),
    Column("missed", LargeBinary, nullable=False),
)
# One instance for each run of a gate: `READS.named("reads-1a2b3c4d")`.
READS = Schema("reads", f"reads/{LOG}", _METADATA, "0003", "gate.storage.migrations.read_log")
