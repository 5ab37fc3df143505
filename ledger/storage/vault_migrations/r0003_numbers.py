"""A number for each customer, by which sets of customers in read logs name them.

`numbering` remembers the largest number ever given, so that no number is given twice, also when the
customer who had it was erased.
"""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    Text,
    column,
    func,
    insert,
    select,
    table,
    update,
)

revision = "0003"
down_revision = "0002"

NUMBER = BigInteger().with_variant(Integer, "sqlite")
CUSTOMER = table(
    "customer", column("subject", Text), column("wrapped", LargeBinary), column("number", NUMBER)
)
NUMBERING = table("numbering", column("only", Integer), column("last", NUMBER))


def upgrade() -> None:
    op.add_column("customer", Column("number", NUMBER))
    order = func.row_number().over(order_by=CUSTOMER.c.subject)
    counted = select(CUSTOMER.c.subject, order.label("number")).subquery("counted")
    op.execute(
        update(CUSTOMER)
        .values(number=counted.c.number)
        .where(CUSTOMER.c.subject == counted.c.subject)
    )
    op.create_index("customer_number", "customer", ["number"], unique=True)
    op.create_table(
        "numbering",
        Column("only", Integer, primary_key=True, autoincrement=False),
        Column("last", NUMBER, nullable=False),
        CheckConstraint('"only" = 1', "numbering_only"),
    )
    last = select(1, func.coalesce(func.max(CUSTOMER.c.number), 0))
    op.execute(insert(NUMBERING).from_select(["only", "last"], last))
