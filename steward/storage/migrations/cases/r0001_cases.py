"""The position in the consent log, cases with their changes and acts, and the outbox."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    Text,
    text,
)

from steward.storage import append_only

revision = "0001"
down_revision = None

NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    _cursor()
    _cases()
    _changes()
    _acts()
    _outbox()


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


def _numbers(*names: str) -> list[Column[int]]:
    return [Column(name, NUMBER, nullable=False) for name in names]


def _case() -> Column[int]:
    return Column("number", NUMBER, ForeignKey("cases.id"), nullable=False)


def _cursor() -> None:
    made = op.create_table(
        "cursor",
        Column("only", Integer, CheckConstraint('"only" = 1'), primary_key=True),
        *_numbers("size", "minute"),
    )
    op.bulk_insert(made, [{"only": 1, "size": 0, "minute": 0}])


def _cases() -> None:
    op.create_table(
        "cases",
        Column("id", NUMBER, primary_key=True),
        *_texts("scene", "kind"),
        *_numbers("count", "told", "live"),
        *_texts("fields", "fallback"),
        Column("loss", Text),
        *_texts("opened", "gathers_until", "due", "status", "responsible"),
        Column("escalated", Text),
        sqlite_autoincrement=True,
    )
    op.create_index("case_of_scene", "cases", ["scene", "kind", "id"])


def _changes() -> None:
    op.create_table(
        "change",
        _case(),
        *_texts("scene", "kind"),
        Column("entry", NUMBER),
        *_numbers("minute", "count"),
        *_texts("masked"),
    )
    op.create_index("change_of_case", "change", ["number"])
    each = text("coalesce(entry, -1)")
    op.create_index("change_once", "change", ["scene", "kind", each, "minute"], unique=True)
    op.create_table(
        "concerned",
        Column("number", NUMBER, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
        Column("tag", LargeBinary, primary_key=True),
        sqlite_with_rowid=False,
    )


def _acts() -> None:
    op.create_table("act", _case(), *_texts("act", "by", "at", "note"))
    op.create_index("act_of_case", "act", ["number"])
    names = ("acts_stay", "acts_are_kept")
    append_only.protect(op.get_bind(), "act", "acts are only added", names)


def _outbox() -> None:
    op.create_table(
        "outbox",
        Column("seq", NUMBER, primary_key=True),
        Column("id", Text, nullable=False, unique=True),
        _case(),
        *_texts("type", "channel"),
        Column("body", LargeBinary, nullable=False),
        *_texts("state"),
        *_numbers("attempts"),
        *_texts("next_at", "error"),
        sqlite_autoincrement=True,
    )
    undelivered = text("state <> 'delivered'")
    for name, columns in (
        ("outbox_waiting", ["seq"]),
        ("outbox_order", ["number", "channel", "seq"]),
    ):
        op.create_index(
            name, "outbox", columns, sqlite_where=undelivered, postgresql_where=undelivered
        )
