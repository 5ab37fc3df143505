"""M34: totals of everybody who does not object complete the tables of other uses (G165 to G167)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree

import pytest

from tests.bank import BANK
from tests.features.catalogue import feature
from tests.features.conftest import _run, prepared
from tests.features.served import Person, Site, views, wait_for

STATISTICS, SERVED = "anonymous-statistics", "segmentation"
OBJECTOR, ALLOWING, SILENT = "c00007", "c00008", "c00009"
FORBIDDEN = f"""
@id("no-statistics-yet")
forbid (principal, action, resource == Scene::"{STATISTICS}");
"""
COUNTED = "You were counted into totals"
TABLE = {"scene": SERVED, "fields": ["age", "y"]}


@dataclass(frozen=True)
class Counted:
    """A company whose first totals were made after a customer had objected to them."""

    site: Site
    told: str  # what the use's page said after the customer allowed it
    refused: str  # what the job said while the company's policy forbade the totals


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    folder = tmp_path_factory.mktemp("statistics")
    company, home = folder / "company", folder / "data"
    copytree(BANK, company)
    home.mkdir()
    copy(prepared(_run(tmp_path_factory)) / "customers.duckdb", home)
    policy = company / "policy" / "organisation.cedar"
    permitted = policy.read_text("utf-8")
    policy.write_text(permitted + FORBIDDEN, "utf-8")
    words = ("--company", str(company))
    with Site(home, folder / "first.log", words=words).serving() as site:
        site.customer(ALLOWING).switch(SERVED, "allow")
        objector = site.customer(OBJECTOR)
        objector.switch(SERVED, "allow")
        page = objector.page(f"/customer/scenes/{SERVED}")
        objector.press(page, f"/customer/scenes/{STATISTICS}/withdraw")
        attempts = home / "fits" / "attempts.json"
        refused = wait_for(lambda: _text(attempts), "attempt")
    policy.write_text(permitted, "utf-8")
    attempts.unlink()  # or the next attempt would wait for a minute
    with Site(home, folder / "second.log", words=words).serving() as site:
        wait_for(lambda: _released(site), "release")
        yield Counted(site, page.html, refused)


def _text(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def _released(site: Site) -> bool:
    return site.visitor().client.get(f"/regulator/releases/{STATISTICS}").status_code == 200


def reads(person: Person) -> str:
    return person.page("/customer/reads").html


@feature("M34")
def test_g166_everybody_but_objectors_is_counted_and_sees_it(counted: Counted) -> None:
    site = counted.site
    assert "statistics-office may not count" in counted.refused
    for who in (ALLOWING, SILENT):
        page = reads(site.customer(who))
        assert COUNTED in page
        assert "legitimate interest" in page
    assert COUNTED not in reads(site.customer(OBJECTOR))


@feature("M34")
def test_g167_tables_are_completed_to_the_counts_and_no_single_answer_is(counted: Counted) -> None:
    site = counted.site
    answer = site.ask("analytics", "/v1/table", TABLE, accept="application/x-ndjson")
    said = answer.headers["Sovereign-Completion"]
    assert f'release-anchored;release="{STATISTICS}-' in said
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == 400, "as many as there are customers, whoever consented"
    withheld = site.read("analytics", SERVED, SILENT, "age", "y")
    assert {*views(withheld).values()} == {"withheld"}
    asked = {"scene": STATISTICS, "fields": ["age"]}
    refused = site.ask("statistics-office", "/v1/table", asked, accept="application/x-ndjson")
    assert refused.status_code == 403


@feature("M34")
def test_a_use_says_that_one_stays_counted_and_the_objection_is_one_press(counted: Counted) -> None:
    assert "whatever you decide about this use, you are counted there" in counted.told
    now = counted.site.customer(OBJECTOR).page(f"/customer/scenes/{SERVED}").html
    assert "from the next totals on you are not counted there" in now
    history = counted.site.customer(OBJECTOR).page("/customer/history").html
    assert "Anonymous statistics" in history
    views_after = counted.site.read("analytics", SERVED, OBJECTOR, "age", "y")
    assert {*views(views_after).values()} == {"personal"}, "an objection ends no permission"


def test_whoever_is_leaving_reads_that_they_are_not_counted(counted: Counted) -> None:
    """During the 72 hours in which they can stop it, and after they did."""
    person = counted.site.customer("c00011")
    for scene in (STATISTICS, SERVED):
        assert "You asked us to erase" not in person.page(f"/customer/scenes/{scene}").html
    leaving = "/customer/leave/everything"
    assert person.press(person.page(leaving), leaving, word="erase").status == 200
    for scene in (STATISTICS, SERVED):
        html = person.page(f"/customer/scenes/{scene}").html
        assert "From your request on you are in no new totals" in html
    release = counted.site.visitor().page(f"/regulator/releases/{STATISTICS}").html
    assert "in no later release, from their request on" in release


def test_g166_one_objects_to_the_totals_as_a_whole(counted: Counted) -> None:
    """Whoever is not counted in one item is not counted at all: so there is one switch."""
    person = counted.site.customer("c00010")
    page = person.page(f"/customer/scenes/{STATISTICS}")
    assert f"/customer/scenes/{STATISTICS}/items/" not in page.html
    asked = page.button(f"/customer/scenes/{STATISTICS}/withdraw").fields
    address = f"/customer/scenes/{STATISTICS}/items/age/withdraw"
    assert person.client.post(address, data=asked).status_code == 404
    assert not person.receipts()
