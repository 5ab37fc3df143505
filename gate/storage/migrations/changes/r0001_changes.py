"""What services received, and the lines of the feed that tells them what to forget."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    _followed()
    _received()
    op.create_table(
        "departing",
        Column("customer", NUMBER, primary_key=True, autoincrement=False),
        Column("hash", LargeBinary, nullable=False),
        Column("pseudonyms", LargeBinary, nullable=False),
        Column("notified", String, nullable=False),
        Column("since", NUMBER),
    )
    op.create_table(
        "change",
        Column("number", NUMBER, primary_key=True, autoincrement=False),
        Column("service", String, nullable=False),
        Column("customer", NUMBER),
        Column("hash", LargeBinary),
        Column("scene", String),
        Column("action", String, nullable=False),
        Column("fields", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("ledger_size", NUMBER, nullable=False),
        Column("at", NUMBER, nullable=False),
        Column("until", NUMBER),
        Column("noted", NUMBER, nullable=False),
    )
    op.create_index("change_of_service", "change", ["service", "number"])
    op.create_index("change_of_customer", "change", ["customer"])


def _followed() -> None:
    op.create_table(
        "position",
        Column("id", NUMBER, primary_key=True, autoincrement=False),
        Column("generation", LargeBinary, nullable=False),
        Column("ledger_size", NUMBER, nullable=False),
        Column("minute", NUMBER, nullable=False),
        Column("terms", String, nullable=False),
        Column("stale", String, nullable=False),
        Column("last", NUMBER, nullable=False),
        Column("floor", NUMBER, nullable=False),
        Column("kept_since", NUMBER, nullable=False),
    )
    op.create_table(
        "folded",
        Column("instance", String, primary_key=True),
        Column("origin", String, nullable=False),
        Column("entries", NUMBER, nullable=False),
    )


def _received() -> None:
    key = ("service", "scene", "fields")
    op.create_table(
        "received",
        Column("pseudonym", LargeBinary, primary_key=True),
        *(Column(name, String, primary_key=True) for name in key),
        Column("allowed", String, nullable=False),
        Column("ledger_size", NUMBER, nullable=False),
    )
    op.create_table(
        "named",
        *(Column(name, String, primary_key=True) for name in key),
        Column("members", LargeBinary, nullable=False),
    )
    op.create_table(
        "lost",
        *(Column(name, String, primary_key=True) for name in key),
        Column("customer", NUMBER, primary_key=True, autoincrement=False),
        Column("allowed", String, nullable=False),
    )
    op.create_index("lost_of_customer", "lost", ["customer"])
