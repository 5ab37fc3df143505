"""Clauses 11.4 and 11.5 of specs/portal.md: letters leave this house, and hold nobody up."""

import email
import socketserver
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from starlette.testclient import TestClient

from ledger.verify.receipt import parse, verify
from portal.consent import wording
from portal.operations import mail
from portal.operations.mail import CustomerMail, LetterFolder, LetterSmtp, MailSettingError
from portal.operations.wiring import Product
from portal.web import i18n
from tests.portal.conftest import Clock, browser, copy, sign_in

ME, SCENE = "c00007", "segmentation"
BAD_SETTINGS = {
    "no scheme": "mail.bank.example",
    "another scheme": "https://mail.bank.example",
    "no host": "smtp://",
    "no folder": "folder:",
}
WAYS = {
    "smtp://mail.bank.example": LetterSmtp("mail.bank.example", 587, "", "", encrypted=False),
    "smtps://me:s%40y@mail.bank.example": LetterSmtp(
        "mail.bank.example", 465, "me", "s@y", encrypted=True
    ),
    "smtp://localhost:2525": LetterSmtp("localhost", 2525, "", "", encrypted=False),
    "folder:/var/spool/letters": LetterFolder(Path("/var/spool/letters")),
}


class Server(socketserver.StreamRequestHandler):
    """A mail server in its simplest form (RFC 5321): it takes everything and keeps it."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                kept = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.kept.append(kept)  # type: ignore[attr-defined] # set where it is made
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")


@pytest.fixture
def server() -> Iterator[Any]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as made:
        made.kept = []  # type: ignore[attr-defined] # what arrived
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def mailing(seeded: Path, tmp_path: Path) -> Product:
    return copy(seeded, tmp_path / "home", mail=f"folder:{tmp_path / 'letters'}")


def press(client: TestClient, product: Product, wish: str = "allow") -> int:
    words = wording.token(product.scenes[SCENE], i18n.load()["en"])
    form = {"version": str(product.ledger.version(ME)), "words": words}
    return client.post(f"/customer/scenes/{SCENE}/{wish}", data=form).status_code


def letters(client: TestClient, folder: Path) -> list[EmailMessage]:
    post = client.app.state.context.post  # type: ignore[attr-defined] # an application of ours
    post.settle()
    found = sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    return [email.message_from_bytes(each.read_bytes(), policy=default) for each in found]


@pytest.mark.parametrize("setting", WAYS)
def test_the_setting_names_the_way_out(setting: str) -> None:
    assert mail.sender(setting) == WAYS[setting]


def test_without_a_setting_no_letter_leaves() -> None:
    assert mail.sender("") is None


@pytest.mark.parametrize("setting", BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys())
def test_a_setting_that_names_no_way_is_refused(setting: str) -> None:
    with pytest.raises(MailSettingError, match="want smtp://host:port"):
        mail.sender(setting)


def test_every_act_is_followed_by_a_letter_whose_proof_verifies(
    mailing: Product, clock: Clock, tmp_path: Path
) -> None:
    with browser(mailing, clock) as client:
        press(sign_in(client, ME), mailing)
        (letter,) = letters(client, tmp_path / "letters")
    row = mailing.gate.source.row(ME, ["email"]) or {}
    body = letter.get_body()
    assert letter["To"] == row["email"]
    assert body is not None
    assert mailing.scenes[SCENE].title["en"] in body.get_content()
    proof, words = letter.iter_attachments()
    assert words.get_content() == wording.shown(mailing.scenes[SCENE], i18n.load()["en"])
    receipt = parse(proof.get_content().decode())
    verify(receipt, mailing.ledger.log.verifiers)
    assert receipt.extra["event"]["act"]["type"] == "granted"


def test_the_letter_is_in_the_language_of_the_page(
    mailing: Product, clock: Clock, tmp_path: Path
) -> None:
    with browser(mailing, clock) as client:
        client.headers["Accept-Language"] = "zh-CN"
        press(sign_in(client, ME), mailing)
        (letter,) = letters(client, tmp_path / "letters")
    assert "回执" in letter["Subject"]


def test_the_reading_of_the_address_is_journalled(
    mailing: Product, clock: Clock, tmp_path: Path
) -> None:
    with browser(mailing, clock) as client:
        press(sign_in(client, ME), mailing)
        letters(client, tmp_path / "letters")
        assert "E-mail" in client.get("/customer/reads").text


def test_a_copy_can_be_asked_for_again(mailing: Product, clock: Clock, tmp_path: Path) -> None:
    with browser(mailing, clock) as client:
        sign_in(client, ME)
        index = mailing.ledger.history(ME)[0].index
        assert client.post(f"/customer/receipts/{index}/mail").status_code == 200
        (letter,) = letters(client, tmp_path / "letters")
    assert f"receipt-{index}.tlog-proof" in str(letter)


def test_a_mail_server_that_hangs_or_is_gone_holds_nobody_up(
    seeded: Path, tmp_path: Path, clock: Clock
) -> None:
    product = copy(seeded, tmp_path / "home", mail="smtp://127.0.0.1:1")
    with browser(product, clock) as client:
        sign_in(client, ME)
        began = monotonic()
        assert press(client, product) == 200
        assert monotonic() - began < mail.TIMEOUT_S / 2
        client.app.state.context.post.settle()  # type: ignore[attr-defined] # as above
        assert press(client, product, "withdraw") == 200


def test_a_letter_reaches_a_mail_server(server: Any) -> None:
    way = LetterSmtp("127.0.0.1", server.server_address[1], "", "", encrypted=False)
    way.send(mail.letter("a@portal.example", "b@home.example", "Your receipt", "Kept.\n"))
    (kept,) = server.kept
    assert b"Subject: Your receipt\r\n" in kept
    assert b"Auto-Submitted: auto-generated\r\n" in kept


def test_letters_that_nobody_carries_are_dropped_and_the_log_names_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held, started = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        held.wait(180)

    def never() -> EmailMessage:
        raise OSError("c00007 at home.example")

    post = CustomerMail(LetterFolder(Path("unused")))
    post.put(slow)
    assert started.wait(180)
    for _ in range(mail.MAX_WAITING):
        post.put(never)
    post.put(never)
    assert "one more is dropped" in caplog.text
    held.set()
    post.settle()
    assert "not sent: OSError" in caplog.text
    assert "c00007" not in caplog.text
