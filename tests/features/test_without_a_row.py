"""Signing in, withdrawing, exporting and leaving need no personal row (specs/portal.md 8.6)."""

import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.features.served import Person, Site, done, sovereign, wait_for
from tests.features.test_leaving import (
    EVERY_SECOND,
    LINK,
    THREE_DAYS,
    ask,
    erased_by_the_job,
)

SCENE = "recommendation"
BROKEN = {  # why there is no name -> customer, the same in every test
    "the name is null": "c00003",
    "the name is blank": "c00004",
    "the row is missing": "c00005",
    "the row cannot be read": "c00006",
}
ROWLESS = {"the row is missing", "the row cannot be read"}
PAGES = (
    "/customer",
    f"/customer/scenes/{SCENE}",
    "/customer/history",
    "/customer/reads",
    "/customer/map",
    "/customer/passkeys",
    "/customer/leave",
    "/customer/leave/everything",
)
SOURCE = """
ALTER TABLE customer RENAME TO raw;
UPDATE raw SET name = NULL WHERE id = 'c00003';
UPDATE raw SET name = ' ' WHERE id = 'c00004';
DELETE FROM raw WHERE id = 'c00005';
CREATE VIEW customer AS SELECT * REPLACE
  (CASE WHEN id = 'c00006' THEN ('Ada'::INTEGER)::VARCHAR ELSE name END AS name) FROM raw;
"""


@pytest.fixture(scope="module")
def rowless(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = shutil.copytree(unserved, tmp_path_factory.mktemp("rowless") / "data")
    with duckdb.connect(home / "customers.duckdb") as source:
        source.execute(SOURCE)
    with Site(home, home.parent / "server.log", settings=EVERY_SECOND).serving() as site:
        yield site


@pytest.mark.parametrize("why", BROKEN)
def test_a_customer_without_a_name_signs_in_and_sees_every_page(why: str, rowless: Site) -> None:
    customer = rowless.customer(BROKEN[why])
    assert "<h1>Hello</h1>" in customer.page("/customer").html
    for path in PAGES:
        customer.page(path)


@pytest.mark.parametrize("why", BROKEN)
def test_a_customer_without_a_name_withdraws_and_takes_the_receipt(
    why: str, rowless: Site, tmp_path: Path
) -> None:
    customer = rowless.customer(BROKEN[why])
    customer.switch(SCENE, "allow")
    customer.switch(SCENE, "withdraw")
    newest = customer.receipts()[0]
    printed = done(
        "verify", customer.receipt(newest, tmp_path), "--policy", rowless.home / "consent.policy"
    )
    assert printed.startswith("VERIFIED")
    paper = customer.page(f"/customer/receipts/{newest}/paper").plain
    assert f"<dd>{BROKEN[why]}</dd>" in paper
    assert customer.client.get(f"/customer/receipts/{newest}/jsonld").status_code == 200


@pytest.mark.parametrize("why", BROKEN)
def test_a_customer_without_a_name_takes_an_archive_and_it_says_what_is_missing(
    why: str, rowless: Site
) -> None:
    with _archive(rowless.customer(BROKEN[why])) as taken:
        names = {*taken.namelist()}
    assert {"agreement.json", "history.json"} <= names
    assert ("data/customer.json" in names) is (why not in ROWLESS)
    assert ("data/unavailable.txt" in names) is (why == "the row cannot be read")


def test_a_number_that_nobody_knows_signs_nobody_in(rowless: Site) -> None:
    for unknown in ("c99999", ""):
        answer = rowless.visitor().client.post("/login", data={"customer": unknown})
        assert answer.status_code in {400, 401}, unknown


@pytest.mark.parametrize("why", BROKEN)
def test_a_customer_without_a_name_leaves(why: str, rowless: Site) -> None:
    """The last test of each customer: they are gone afterwards."""
    customer = rowless.customer(BROKEN[why])
    assert THREE_DAYS.search(ask(customer).html)
    erased_by_the_job(rowless, customer)
    assert customer.client.get("/customer/history", follow_redirects=False).status_code != 200


def test_the_command_exports_without_the_row_and_says_so(unserved: Path, tmp_path: Path) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    (home / "customers.duckdb").write_bytes(b"no database")
    ran = sovereign("export-customer", "c00007", tmp_path / "a.zip", "--data-dir", home)
    assert ran.returncode == 3, ran.stderr
    assert "row is missing" in ran.stderr
    with zipfile.ZipFile(tmp_path / "a.zip") as taken:
        assert {"data/unavailable.txt", "history.json"} <= {*taken.namelist()}


def _archive(customer: Person) -> zipfile.ZipFile:
    customer.press(customer.page("/customer/leave"), "/customer/leave/archive")
    link: re.Match[str] = wait_for(
        lambda: LINK.search(customer.page("/customer/leave").html), "archive"
    )
    return zipfile.ZipFile(io.BytesIO(customer.client.get(link[1]).content))
