"""Job: ask the witnesses, and name those that did not cosign, and why.

The quorum goes on without them; receipts and publications carry the others' cosignatures.
"""

from datetime import datetime, timedelta

from portal.jobs.failure import JobError
from portal.jobs.runner import Job
from portal.operations.publishing import EVERY
from portal.operations.wiring import Product

NAME = "witnesses"


def job(product: Product, every: timedelta = EVERY) -> Job:
    def work(_at: datetime) -> None:
        if not product.ledger.witnesses():
            return
        product.ledger.cosign()
        if left_out := product.ledger.left_out():
            reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
            raise JobError(f"the quorum goes on without {len(left_out)} witnesses: {reasons}")

    return Job(NAME, every, work)
