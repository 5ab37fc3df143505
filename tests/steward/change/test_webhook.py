"""Notices over HTTP, read by other people's libraries (S32-S35)."""

import json
import ssl
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from steward.notify.outbox import NoticeState, OutgoingNotice, RefusedError, UndeliveredError
from steward.notify.webhook import MAX_RETRY_AFTER, PREFIX, Webhook, WebhookError, keys, retry_after
from tests.steward.change.receiver import (
    Answer,
    drip,
    hang_up,
    listening,
    nobody,
    sleep,
    status,
)

NOW = datetime.now(UTC)
EVENT = {
    "specversion": "1.0",
    "id": "9f2c",
    "source": "//bank.example/consent",
    "type": "sovereign.case.opened",
    "time": "2026-01-01T12:00:00Z",
    "datacontenttype": "application/json",
    "data": {"text": "张***"},
}
BODY = json.dumps(EVENT, ensure_ascii=False).encode()
LETTER = OutgoingNotice("9f2c", 1, "opened", "webhook/crm", BODY, NoticeState.WAITING, 0, NOW, "")
SECRET = bytes(range(32))


@pytest.fixture(autouse=True)
def _at_present(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library that verifies believes messages of the last five minutes only."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


def secret(key: bytes = SECRET) -> str:
    return PREFIX + b64encode(key).decode()


def test_s33_the_signature_is_verified_by_an_independent_library() -> None:
    with listening() as receiver:
        Webhook(receiver.url, (SECRET,)).send(LETTER, NOW)
    ((headers, body),) = receiver.heard
    assert Verifier(secret()).verify(body, headers) == EVENT
    with pytest.raises(WebhookVerificationError):
        Verifier(secret()).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(secret(bytes(32))).verify(body, headers)


def test_s33_while_a_secret_is_replaced_both_verify() -> None:
    newer = bytes(24)
    with listening() as receiver:
        Webhook(receiver.url, (SECRET, newer)).send(LETTER, NOW)
    ((headers, body),) = receiver.heard
    for each in (SECRET, newer):
        assert Verifier(secret(each)).verify(body, headers) == EVENT


def test_s32_the_event_is_read_by_an_independent_library() -> None:
    with listening() as receiver:
        Webhook(receiver.url, (SECRET,)).send(LETTER, NOW)
    ((headers, body),) = receiver.heard
    lower = {name.lower(): value for name, value in headers.items()}
    found = from_http_event(HTTPMessage(lower, body))
    assert (found.get_id(), found.get_source()) == ("9f2c", "//bank.example/consent")
    assert found.get_type() == "sovereign.case.opened"
    assert found.get_data() == EVENT["data"]
    assert lower["webhook-id"] == found.get_id()


def test_s32_every_attempt_has_the_same_id_and_bytes_and_a_time_of_its_own() -> None:
    later = datetime.fromtimestamp(NOW.timestamp() + 60, UTC)
    with listening(status(500)) as receiver:
        hook = Webhook(receiver.url, (SECRET,))
        with pytest.raises(UndeliveredError):
            hook.send(LETTER, NOW)
        hook.send(LETTER, later)
    (one, body), (two, again) = receiver.heard
    assert body == again
    assert one["webhook-id"] == two["webhook-id"]
    assert int(two["webhook-timestamp"]) - int(one["webhook-timestamp"]) == 60
    assert Verifier(secret()).verify(again, two)


LONG_S, SHORT_S = 60.0, 2.0  # for an answer that comes, and for one that does not
FAILURES: dict[str, tuple[Answer, str, float]] = {
    "it fails": (status(500), "answered 500", LONG_S),
    "it refuses": (status(400), "answered 400", LONG_S),
    "it points elsewhere": (status(302), "answered 302", LONG_S),
    "it hangs up after hearing": (hang_up, "no answer", LONG_S),
    "it is slow": (sleep(4 * LONG_S), "no answer", SHORT_S),
    "it answers for ever": (drip, "no answer", SHORT_S),
}


@pytest.mark.parametrize("why", FAILURES)
def test_s35_anything_but_2xx_in_time_is_undelivered(why: str) -> None:
    answer, said, timeout_s = FAILURES[why]
    with listening(answer) as receiver:
        began = time.monotonic()
        with pytest.raises(UndeliveredError, match=said):
            Webhook(receiver.url, (SECRET,), timeout_s=timeout_s).send(LETTER, NOW)
        assert time.monotonic() - began < LONG_S
        assert len(receiver.heard) == 1  # a redirect was not followed


def test_s35_a_receiver_that_is_down_is_undelivered() -> None:
    with pytest.raises(UndeliveredError, match="no answer"):
        Webhook(nobody(), (SECRET,)).send(LETTER, NOW)


def test_s35_a_receiver_that_is_gone_refuses() -> None:
    with listening(status(410)) as receiver, pytest.raises(RefusedError, match="410"):
        Webhook(receiver.url, (SECRET,)).send(LETTER, NOW)


def test_s34_https_means_tls_with_a_certificate_that_is_checked() -> None:
    with listening() as receiver:
        hook = Webhook(receiver.url.replace("http:", "https:"), (SECRET,))
        with pytest.raises(UndeliveredError, match="SSL"):
            hook.send(LETTER, NOW)
        assert receiver.heard == []
    assert ssl.create_default_context().check_hostname


WAITS: dict[str, tuple[str, timedelta | None]] = {
    "seconds": ("120", timedelta(seconds=120)),
    "no time at all": ("0", timedelta(0)),
    "longer than the longest wait": ("864000", MAX_RETRY_AFTER),
    "more digits than any time has": ("9" * 400, MAX_RETRY_AFTER),
    "a date": ("Sat, 21 Nov 2026 12:10:00 GMT", timedelta(minutes=10)),
    "a date in the form of RFC 850": ("Saturday, 21-Nov-26 12:10:00 GMT", timedelta(minutes=10)),
    "a date that is past": ("Sat, 21 Nov 2026 11:00:00 GMT", timedelta(0)),
    "a date that is far away": ("Sat, 21 Nov 2099 12:00:00 GMT", MAX_RETRY_AFTER),
    "nothing": ("", None),
    "words": ("soon", None),
    "a fraction": ("1.5", None),
    "a negative number": ("-5", None),
    "digits that are not ASCII": ("١٢٠", None),
}


@pytest.mark.parametrize("why", WAITS)
def test_s46_a_wait_that_a_receiver_asks_for(why: str) -> None:
    value, wait = WAITS[why]
    assert retry_after(value, datetime(2026, 11, 21, 12, tzinfo=UTC)) == wait


@pytest.mark.parametrize(
    ("code", "wait"), [(429, timedelta(seconds=90)), (503, timedelta(seconds=90)), (500, None)]
)
def test_s46_only_an_answer_that_says_busy_is_waited_for(code: int, wait: timedelta | None) -> None:
    with (
        listening(status(code, "90")) as receiver,
        pytest.raises(UndeliveredError, match=f"answered {code}") as refused,
    ):
        Webhook(receiver.url, (SECRET,)).send(LETTER, NOW)
    assert refused.value.retry_after == wait


REFUSED = {
    "plain http": "http://crm.example/hooks",
    "plain http on a private network": "http://10.0.0.7/hooks",
    "plain http that only begins like loopback": "http://127.0.0.1.example/",
    "a file": "file:///etc/passwd",
    "no host": "https:///hooks",
    "a password": "https://user:password@crm.example/",
    "a fragment": "https://crm.example/#here",
    "no address": "crm",
    "a user alone": "https://user@crm.example/",
    "a space": "https://crm.example/a b",
    "a line break": "https://crm.example/\n",
    "letters that are not ASCII": "https://crm.exämple/",
    "a port that is none": "https://crm.example:port/",
    "a bracket that is not closed": "https://[::1/",
}


@pytest.mark.parametrize("why", REFUSED)
def test_s34_a_target_that_would_be_read_on_the_way_is_refused(why: str) -> None:
    with pytest.raises(WebhookError, match=r"want https://host/path") as refused:
        Webhook(REFUSED[why], (SECRET,))
    assert "password@" not in str(refused.value)


@pytest.mark.parametrize("url", ["https://crm.example", "http://localhost:1/", "http://[::1]:1/"])
def test_s34_https_and_loopback_are_targets(url: str) -> None:
    assert Webhook(url, (SECRET,)).url == url


def test_s34_a_target_without_a_secret_is_refused() -> None:
    with pytest.raises(WebhookError, match="no secret"):
        Webhook("https://crm.example", ())


def test_s33_a_secret_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "webhook-crm.whsec"
    made = keys(path)
    assert keys(path) == made
    assert len(made[0]) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == secret(made[0]) + "\n"


SECRETS = {
    "no prefix": b64encode(bytes(32)).decode(),
    "too short": PREFIX + b64encode(bytes(23)).decode(),
    "too long": PREFIX + b64encode(bytes(65)).decode(),
    "not base64": PREFIX + "!" * 44,
}


@pytest.mark.parametrize("why", SECRETS)
def test_s33_another_secret_is_refused_and_not_repeated(why: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{secret()}\n{SECRETS[why]}\n")
    with pytest.raises(WebhookError, match="24 to 64 bytes") as refused:
        keys(path)
    assert SECRETS[why] not in str(refused.value)
