"""The tables of the feed of changes: what services received, and what they must forget or refresh.

    home/changes.sqlite    SQLite; in PostgreSQL the schema changes

    position   one row: how far the consent log was followed, and the number of the last line
    folded     one row per read log: how many of its entries were folded into `received` and `named`
    received   one row per customer, service, scene and set of fields that a single read delivered;
               the customer is the pseudonym of that read log's private index
    named      one row per service, scene and set of fields that an answer with ids delivered: the
               union of the sets of customers in these answers (ledger.vault.number_sets)
    lost       customers in a set of `named` who do not allow all of these fields any more
    departing  customers whose erasure began: their number and pseudonyms, for some minutes
    change     the lines of the feed

A customer is a number or a pseudonym here, never an id. Both lose their meaning when the data key
is destroyed. All of this is derived from the read logs and the consent log, so no backup has it: a
feed that begins again has another `generation`, and refuses the tokens of the one before.
"""

from sqlalchemy import Column, Index, LargeBinary, MetaData, String, Table

from ledger.storage.database import Schema
from ledger.storage.log_rows import Number

_METADATA = MetaData()
POSITION = Table(
    "position",
    _METADATA,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("generation", LargeBinary, nullable=False),
    Column("ledger_size", Number, nullable=False),
    Column("minute", Number, nullable=False),
    Column("terms", String, nullable=False),
    Column("stale", String, nullable=False),
    Column("last", Number, nullable=False),
    Column("floor", Number, nullable=False),
    Column("kept_since", Number, nullable=False),
)
FOLDED = Table(
    "folded",
    _METADATA,
    Column("instance", String, primary_key=True),
    Column("origin", String, nullable=False),
    Column("entries", Number, nullable=False),
)
RECEIVED = Table(
    "received",
    _METADATA,
    Column("pseudonym", LargeBinary, primary_key=True),
    Column("service", String, primary_key=True),
    Column("scene", String, primary_key=True),
    Column("fields", String, primary_key=True),
    Column("allowed", String, nullable=False),
    Column("ledger_size", Number, nullable=False),
)
NAMED = Table(
    "named",
    _METADATA,
    Column("service", String, primary_key=True),
    Column("scene", String, primary_key=True),
    Column("fields", String, primary_key=True),
    Column("members", LargeBinary, nullable=False),
)
LOST = Table(
    "lost",
    _METADATA,
    Column("service", String, primary_key=True),
    Column("scene", String, primary_key=True),
    Column("fields", String, primary_key=True),
    Column("customer", Number, primary_key=True, autoincrement=False),
    Column("allowed", String, nullable=False),
    Index("lost_of_customer", "customer"),
)
DEPARTING = Table(
    "departing",
    _METADATA,
    Column("customer", Number, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("pseudonyms", LargeBinary, nullable=False),
    Column("notified", String, nullable=False),
    Column("since", Number),
)
CHANGE = Table(
    "change",
    _METADATA,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("service", String, nullable=False),
    Column("customer", Number),
    Column("hash", LargeBinary),
    Column("scene", String),
    Column("action", String, nullable=False),
    Column("fields", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("ledger_size", Number, nullable=False),
    Column("at", Number, nullable=False),
    Column("until", Number),
    Column("noted", Number, nullable=False),
    Index("change_of_service", "service", "number"),
    Index("change_of_customer", "customer"),
)
CHANGES = Schema("changes", "changes.sqlite", _METADATA, "0001", "gate.storage.migrations.changes")
