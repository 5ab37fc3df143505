"""The state of consent, as it was last exported, and the view that a warehouse reads."""

from alembic import op
from sqlalchemy import Column, DateTime, String

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "exported_consent",
        Column("pseudonym", String, primary_key=True),
        Column("scene", String, primary_key=True),
        Column("status", String, nullable=False),
        Column("since", DateTime(timezone=True), nullable=False),
        Column("version", String, nullable=False),
    )
    op.execute(
        "CREATE VIEW consent AS "
        "SELECT scene, status, since, version, pseudonym FROM exported_consent"
    )
