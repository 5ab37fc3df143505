"""Read logs are removed after the declared time, and no sooner (specs/gate.md, G143)."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from gate.readlog.acts import instance_of
from gate.readlog.anchors import Anchors
from gate.readlog.retention import Retention
from ledger import fsck
from ledger.events.envelope import ReadLogRemoved
from ledger.verify.read_log_rules import ReadLogRules
from portal.commands import app
from portal.operations.wiring import Product
from tests.portal.conftest import START
from tests.portal.test_read_log_rotation import ASKED, rotation

DAYS = 30
LATER = START + timedelta(days=3650)  # than the acts of the start, which takes the real clock
TIME = timedelta(days=DAYS)
LOG = "bank.example/reads-1a"


def at(day: float) -> str:
    return f"{START + timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}"


def keep(days: int, day: float) -> dict[str, object]:
    return {"type": "reads-kept", "days": days, "at": at(day)}


def close(day: float) -> dict[str, object]:
    return {"type": "read-log-closed", "origin": LOG, "size": 1, "root": "r", "at": at(day)}


def remove(day: float) -> dict[str, object]:
    return {"type": "read-log-removed", "origin": LOG, "at": at(day)}


ACTS: dict[str, tuple[list[dict[str, object]], str | None]] = {
    "as declared": ([keep(30, 0), close(1), remove(31)], None),
    "declared after its end": ([close(0), keep(30, 1), remove(31)], None),
    "a longer time shortens nothing": ([keep(30, 0), keep(40, 9), close(9), remove(49)], None),
    "nothing declared": ([close(0), remove(400)], "no time was declared"),
    "never closed": ([keep(30, 0), remove(400)], "was not closed"),
    "too soon after its end": ([keep(30, 0), close(9), remove(38)], "are not over"),
    "too soon after the declaration": ([close(0), keep(30, 100), remove(129)], "are not over"),
    "shortened for the occasion": (
        [keep(365, 0), close(1), keep(30, 100), remove(129)],
        "are not over",
    ),
    "dated back": ([close(100), keep(30, 0), remove(110)], "are not over"),
    "dated ahead": ([keep(30, 0), close(1), remove(31), close(2) | {"origin": "o"}], "after this"),
    "kept for ever again": ([keep(30, 0), close(1), keep(0, 2), remove(40)], "no time was"),
    "less than a month": ([keep(29, 0)], "kept for 29 days, want 30"),
    "twice": ([keep(30, 0), close(1), remove(31), remove(31)], "was removed twice"),
}


@pytest.mark.parametrize("why", ACTS)
def test_g143_a_removal_needs_a_declaration_and_its_time(why: str) -> None:
    acts, wanted = ACTS[why]
    rules = ReadLogRules()
    for each in acts[:-1]:
        rules.require(each)
    if wanted is None:
        rules.require(acts[-1])
        assert [origin for origin, _ in rules.removed()] == [LOG]
    else:
        with pytest.raises(ValueError, match=wanted):
            rules.require(acts[-1])


def closed_log(product: Product) -> str:
    """A read log with one read that was closed at LATER; returns its name."""
    product.gate.read(ASKED)
    name, before = instance_of(product.reads.origin), product.gate.journal
    assert rotation(product, entries=1).look(LATER)
    before.end()
    product.gate.read(ASKED)
    assert Anchors(product.home, product.ledger).close(LATER) == 1
    return name


def retention(product: Product) -> Retention:
    return Retention(product.home, product.ledger, product.read_logs, DAYS)


def commands(product: Product, *words: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, [*words, "--data-dir", str(product.home)])
    return ran.exit_code, ran.output


def test_g143_what_is_removed_is_explained_to_everybody(product: Product) -> None:
    name, remover = closed_log(product), retention(product)
    assert len([*product.reads_of("c00007")]) == 2
    assert remover.look(LATER) == remover.look(LATER + TIME - timedelta(seconds=1)) == 0
    assert product.kept_reads().removed_until is None
    assert remover.look(LATER + TIME) == 1
    assert remover.look(LATER + TIME) == 0
    assert not (product.home / "reads" / name).exists()
    assert [each.name for each in (product.home / "log" / name).iterdir()] == ["checkpoint"]
    assert len([*product.reads_of("c00007")]) == 1, "of the present log"
    assert product.kept_reads().removed_until == LATER
    assert [each for each in fsck.fsck(product.home) if name in f"{each}"] == []
    assert commands(product, "replay")[0] == 0


def test_g143_a_removal_before_its_time_is_found(product: Product) -> None:
    name, remover = closed_log(product), retention(product)
    remover.look(LATER)
    early = ReadLogRemoved(product.reads.origin.rsplit("/", 1)[0] + f"/{name}", LATER)
    product.ledger.announce([early])
    product.read_logs.remove(name)
    found = [f"{each.where}: {each.what}" for each in fsck.fsck(product.home)]
    assert any("a read log was removed that is to be kept" in each for each in found), found
    assert any(name in each for each in found), "its database is missing"
    status, printed = commands(product, "replay")
    assert (status, "it is missing, and had 1 entries" in printed) == (1, True)
    product.ledger.export(product.home / "log/consent")
    words = ["audit", str(product.home / "log/consent")]
    ran = CliRunner().invoke(app, [*words, "--key", str(product.home / "keys/consent.vkey")])
    assert (ran.exit_code, "is to be kept" in ran.output) == (1, True)


def test_g143_a_crash_between_the_act_and_the_removal_is_mended(product: Product) -> None:
    name = closed_log(product)
    remover = retention(product)
    remover.look(LATER)
    origin = product.reads.origin.rsplit("/", 1)[0] + f"/{name}"
    product.ledger.announce([ReadLogRemoved(origin, LATER + TIME)])
    assert (product.home / "reads" / name).exists()
    assert retention(product).look(LATER + TIME) == 0
    assert not (product.home / "reads" / name).exists()


def test_g143_the_pages_say_that_earlier_reads_are_no_longer_kept(
    product: Product, customer: TestClient
) -> None:
    closed_log(product)
    remover = retention(product)
    assert "Reads before" not in customer.get("/customer/reads").text
    remover.look(LATER)
    kept = "We keep the record of a read for 30 days after its log was closed"
    assert kept in customer.get("/customer/reads").text
    remover.look(LATER + TIME)
    for path in ("/customer/reads", "/customer/map"):
        page = customer.get(path).text
        assert "are no longer kept, so some are missing here" in page, path
        assert kept not in page
