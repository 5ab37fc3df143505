"""A running gate closes its read log and begins the next (specs/gate.md, G142)."""

from datetime import timedelta

import numpy as np
import pytest

from gate.readlog import customer_sets, new_log
from gate.readlog.acts import instance_of
from gate.readlog.anchors import Anchors
from gate.readlog.new_log import NewReadLog
from gate.readlog.rotation import GRACE, ReadLogRotation, RotationLimits
from gate.readlog.writer import JournalError
from gate.reads.request import ReadRequest
from ledger.events.envelope import ReadLogClosed, ReadLogOpened
from portal.operations.wiring import Product
from tests.portal.conftest import START

ASKED = ReadRequest("analytics", "segmentation", "c00007", ("age",), START)
MONTH = timedelta(days=31)


def rotation(product: Product, entries: int = 1000, *, announces: bool = True) -> ReadLogRotation:
    def announced() -> NewReadLog | None:
        if not announces:
            return None
        new = new_log.begin(product.home, product.ledger.origin)
        product.ledger.announce([ReadLogOpened(new.log.origin, new.vkey, START)])
        return new

    return ReadLogRotation(
        product.gate, product.ledger, announced, RotationLimits(MONTH, entries), START
    )


def test_g142_after_its_time_or_size_a_read_log_is_followed_by_the_next(product: Product) -> None:
    rotate = rotation(product, entries=2)
    assert not rotate.look(START + 2 * MONTH), "an empty log is not closed"
    names = [product.gate.read(ASKED).read_log]
    assert not rotate.look(START + MONTH - timedelta(seconds=1))
    assert rotate.look(START + MONTH), "it is old"
    names += [product.gate.read(ASKED).read_log for _ in range(2)]
    assert rotate.look(START + MONTH), "it is large"
    answer = product.gate.read(ASKED)
    names.append(answer.read_log)
    assert (len(set(names)), answer.entry) == (3, 0)
    assert product.reads.origin == answer.read_log
    found = [entry["service"] for _, entry in product.reads_of("c00007")]
    assert found == ["analytics"] * 4, "the customer sees the reads of all three"


def test_g142_the_log_before_is_ended_and_closed_with_all_that_was_answered(
    product: Product,
) -> None:
    rotate, before = rotation(product, entries=1), product.gate.journal
    product.gate.read(ASKED)
    assert rotate.look(START)
    anchoring = Anchors(product.home, product.ledger)
    assert anchoring.close(START) == 0, "answers under way may still write to it"
    rotate.look(START + GRACE)
    with pytest.raises(JournalError, match="ended and another one begun"):
        before.record_all([])
    assert anchoring.close(START) == 1
    closed = [e.event for e in product.ledger.announced() if isinstance(e.event, ReadLogClosed)]
    assert [(each.origin, each.size) for each in closed] == [(before.log.origin, 1)]
    assert (product.home / "log" / instance_of(before.log.origin) / "checkpoint").exists()


def test_g142_a_log_that_nobody_announces_is_not_used(product: Product) -> None:
    product.gate.read(ASKED)
    before = product.gate.journal
    assert not rotation(product, entries=1, announces=False).look(START)
    assert product.gate.journal is before


def test_g142_a_set_of_the_log_before_is_still_found(product: Product) -> None:
    members = np.array([3, 5], np.uint32)
    name = product.gate.journal.sets.put(members)
    product.gate.read(ASKED)
    assert rotation(product, entries=1).look(START)
    assert product.gate.journal.sets.get(name).startswith(customer_sets.bitmap(members))
