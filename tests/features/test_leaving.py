"""M15: a customer takes everything along, and it verifies without the company; and leaves."""

import io
import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.features import own_key
from tests.features.catalogue import feature
from tests.features.own_key import LEAVE
from tests.features.page import Page
from tests.features.served import PATIENCE_S, Person, Site, done, views, wait_for

LINK = re.compile(r'href="(/archive/[^"]+\.zip)"')
TEXT = "We will refund the fee of 12.40 for the card ending 1881."


def archive(customer: Person) -> zipfile.ZipFile:
    """The archive that the customer's page makes and offers."""
    customer.press(customer.page("/customer/leave"), "/customer/leave/archive")
    link = wait_for(lambda: LINK.search(customer.page("/customer/leave").html), "archive")
    return zipfile.ZipFile(io.BytesIO(customer.client.get(link[1]).content))


@feature("M15")
def test_p6_whoever_never_gave_an_instruction_gets_the_file(customer: Person) -> None:
    with archive(customer) as taken:
        assert {"data/customer.json", "reads.json", "index.jsonld"} <= {*taken.namelist()}


@feature("M15")
def test_the_archive_holds_agreement_reads_row_and_messages_and_verifies(
    site: Site, customer: Person, tmp_path: Path
) -> None:
    customer.switch("recommendation", "allow")
    site.read("recommender", "recommendation", customer.subject, "age")
    proposal = {"subject": customer.subject, "text": TEXT}
    assert site.ask("branch-finder", "/v1/proposals", proposal).json()["waits"] is True
    with archive(customer) as taken:
        names = taken.namelist()
        assert {"index.jsonld", "agreement.json", "history.csv", "reads.json"} <= {*names}
        row = json.loads(taken.read("data/customer.json"))
        assert {"name", "age", "email"} <= row.keys()
        messages = [taken.read(each).decode() for each in names if each.endswith(".txt")]
        assert TEXT in messages
        taken.extractall(tmp_path)
    (receipt,) = (tmp_path / "receipts").glob("[0-9]*.tlog-proof")
    printed = done("verify", receipt, "--policy", tmp_path / "trust" / "consent.policy")
    assert printed.startswith("VERIFIED")


EVERY_SECOND = {"SOVEREIGN_JOB_EVERY_S": '{"departures": 1}'}
SCENE, READ = "recommendation", ("recommender", "recommendation")
ALLOW = f"/customer/scenes/{SCENE}/allow"
WAITED = "UPDATE {} SET due = due - 72 * 3600 WHERE subject = '{}'"  # what time would do
THREE_DAYS = re.compile(r"You are leaving.*permanently erase", re.DOTALL)


@pytest.fixture(scope="module")
def own(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A bank with a consent host, whose job of departures runs each second."""
    folder = tmp_path_factory.mktemp("leaving")
    home = shutil.copytree(unserved, folder / "data")
    settings = own_key.SETTINGS | EVERY_SECOND | {"SOVEREIGN_MAIL": f"folder:{folder / 'mail'}"}
    with Site(home, folder / "log", settings=settings).serving() as site:
        yield site


def erased_by_the_job(site: Site, customer: Person) -> None:
    """Let the 72 hours be over, and wait for the job."""
    subject = customer.subject
    with closing(sqlite3.connect(site.home / "passkeys.sqlite", timeout=PATIENCE_S)) as connection:
        with connection:
            changed = connection.execute(WAITED.format("departure", subject))
        assert changed.rowcount == 1
        left = "SELECT count(*) FROM departure WHERE subject = ?"
        # The last step: whoever signs in before it is signed out again.
        wait_for(lambda: connection.execute(left, (subject,)).fetchone() == (0,), "erasure")
    erased(customer)


def erased(customer: Person) -> None:
    """Wait until the customer is signed out, which an erasure does before it ends."""
    wait_for(lambda: customer.client.get("/customer").url.path == "/", "erasure")


def letters(site: Site) -> str:
    folder = Path(site.settings["SOVEREIGN_MAIL"].removeprefix("folder:"))
    return "\n".join(path.read_text() for path in folder.glob("*.eml"))


def personal(site: Site, subject: str) -> bool:
    return views(site.read(*READ, subject, "age")) == {"age": "personal"}


def ask(customer: Person, word: str = "erase", **typed: str) -> Page:
    return customer.press(customer.page(LEAVE), LEAVE, word=word, **typed)


def test_a_stolen_session_erases_nobody_whose_key_signs_and_the_key_binds_after_a_return(
    own: Site,
) -> None:
    subject = "c00270"
    owner = own_key.come_over(own, subject)
    owner.enrol()
    assert owner.allow(SCENE).status_code == 204
    assert personal(own, subject)

    thief = own.visitor()  # with a sign-in of this minute
    thief.client.cookies.update(owner.login.client.cookies)
    assert ask(thief).status == 403
    assert personal(own, subject)
    other = own_key.back(own, owner, subject)
    other.private = Ed25519PrivateKey.generate()
    assert other.leave().status == 403
    assert personal(own, subject)

    assert THREE_DAYS.search(owner.leave().html)
    assert not personal(own, subject)
    erased_by_the_job(own, owner.login)

    thief = own.customer(subject)
    answer = thief.press(thief.page("/customer"), ALLOW)
    assert (answer.status, "You need your key for this" in answer.html) == (403, True)
    assert not personal(own, subject)
    assert own_key.back(own, owner, subject).allow(SCENE).status_code == 204
    assert personal(own, subject)


def test_whoever_lost_the_key_leaves_with_a_sign_in_and_a_code_by_mail(own: Site) -> None:
    subject = "c00271"
    owner = own_key.come_over(own, subject)
    owner.enrol()
    assert owner.allow(SCENE).status_code == 204
    customer = own.customer(subject)
    assert ask(customer, code="AAAA-BBBB-CCCC").status == 403
    customer.press(customer.page(LEAVE), f"{LEAVE}/letter")
    found = wait_for(lambda: re.search(r"The code is ([A-Z0-9-]{14})\.", letters(own)), "letter")
    assert ask(own.customer("c00272"), word="no", code=found[1]).status == 400
    assert THREE_DAYS.search(ask(customer, code=found[1]).html)
    assert not personal(own, subject)
    erased_by_the_job(own, customer)
    returned = own.customer(subject)
    assert len(returned.receipts()) == 1, "the key that binds again"
    assert returned.press(returned.page("/customer"), ALLOW).status == 403


def test_leaving_ends_every_grant_with_receipts_and_is_announced_and_stopped(own: Site) -> None:
    subject = "c00273"
    customer = own.customer(subject)
    customer.switch(SCENE, "allow")
    customer.switch("lead-scoring", "allow")
    before = len(customer.receipts())
    assert ask(customer, word="no").status == 400
    assert personal(own, subject)
    assert THREE_DAYS.search(ask(customer).html)
    assert not personal(own, subject)
    assert len(customer.receipts()) == before + 3, "two grants end, and it counts as an objection"
    wait_for(lambda: "are to be erased" in letters(own), "letter")
    assert THREE_DAYS.search(customer.page("/customer").html)
    assert customer.press(customer.page("/customer"), ALLOW).status == 409
    customer.press(customer.page(LEAVE), f"{LEAVE}/stop")
    customer.switch(SCENE, "allow")
    assert personal(own, subject)
    assert len(customer.receipts()) == before + 4
    wait_for(lambda: "Your records here stay" in letters(own), "letter")


def test_whoever_never_gave_an_instruction_leaves_and_an_operator_still_erases_at_once(
    own: Site,
) -> None:
    silent = own.customer("c00274")
    assert THREE_DAYS.search(ask(silent).html)
    erased_by_the_job(own, silent)
    owner = own_key.come_over(own, "c00275")
    owner.enrol()
    assert done("erase", "c00275", "--data-dir", own.home).startswith("erased")
    returned = own.customer("c00275")
    assert returned.press(returned.page("/customer"), ALLOW).status == 403, "the key binds again"


def test_leaving_works_on_postgresql(site_on_postgres: Site) -> None:
    subject = "c00276"
    customer = site_on_postgres.customer(subject)
    customer.switch(SCENE, "allow")
    assert THREE_DAYS.search(ask(customer).html)
    assert not personal(site_on_postgres, subject)
    address = site_on_postgres.settings["SOVEREIGN_DATABASE"]
    with psycopg.connect(address, autocommit=True) as connection:
        changed = connection.execute(WAITED.format("people.departure", subject).encode())
        assert changed.rowcount == 1
    erased(customer)
