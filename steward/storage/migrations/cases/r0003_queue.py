"""Name who works on a case and who closed it, and index cases by deadline and by age.

Until now both followed only from the acts, and every list read all cases.
"""

from alembic import op
from sqlalchemy import Column, Text, text

revision = "0003"
down_revision = "0002"

_LAST = (
    "(SELECT {what} FROM act WHERE act.number = cases.id AND act.act = '{act}'"
    " ORDER BY act.seq DESC LIMIT 1)"
)


def upgrade() -> None:
    for name in ("holder", "closed", "closed_by"):
        op.add_column("cases", Column(name, Text))
    by, at = 'act."by"', "act.at"
    op.execute(
        f"UPDATE cases SET holder = {_LAST.format(what=by, act='taken')} WHERE status = 'taken'"  # noqa: S608 - constants
    )
    op.execute(
        f"UPDATE cases SET closed = {_LAST.format(what=at, act='closed')},"  # noqa: S608 - constants
        f" closed_by = {_LAST.format(what=by, act='closed')} WHERE status = 'closed'"
    )
    _indexes()
    op.create_table(
        "assignee",
        Column("name", Text, primary_key=True),
        Column("role", Text, nullable=False),
        Column("seen", Text, nullable=False),
    )


def _indexes() -> None:
    active = text("status <> 'closed'")
    for name, column in (("case_active_due", "due"), ("case_active_age", "opened")):
        op.create_index(name, "cases", [column, "id"], sqlite_where=active, postgresql_where=active)
    op.create_index("case_by_due", "cases", ["status", "due", "id"])
    op.create_index("case_by_age", "cases", ["status", "opened", "id"])
    op.create_index("case_due", "cases", ["due", "id"])
    op.create_index("case_age", "cases", ["opened", "id"])
    op.create_index("case_of_holder", "cases", ["holder", "due", "id"])
