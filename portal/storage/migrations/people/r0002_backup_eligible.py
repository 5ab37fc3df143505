"""Notes of a passkey whether it may be synchronised; null: it was added before that was noted.

Earlier programs made each table, and the column, when they first needed it.
"""

from alembic import op
from sqlalchemy import Column, Integer, LargeBinary, String, inspect

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    present = inspect(op.get_bind())
    op.create_table(
        "person",
        Column("subject", String, primary_key=True),
        Column("handle", LargeBinary, nullable=False, unique=True),
        if_not_exists=True,
    )
    if not present.has_table("passkey"):
        op.create_table(
            "passkey",
            Column("id", LargeBinary, primary_key=True),
            Column("subject", String, nullable=False),
            Column("key", LargeBinary, nullable=False),
            Column("count", Integer, nullable=False),
            Column("copied", Integer, nullable=False),
            Column("added", String, nullable=False),
            Column("eligible", Integer),
        )
        op.create_index("by_subject", "passkey", ["subject", "added"])
    elif "eligible" not in {each["name"] for each in present.get_columns("passkey")}:
        op.add_column("passkey", Column("eligible", Integer))
    op.create_table(
        "consent_credential",
        Column("id", LargeBinary, primary_key=True),
        Column("subject", String, nullable=False),
        Column("key", LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_index("credential_by_subject", "consent_credential", ["subject"], if_not_exists=True)
