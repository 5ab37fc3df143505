"""specs/portal.md, 6.7: the public logs follow what is served."""

from pathlib import Path

from gate.reads.point import ReadRequest
from ledger.events.envelope import ReadLogAnchored
from ledger.events.sealed_entry import consent_entry
from ledger.tlog import auditor, checkpoint, fetcher, signed_note
from ledger.tlog.auditor import KeyDemand
from portal.operations.publishing import EVERY, Anchors, Publisher, exporting, folder
from portal.operations.wiring import Product
from tests.portal.conftest import START

ASKED = ReadRequest("analytics", "segmentation", "c00007", ("age",), START)


def publisher(product: Product) -> Publisher:
    return Publisher(product.home, product.ledger, product.reads)


def shown(path: Path) -> int:
    """The size of the published log."""
    return checkpoint.parse(signed_note.parse((path / "checkpoint").read_text()).text).size


def anchors(product: Product) -> list[int]:
    said = (entry.event for entry in product.ledger.announced())
    return [e.size for e in said if isinstance(e, ReadLogAnchored)]


def test_what_is_new_is_anchored_and_published(product: Product) -> None:
    follow, anchoring = publisher(product), Anchors(product.home, product.ledger)
    for _ in range(3):
        product.gate.read(ASKED)
    assert anchoring.anchor(START) == 1
    assert follow.publish_news()
    assert anchors(product) == [3]
    log = product.home / "log"
    assert shown(log / "consent") == product.ledger.size
    assert shown(log / "state") == product.ledger.states.log.size
    assert shown(folder(product.home, product.reads)) == 3
    product.gate.read(ASKED)
    assert anchoring.anchor(START + EVERY) == 1
    assert follow.publish_news()
    assert anchors(product) == [3, 4]
    assert shown(log / "consent") == product.ledger.size


def test_without_news_nothing_is_written(product: Product) -> None:
    follow, anchoring = publisher(product), Anchors(product.home, product.ledger)
    product.gate.read(ASKED)
    assert anchoring.anchor(START) == 1
    assert follow.publish_news()
    size = product.ledger.size
    for minutes in range(1, 5):
        assert anchoring.anchor(START + minutes * EVERY) == 0
        assert not follow.publish_news()
    assert (product.ledger.size, anchors(product)) == (size, [1])
    again = Anchors(product.home, product.ledger)
    assert again.anchor(START) == 0, "a new start anchors nothing again"


def test_what_is_published_is_audited_clean(product: Product) -> None:
    product.gate.read(ASKED)
    Anchors(product.home, product.ledger).anchor(START)
    publisher(product).publish_news()
    line = (product.home / "keys/consent.vkey").read_text().split()[0]
    trust = KeyDemand([signed_note.verifier(line)])
    place = fetcher.at(str(product.home / "log/consent"))
    assert auditor.audit(place, trust, check_entry=consent_entry).clean


def test_a_gate_alone_writes_its_own_directory(product: Product, tmp_path: Path) -> None:
    product.gate.read(ASKED)
    with exporting(product.reads, tmp_path / "log", every_s=0.01):
        while not (tmp_path / "log/checkpoint").exists():
            pass
        product.gate.read(ASKED)
    assert shown(tmp_path / "log") == 2
