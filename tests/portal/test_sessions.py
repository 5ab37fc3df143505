"""Sessions and values that are taken once: shared by processes, and opened only by their token."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from ledger.events.envelope import Granted, Instruction
from ledger.service import Ledger
from ledger.storage import database
from ledger.storage.database import writing
from portal.auth.handoff import Handoffs
from portal.auth.oidc import Pending
from portal.auth.one_time import OneTimeStore
from portal.auth.passkeys import Challenge
from portal.auth.session import (
    STEWARD,
    Draft,
    Notice,
    Session,
    Sessions,
    Undo,
)
from portal.configuration.session_length import IDLE, LONGEST, SessionLength
from portal.storage import sessions as stored
from portal.storage.sessions import SESSION, SESSIONS, SessionTable, invalidate_sessions
from tests.gate.world import NOON, WORDING
from tests.portal.conftest import START
from tests.postgres import fresh, stored_at

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    address = request.getfixturevalue("address") if request.param == "postgresql" else ""
    with stored_at(tmp_path / "home", fresh(address) if address else "") as home:
        yield home


@pytest.fixture
def sessions(home: Path) -> Sessions:
    return Sessions(SessionTable(home))


def elsewhere(home: Path, kind: str = "customer") -> Sessions:
    """The sessions as another process, or this one after a restart, has them."""
    return Sessions(SessionTable(home), kind)


def found(sessions: Sessions, token: str, after: timedelta = timedelta()) -> Session:
    session = sessions.find(token, START + after)
    assert session is not None
    return session


def instruction(folder: Path) -> Instruction:
    ledger = Ledger.open(folder, origin="test.example/consent")
    try:
        return ledger.draft("c1", Granted("segmentation", ("age",), None), at=NOON, wording=WORDING)
    finally:
        ledger.close()


def test_everything_pending_in_a_session_is_there_in_another_process(
    home: Path, sessions: Sessions, tmp_path: Path
) -> None:
    token = sessions.open("c1", "Ada", START, START - MINUTE)
    session = found(sessions, token)
    session.notice, session.signal = Notice("segmentation", "notice.allowed", 7), (3, 4)
    session.undo = Undo("segmentation", ("age",), None)
    session.draft = Draft(instruction(tmp_path), session.notice, session.undo, START + MINUTE)
    sessions.save(session)
    again = found(elsewhere(home), token, SECOND)
    for part in ("subject", "name", "proved", "began", "notice", "undo", "signal", "draft"):
        assert getattr(again, part) == getattr(session, part), part


def test_a_draft_is_signed_once(home: Path, sessions: Sessions, tmp_path: Path) -> None:
    token = sessions.open("c1", None, START)
    session = found(sessions, token)
    session.draft = Draft(instruction(tmp_path), Notice("s", "k"), None, START + MINUTE)
    sessions.save(session)
    again = found(elsewhere(home), token)
    assert again.take_draft(START) is not None
    elsewhere(home).save(again)
    assert found(sessions, token).draft is None


def test_i6_3_a_company_sets_when_sessions_end(home: Path) -> None:
    sessions = Sessions(SessionTable(home), length=SessionLength(5 * MINUTE, 8 * MINUTE))
    token = sessions.open("c1", None, START)
    assert sessions.find(token, START + 4 * MINUTE)
    assert sessions.find(token, START + 7 * MINUTE)
    assert not sessions.find(token, START + 8 * MINUTE)


@pytest.mark.parametrize("limit", [IDLE, LONGEST], ids=["without use", "the longest"])
def test_a_session_ends_in_time(home: Path, sessions: Sessions, limit: timedelta) -> None:
    token, at = sessions.open("c1", None, START), timedelta()
    while limit is LONGEST and at < LONGEST - IDLE / 2:
        at += IDLE / 2
        sessions.save(found(sessions, token, at))
    assert elsewhere(home).find(token, START + limit - SECOND) is not None
    assert elsewhere(home).find(token, START + limit) is None
    assert sessions.find(token, START + limit) is None


def test_a_session_that_is_used_lives_on(home: Path, sessions: Sessions) -> None:
    token = sessions.open("c1", None, START)
    for minutes in range(0, 90, 29):
        sessions.save(found(sessions, token, minutes * MINUTE))
    assert elsewhere(home).find(token, START + 116 * MINUTE) is not None


def writes(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The writes to the table of sessions from now on."""
    seen: list[object] = []
    update = SessionTable.update

    def noted(self: SessionTable, *row: object) -> None:
        seen.append(row)
        update(self, *row)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionTable, "update", noted)
    return seen


def test_a_request_writes_what_changed_and_its_use_once_a_minute(
    home: Path, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, seen = sessions.open("c1", None, START), writes(home, monkeypatch)
    for seconds in range(0, 59, 7):
        sessions.save(found(sessions, token, seconds * SECOND))
    assert seen == []
    sessions.save(found(sessions, token, MINUTE))
    assert len(seen) == 1
    session = found(sessions, token, MINUTE + SECOND)
    session.notice = Notice("s", "k")
    sessions.save(session)
    sessions.save(session)
    assert len(seen) == 2


def test_signing_out_ends_a_session_everywhere_and_nothing_brings_it_back(
    home: Path, sessions: Sessions
) -> None:
    token = sessions.open("c1", None, START)
    late = found(elsewhere(home), token)
    sessions.close(token)
    late.notice = Notice("s", "k")
    elsewhere(home).save(late)
    assert elsewhere(home).find(token, START) is None


def test_all_sessions_of_a_customer_end_and_nobody_elses(home: Path, sessions: Sessions) -> None:
    mine = [sessions.open("c1", None, START) for _ in range(2)]
    other, steward = sessions.open("c2", None, START), elsewhere(home, STEWARD)
    namesake = steward.open("c1", "officer", START)
    assert elsewhere(home).end("c1") == 2
    assert [sessions.find(token, START) for token in mine] == [None, None]
    assert sessions.find(other, START)
    assert steward.find(namesake, START)


def test_a_session_of_a_steward_is_none_of_a_customer(home: Path, sessions: Sessions) -> None:
    token = elsewhere(home, STEWARD).open("officer-7", "officer", START)
    assert sessions.find(token, START) is None
    with writing(database.of(home).engine(SESSIONS)) as connection:
        connection.execute(text("UPDATE session SET kind = 'customer'"))
    assert sessions.find(token, START) is None


def test_what_is_cached_of_a_customer_is_dropped_in_every_process(
    home: Path, sessions: Sessions
) -> None:
    token = sessions.open("c1", None, START)
    session, other = found(sessions, token), elsewhere(home)
    session.notice, session.signal = Notice("s", "k"), (1,)
    sessions.save(session)
    before = [found(each, token).agreement for each in (sessions, other)]
    assert found(sessions, token).agreement is before[0]
    invalidate_sessions(home, "c1", "customer")
    for each, cached in zip((sessions, other), before, strict=True):
        again = found(each, token)
        assert again.agreement is not cached
        assert (again.notice, again.undo, again.signal) == (None, None, (1,))


def test_the_database_opens_no_session_and_names_nothing_of_its_content(
    home: Path, sessions: Sessions
) -> None:
    token = sessions.open("c1", "Ada Lovelace", START)
    with database.of(home).engine(SESSIONS).connect() as connection:
        row = connection.execute(select(SESSION)).one()
    for stored_value in row:
        assert token not in str(stored_value)
        if isinstance(stored_value, bytes):
            assert token.encode() not in stored_value
            assert b"Ada" not in stored_value
            assert sessions.find(stored_value.hex(), START) is None


DAMAGES = {
    "another's content": (
        "UPDATE session SET content = (SELECT content FROM session AS other "
        "WHERE other.subject = 'c2') WHERE subject = 'c1'"
    ),
    "another's name": "UPDATE session SET subject = 'c3' WHERE subject = 'c1'",
    "no content": "UPDATE session SET content = substr(content, 1, 5)",
}


@pytest.mark.parametrize("why", DAMAGES)
def test_damaged_content_signs_nobody_in(home: Path, sessions: Sessions, why: str) -> None:
    token, _ = (sessions.open(who, None, START) for who in ("c1", "c2"))
    with writing(database.of(home).engine(SESSIONS)) as connection:
        connection.execute(text(DAMAGES[why]))
    assert sessions.find(token, START) is None


@pytest.mark.parametrize("token", [None, "", "x", "é" * 40])
def test_a_token_that_is_none_finds_nothing(sessions: Sessions, token: str | None) -> None:
    assert sessions.find(token, START) is None
    sessions.close(token)


def rows(home: Path) -> int:
    with database.of(home).engine(SESSIONS).connect() as connection:
        return len(connection.execute(select(SESSION)).all())


def test_ended_sessions_are_swept(home: Path, sessions: Sessions) -> None:
    for _ in range(3):
        sessions.open("c1", None, START)
    sessions.open("c1", None, START + IDLE + 2 * MINUTE)
    assert rows(home) == 1


def test_beyond_the_limit_the_least_used_tenth_is_dropped(
    home: Path, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.auth.session.MAX_SESSIONS", 20)
    tokens = [sessions.open("c1", None, START + n * SECOND) for n in range(20)]
    sessions.open("c1", None, START + 2 * MINUTE)
    assert rows(home) == 19
    assert [sessions.find(token, START + 2 * MINUTE) is None for token in tokens[:3]] == [
        True,
        True,
        False,
    ]


VALUES: dict[str, Pending | Challenge] = {
    "a login": Pending("state", "nonce", "verifier", "https://x.example/back"),
    "a challenge": Challenge(b"\x00\xff", "c1"),
    "a challenge for nobody": Challenge(b"challenge", None),
}


def begun(home: Path, kind: str = "begun") -> OneTimeStore[Pending | Challenge]:
    return OneTimeStore(SessionTable(home), kind, Pending | Challenge, 10 * MINUTE)


@pytest.mark.parametrize("why", VALUES)
def test_a_value_is_taken_once_by_any_process(home: Path, why: str) -> None:
    name = begun(home).begin(VALUES[why], START)
    assert begun(home).finish(name, START + MINUTE) == VALUES[why]
    assert begun(home).finish(name, START + MINUTE) is None


WRONG: dict[str, Callable[[Path, str], object]] = {
    "too late": lambda home, name: begun(home).finish(name, START + 10 * MINUTE),
    "another name": lambda home, name: begun(home).finish(name + "x", START),
    "no name": lambda home, _: begun(home).finish(None, START),
    "for another end": lambda home, name: begun(home, "crossing").finish(name, START),
}


@pytest.mark.parametrize("why", WRONG)
def test_a_value_is_not_given_out(home: Path, why: str) -> None:
    name = begun(home).begin(VALUES["a login"], START)
    assert WRONG[why](home, name) is None


def test_a_code_signs_in_once_as_who_made_it(home: Path, sessions: Sessions) -> None:
    token = sessions.open("c1", "Ada", START, START - MINUTE)
    code = Handoffs(SessionTable(home), sessions).open(found(sessions, token), START)
    again = Handoffs(SessionTable(home), elsewhere(home))
    assert again.redeem(code.lower(), START + MINUTE) == found(sessions, token).identity
    assert again.redeem(code, START + MINUTE) is None


def test_a_code_ends_with_its_session_its_time_or_a_newer_one(
    home: Path, sessions: Sessions
) -> None:
    handoffs = Handoffs(SessionTable(home), sessions)
    token = sessions.open("c1", None, START)
    first, second = (handoffs.open(found(sessions, token), START) for _ in range(2))
    assert handoffs.redeem(first, START) is None
    assert handoffs.redeem(second, START + 2 * MINUTE) is None
    third = handoffs.open(found(sessions, token), START)
    sessions.close(token)
    assert handoffs.redeem(third, START) is None


def test_values_whose_time_is_over_are_swept(home: Path, sessions: Sessions) -> None:
    begun(home).begin(VALUES["a login"], START)
    sessions.open("c1", None, START + 60 * MINUTE)
    with database.of(home).engine(SESSIONS).connect() as connection:
        assert connection.execute(select(stored.ONE_TIME)).all() == []
