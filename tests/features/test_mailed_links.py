"""A customer signs in with a link by mail (clause 8.11 of specs/portal.md)."""

import re
import shutil
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.features.conftest import _run, prepared
from tests.features.served import Person, Site, wait_for

LINK = re.compile(r"(http://[^/\s]+)/login/mail#([A-Z0-9]{16})")
ME = "c00007"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("mailed")
    home = shutil.copytree(prepared(_run(tmp_path_factory)), folder / "data")
    settings = {
        "SOVEREIGN_MAIL_SIGN_IN": "true",
        "SOVEREIGN_MAIL": f"folder:{home}/letters",
        "SOVEREIGN_ADDRESS": "http://privacy.bank.example",
    }
    with Site(home, folder / "log", settings=settings).serving() as served:
        yield served


def letters(site: Site) -> list[Path]:
    return [*(site.home / "letters").glob("*.eml")]


def sent_to(site: Site, customer: str) -> list[EmailMessage]:
    """The letters to this customer, whose address ends in their number."""
    read = [message_from_bytes(each.read_bytes(), policy=policy.default) for each in letters(site)]
    return [each for each in read if f".{int(customer[1:])}@" in each["To"]]


def asked(site: Site, person: Person, customer: str, **headers: str) -> str:
    """Ask for a link in this browser, for a customer without a letter; the letter's text."""
    assert not sent_to(site, customer)
    page = person.client.post("/login/mail", data={"customer": customer}, headers=headers)
    assert page.status_code == 200
    (letter,) = wait_for(lambda: sent_to(site, customer), "letter")
    return str(letter.get_content())


def test_3_27_a_mailbox_shows_nobody_their_own_values(site: Site) -> None:
    mine = site.visitor()
    _, code = LINK.search(asked(site, mine, "c00011")).groups()  # type: ignore[union-attr]
    assert entered(mine, code) in {200, 303}
    page = mine.page("/customer/data").html
    assert "You signed in with a link by e-mail." in page
    assert "own-value" not in page
    assert 'action="/customer/data"' not in page
    answer = mine.client.post("/customer/data")
    assert answer.status_code == 403
    assert "own-value" not in answer.text
    assert "You, yourself" not in mine.page("/customer/reads").html


def entered(person: Person, code: str) -> int:
    return person.client.post("/login/mail/code", data={"code": code}).status_code


def test_8_11_the_link_signs_in_once_in_the_browser_that_asked(site: Site) -> None:
    mine, other = site.visitor(), site.visitor()
    assert "/login/mail" in mine.page("/").html
    base, code = LINK.search(asked(site, mine, ME, Host="evil.example")).groups()  # type: ignore[union-attr]
    assert base == "http://privacy.bank.example", "never the host that the request names"
    assert entered(other, code) == 401, "another browser did not ask"
    assert other.client.post("/login/mail", data={"customer": "c00008"}).status_code == 200
    assert entered(other, code) == 401, "it asked for itself"
    assert entered(mine, "0" + code[1:]) == 401
    assert entered(mine, code) == 200
    assert mine.page("/customer").status == 200
    assert entered(mine, code) == 401, "once"


def test_8_11_such_a_session_has_proven_nothing(site: Site) -> None:
    person = site.visitor()
    code = LINK.search(asked(site, person, "c00012"))[2]  # type: ignore[index]
    assert entered(person, code) == 200
    assert person.client.post("/customer/passkeys/options").status_code == 403
    leave = "/customer/leave/everything"
    left = person.client.post(leave, data={"word": "erase"})
    assert left.status_code in {401, 403}, left.text


def test_8_11_nobody_learns_who_is_a_customer_and_letters_are_few(site: Site) -> None:
    person = site.visitor()
    known = person.client.post("/login/mail", data={"customer": "c00013"})
    wait_for(lambda: sent_to(site, "c00013"), "letter")
    for number in ("c00013", "nobody-has-this"):
        answer = person.client.post("/login/mail", data={"customer": number})
        assert (answer.status_code, answer.text) == (200, known.text)
    asked(site, person, "c00014")  # letters leave one after the other: earlier ones have left
    assert len(sent_to(site, "c00013")) == 1, "one a minute"


def test_8_11_there_is_none_of_it_unless_the_company_wants_it(
    unserved: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(unserved, tmp_path / "data")
    with Site(home, tmp_path / "log").serving() as plain:
        person = plain.visitor()
        assert "/login/mail" not in person.page("/").html
        assert person.client.get("/login/mail").status_code == 404
        assert person.client.post("/login/mail", data={"customer": ME}).status_code == 404


def test_8_11_a_session_by_a_link_erases_nothing(site: Site) -> None:
    person = site.visitor()
    code = LINK.search(asked(site, person, "c00016"))[2]  # type: ignore[index]
    assert entered(person, code) == 200
    person.switch("recommendation", "withdraw")
    person.switch("recommendation", "allow")
    earliest = person.receipts()[-1]
    assert person.client.post(f"/customer/leave/entries/{earliest}").status_code == 403
    assert earliest in person.receipts()


def test_8_11_what_anybody_asks_for_crowds_out_no_receipt(site: Site) -> None:
    """A flood of asks, for known and made-up numbers, then an act: its receipt is mailed."""
    customer = site.customer("c00014")
    before = len(letters(site))
    for number in range(300):
        asker = site.visitor()
        name = f"c{number % 150 + 20:05d}" if number % 2 else f"nobody-{number}"
        assert asker.client.post("/login/mail", data={"customer": name}).status_code == 200
    customer.switch("lead-scoring", "allow")
    customer.switch("lead-scoring", "withdraw")

    def receipts() -> list[Path]:
        return [each for each in letters(site) if b"receipt" in each.read_bytes().lower()]

    wait_for(lambda: len(receipts()) >= 2, "receipts of both acts")
    assert len(letters(site)) - before <= 60 + 2, "of links there are so many a minute"
