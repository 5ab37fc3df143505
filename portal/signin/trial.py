"""Customers to try the product as, where anybody may sign in as anybody."""

import logging
from collections.abc import Sequence

from gate.reads.sources import interface
from portal.operations.wiring import Product

DEMO_PEOPLE = tuple(f"c{number:05d}" for number in (1, 7, 8, 42, 77, 361, 1024, 4711))
_LOG = logging.getLogger("sovereign")


def people(product: Product) -> Sequence[str]:
    """The demonstration's, or a few of the company's; nobody where it is no trial."""
    if not product.settings.demo:
        return ()
    if product.ledger.numbers(DEMO_PEOPLE):
        return DEMO_PEOPLE
    source = product.gate.source
    try:
        first = source.everybody([source.key]).order_by(source.key).limit(len(DEMO_PEOPLE))
        _, batches = interface.batches(first, len(DEMO_PEOPLE))
        return [str(each) for batch in batches for each in batch[0].to_pylist() if each is not None]
    except Exception as error:  # noqa: BLE001 - any engine's; the page asks for a number, too
        _LOG.warning("no customers to try it as: %s", interface.without_values(error))
        return ()
