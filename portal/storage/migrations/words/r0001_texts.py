"""Texts that customers saw, by digest."""

from alembic import op
from sqlalchemy import Column, LargeBinary

from steward.storage import append_only

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "text",
        Column("digest", LargeBinary, primary_key=True),
        Column("content", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    names = ("text_stays", "text_remains")
    append_only.protect(op.get_bind(), "text", "texts are only added", names)
