"""The CRM's own SQLite file. The gate reads four tables of it as the company's source.

subscriber contact care engagement   what the gate reads: examples/telco/sources
delivery worked                      which webhooks were accepted, which were worked on
contact_write conflict               every value that was written to a contact item, by version
support_case outbox                  complaints, and the letters that a person approved
lead feed                            scores, and how far the gate's changes were followed
conversation agent_call              what agents answered, and every call that they made for it
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

FILE = "crm.sqlite"
WAIT_S = 30.0  # for another writer
_TABLES = """
CREATE TABLE IF NOT EXISTS delivery (id TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS worked (id TEXT PRIMARY KEY, fault TEXT) STRICT;
CREATE TABLE IF NOT EXISTS contact_write (
    customer TEXT NOT NULL, item TEXT NOT NULL, version INTEGER NOT NULL, system TEXT NOT NULL,
    value TEXT NOT NULL, seen INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (customer, item, version)) STRICT;
CREATE TABLE IF NOT EXISTS conflict (
    customer TEXT NOT NULL, item TEXT NOT NULL, version INTEGER NOT NULL, winner INTEGER,
    PRIMARY KEY (customer, item, version)) STRICT;
CREATE TABLE IF NOT EXISTS support_case (
    event TEXT PRIMARY KEY, customer TEXT NOT NULL, mood INTEGER NOT NULL, operation TEXT,
    draft TEXT, proposal INTEGER, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
    proposal INTEGER PRIMARY KEY, customer TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS lead (
    customer TEXT PRIMARY KEY, score REAL NOT NULL, confidence REAL NOT NULL, used TEXT NOT NULL,
    missing TEXT NOT NULL, decision INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS conversation (
    event TEXT PRIMARY KEY, customer TEXT NOT NULL, role TEXT NOT NULL, state TEXT NOT NULL,
    text TEXT, proposal INTEGER, decision INTEGER, model TEXT, tokens INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS agent_call (
    event TEXT NOT NULL, number INTEGER NOT NULL, tool TEXT NOT NULL, arguments TEXT NOT NULL,
    refused TEXT, entry INTEGER, PRIMARY KEY (event, number)) STRICT;
CREATE TABLE IF NOT EXISTS feed (only INTEGER PRIMARY KEY CHECK (only = 1), token TEXT) STRICT;
"""


def prepare(folder: Path) -> None:
    """Make the CRM's own tables where they are missing."""
    with writing(folder) as connection:
        connection.executescript(_TABLES)


@contextmanager
def writing(folder: Path) -> Iterator[sqlite3.Connection]:
    """One transaction: all of it is durable when it ends, or nothing after an error."""
    connection = sqlite3.connect(folder / FILE, timeout=WAIT_S, isolation_level=None)
    with closing(connection):
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Read-only: rows by the names of their columns."""
    place = f"{(folder / FILE).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(place, uri=True, timeout=WAIT_S)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection
