"""Passkeys, the user handles of their owners, and ids of keys that sign consent."""

from alembic import op
from sqlalchemy import Column, Integer, LargeBinary, String

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "person",
        Column("subject", String, primary_key=True),
        Column("handle", LargeBinary, nullable=False, unique=True),
    )
    op.create_table(
        "passkey",
        Column("id", LargeBinary, primary_key=True),
        Column("subject", String, nullable=False),
        Column("key", LargeBinary, nullable=False),
        Column("count", Integer, nullable=False),
        Column("copied", Integer, nullable=False),
        Column("added", String, nullable=False),
    )
    op.create_index("by_subject", "passkey", ["subject", "added"])
    op.create_table(
        "consent_credential",
        Column("id", LargeBinary, primary_key=True),
        Column("subject", String, nullable=False),
        Column("key", LargeBinary, nullable=False),
    )
    op.create_index("credential_by_subject", "consent_credential", ["subject"])
