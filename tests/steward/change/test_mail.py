"""Notices by mail, and who is told at all (S39)."""

import json
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from ledger.events.envelope import Granted, Withdrawn
from steward.notify import recipients
from steward.notify.mail import NoticeFolder, NoticeSmtp
from steward.notify.outbox import OutgoingNotice, UndeliveredError
from steward.notify.recipients import RecipientError
from steward.notify.webhook import Webhook
from tests.gate.world import NOON
from tests.steward.change.office import ALL, office
from tests.steward.change.receiver import mail_server

FILE = """
[webhook.crm]
url = "https://crm.bank.example/hooks"
roles = ["account-manager"]

[mail]
host = "127.0.0.1"
port = 25
sender = "consent@bank.example"
[mail.to]
account-manager = "desk@bank.example"
"""


@pytest.fixture
def letter(tmp_path: Path) -> OutgoingNotice:
    desk = office(tmp_path)
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    (letter,) = desk.outbox.waiting()
    return letter


def test_a_message_says_what_the_event_says_in_every_language(
    letter: OutgoingNotice, tmp_path: Path
) -> None:
    NoticeFolder(tmp_path / "mail", "desk@bank.example").send(letter, NOON)
    (path,) = (tmp_path / "mail").iterdir()
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    texts = json.loads(letter.body)["data"]["text"]
    languages = json.loads(letter.body)["data"]["languages"]
    assert sorted(languages) == sorted(texts) == ["de", "en", "zh-CN"]
    assert languages[0] == "en", "the company's first language comes first"
    assert message["Subject"] == " / ".join(texts[each]["title"] for each in languages)
    said = message.get_content()
    assert all(each["body"] in said for each in texts.values())
    assert letter.id in message["Message-ID"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_sending_again_leaves_one_message(letter: OutgoingNotice, tmp_path: Path) -> None:
    folder = NoticeFolder(tmp_path / "mail", "desk@bank.example")
    folder.send(letter, NOON)
    first = [(each.name, each.read_bytes()) for each in folder.folder.iterdir()]
    folder.send(letter, NOON)
    assert [(each.name, each.read_bytes()) for each in folder.folder.iterdir()] == first


def test_a_folder_that_cannot_be_written_is_undelivered(
    letter: OutgoingNotice, tmp_path: Path
) -> None:
    (tmp_path / "mail").write_text("a file stands in the way")
    with pytest.raises(UndeliveredError, match="check the folder"):
        NoticeFolder(tmp_path / "mail", "desk@bank.example").send(letter, NOON)


def test_a_mail_server_takes_it(letter: OutgoingNotice) -> None:
    with mail_server() as (port, messages):
        NoticeSmtp("127.0.0.1", port, "desk@bank.example", "consent@bank.example").send(
            letter, NOON
        )
    (message,) = messages
    assert message["To"] == "desk@bank.example"
    assert "工单" in message["Subject"]
    assert "A***" in message.get_content()


def test_a_mail_server_that_refuses_is_undelivered(letter: OutgoingNotice) -> None:
    with mail_server(refuses=True) as (port, messages):
        smtp = NoticeSmtp("127.0.0.1", port, "desk@bank.example", "consent@bank.example")
        with pytest.raises(UndeliveredError, match="try again later"):
            smtp.send(letter, NOON)
    assert messages == []


def test_a_mail_server_that_is_down_is_undelivered(letter: OutgoingNotice) -> None:
    with mail_server() as (port, _):
        pass
    with pytest.raises(UndeliveredError, match="not accepted"):
        NoticeSmtp("127.0.0.1", port, "desk@bank.example", "consent@bank.example").send(
            letter, NOON
        )


def test_s39_without_a_file_everybody_has_a_folder(tmp_path: Path) -> None:
    found = recipients.load(tmp_path)
    assert found.channels("anybody") == ["file/anybody"]
    assert found.sender("file/anybody") == NoticeFolder(
        tmp_path / "mail", "anybody@steward.invalid"
    )


def test_s39_a_role_has_the_channels_that_name_it_else_the_folder(tmp_path: Path) -> None:
    (tmp_path / "steward.toml").write_text(FILE)
    found = recipients.load(tmp_path)
    assert found.channels("account-manager") == ["webhook/crm", "mail/account-manager"]
    assert found.channels("data-protection-officer") == ["file/data-protection-officer"]
    smtp = NoticeSmtp("127.0.0.1", 25, "desk@bank.example", "consent@bank.example")
    assert found.sender("mail/account-manager") == smtp
    hook = found.sender("webhook/crm")
    assert isinstance(hook, Webhook)
    assert (tmp_path / "keys" / "webhook-crm.whsec").exists()


@pytest.mark.parametrize("channel", ["webhook/gone", "mail/gone", "pigeon/crm", ""])
def test_s39_a_channel_that_is_configured_no_more_fails(channel: str, tmp_path: Path) -> None:
    (tmp_path / "steward.toml").write_text(FILE)
    with pytest.raises(UndeliveredError, match="no longer names"):
        recipients.load(tmp_path).sender(channel)


def test_a_secret_that_was_damaged_fails_and_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "steward.toml").write_text(FILE)
    path = tmp_path / "keys" / "webhook-crm.whsec"
    path.parent.mkdir()
    path.write_text("whsec_short\n")
    with pytest.raises(UndeliveredError, match="cannot be signed"):
        recipients.load(tmp_path).sender("webhook/crm")
    assert path.read_text() == "whsec_short\n"


BAD = {
    "not TOML": "webhook = [",
    "a table of another name": "[pigeon]\nurl = 'x'",
    "a webhook without an address": "[webhook.crm]\nroles = ['dpo']",
    "a webhook for nobody": "[webhook.crm]\nurl = 'https://crm.example'",
    "a webhook in clear": "[webhook.crm]\nurl = 'http://crm.example'\nroles = ['dpo']",
    "a webhook with a path for a name": "[webhook.'../x']\nurl = 'https://a.example'\nroles = []",
    "mail to nobody": "[mail]\nhost = 'h'\nport = 25\nsender = 's'",
    "a port that is none": "[mail]\nhost = 'h'\nport = 'x'\nsender = 's'\n[mail.to]\ndpo = 'd'",
    "a list for a table": "webhook = [1]",
    "a value for a webhook": "webhook.crm = 'https://a.example'",
    "an address that is a number": "[webhook.crm]\nurl = 1\nroles = ['dpo']",
    "roles that are a text": "[webhook.crm]\nurl = 'https://a.example'\nroles = 'dpo'",
    "no roles": "[webhook.crm]\nurl = 'https://a.example'\nroles = []",
    "a port beyond all ports": "[mail]\nhost = 'h'\nport = 65536\nsender = 's@h'\nto = {}",
    "a port that is true": "[mail]\nhost = 'h'\nport = true\nsender = 's@h'\nto = {}",
    "a sender without a host": "[mail]\nhost = 'h'\nport = 25\nsender = 's'\nto = {}",
    "a key twice": "[mail]\nhost = 'a'\nhost = 'b'",
}


@pytest.mark.parametrize("why", BAD)
def test_another_file_is_refused_and_named(why: str, tmp_path: Path) -> None:
    (tmp_path / "steward.toml").write_text(BAD[why])
    with pytest.raises(RecipientError, match=r"steward\.toml"):
        recipients.load(tmp_path)


HOOK = "[webhook.crm]\nurl = 'https://crm.example'\nroles = ['dpo']\n"
MISSPELT = {
    "webhok: unknown key, want mail or webhook; did you mean webhook?": "[webhok.crm]",
    "webhook.crm.ulr: unknown key, want roles or url; did you mean url?": (
        HOOK.replace("url", "ulr")
    ),
    "webhook.crm.colour: unknown key, want roles or url": HOOK + "colour = 'red'",
    "mail.hosst: unknown key, want host, port, sender or to; did you mean host?": (
        "[mail]\nhosst = 'h'"
    ),
    "webhook.crm.url: missing": "[webhook.crm]\nroles = ['dpo']",
    "webhook.crm.url: want https://host/path (http on a loopback address only), "
    "found 'ftp://crm.example'": HOOK.replace("https", "ftp"),
    "webhook.crm.url: want https://host/path (http on a loopback address only) "
    "without user and password, found 'https://***@crm.example'": (
        HOOK.replace("crm.example", "ada:secret@crm.example")
    ),
    "mail.port: want a number from 1 to 65535, found 'x'": (
        "[mail]\nhost = 'h'\nport = 'x'\nsender = 's@h'\nto = {}"
    ),
}


@pytest.mark.parametrize("message", MISSPELT)
def test_s47_what_is_misspelt_is_named_with_what_was_wanted(message: str, tmp_path: Path) -> None:
    (tmp_path / "steward.toml").write_text(MISSPELT[message])
    with pytest.raises(RecipientError) as refused:
        recipients.load(tmp_path)
    assert str(refused.value) == f"{tmp_path / 'steward.toml'}: {message}"
