"""specs/portal.md, 6.7: the public logs follow what is served."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gate.readlog.acts import ReadLogActs, instance_of
from gate.readlog.anchors import Anchors, UnendedLogError
from gate.reads.request import ReadRequest
from gate.storage.read_log import ReadLogDatabase
from ledger import fsck
from ledger.events.envelope import ReadLogAnchored, ReadLogClosed
from ledger.events.sealed_entry import consent_entry
from ledger.tlog import auditor, checkpoint, fetcher, signed_note
from ledger.tlog.auditor import KeyDemand
from portal.commands import app
from portal.data_directory import migration
from portal.operations.publishing import EVERY, Publisher, exporting, folder
from portal.operations.wiring import Product
from tests.portal.conftest import START

ASKED = ReadRequest("analytics", "segmentation", "c00007", ("age",), START)


def publisher(product: Product) -> Publisher:
    return Publisher(product.home, product.ledger, lambda: product.reads)


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


def killed(product: Product) -> str:
    """End the writer of the read log without a word; returns the log's name."""
    product.gate.journal.reads.close()
    return product.gate.journal.reads.instance


def closings(product: Product) -> dict[str, int]:
    events = (entry.event for entry in product.ledger.announced())
    return {instance_of(e.origin): e.size for e in events if isinstance(e, ReadLogClosed)}


def test_g141_a_log_is_closed_once_and_not_before_its_process_ended(product: Product) -> None:
    product.gate.read(ASKED)
    anchoring = Anchors(product.home, product.ledger)
    assert anchoring.close(START) == 0
    instance = killed(product)
    assert anchoring.close(START) == 1
    assert closings(product) == {instance: 1}
    assert shown(product.home / "log" / instance) == 1
    assert anchoring.close(START) == anchoring.anchor(START) == 0
    assert Anchors(product.home, product.ledger).close(START) == 0, "nor by the next start"


def test_g141_a_log_that_was_cut_has_no_end_and_is_named(product: Product) -> None:
    product.gate.read(ASKED)
    anchoring = Anchors(product.home, product.ledger)
    anchoring.anchor(START)
    instance = killed(product)
    (product.home / "reads" / instance / "log.sqlite").unlink()
    with pytest.raises(UnendedLogError, match=f"{instance}: its database is missing"):
        anchoring.close(START)
    ReadLogDatabase(product.home, instance).close()  # an empty one takes its place
    with pytest.raises(UnendedLogError, match=f"{instance} was cut: it has 0 entries, 1 were"):
        anchoring.close(START)
    assert closings(product) == {}
    endless = ReadLogActs(product.ledger).without_end(product.home)
    assert [name for name, _ in endless] == [instance]


def test_g141_a_migration_takes_the_logs_of_earlier_versions_for_ended(product: Product) -> None:
    product.gate.read(ASKED)
    instance = killed(product)
    (product.home / "reads" / instance / "lock").unlink()  # as of an earlier version
    anchoring = Anchors(product.home, product.ledger)
    assert anchoring.close(START) == 0
    (done,) = migration.migrate(product.home)
    assert (done.schema, done.before) == ("read logs", "1 of earlier programs")
    assert [*migration.migrate(product.home)] == []
    assert anchoring.close(START) == 1
    assert closings(product) == {instance: 1}


def test_g141_an_entry_after_the_end_is_found_by_replay_and_fsck(product: Product) -> None:
    product.gate.read(ASKED)
    Anchors(product.home, product.ledger).anchor(START)
    instance = killed(product)
    Anchors(product.home, product.ledger).close(START)
    product.gate.read(ASKED)  # the company kept the process and its key
    (found,) = (each for each in fsck.fsck(product.home) if each.where == f"{instance}, end")
    assert found.what == "the consent log closed it with 1 entries, it has 2"
    ran = CliRunner().invoke(app, ["replay", instance, "--data-dir", str(product.home)])
    assert ran.exit_code == 1
    assert "it was closed with 1 entries and has 2: none may follow" in ran.output


def test_a_closed_log_that_is_anchored_again_is_a_finding_of_the_audit(product: Product) -> None:
    product.gate.read(ASKED)
    origin = product.reads.origin
    closed = ReadLogClosed(origin, 0, "", START)
    product.ledger.announce([closed, ReadLogAnchored(origin, 1, "", START)])
    product.ledger.export(product.home / "log/consent")
    key, log = product.home / "keys/consent.vkey", product.home / "log/consent"
    ran = CliRunner().invoke(app, ["audit", str(log), "--key", str(key)])
    assert ran.exit_code == 1
    assert f"{origin} was closed with 0 entries, no act may follow" in ran.output


def test_a_gate_alone_writes_its_own_directory(product: Product, tmp_path: Path) -> None:
    product.gate.read(ASKED)
    with exporting(lambda: product.reads, lambda _log: tmp_path / "log", every_s=0.01):
        while not (tmp_path / "log/checkpoint").exists():
            pass
        product.gate.read(ASKED)
    assert shown(tmp_path / "log") == 2
