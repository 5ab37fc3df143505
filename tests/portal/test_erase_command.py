"""Clauses V10, V40 and V49 of specs/vault.md: `sovereign erase` and `sovereign hold`."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger import clock
from ledger.events.envelope import Withdrawn
from ledger.fsck import fsck
from ledger.service import Ledger
from portal.auth.session import Sessions
from portal.commands import app
from portal.storage.departures import Departures
from portal.storage.sessions import SessionTable
from tests.ledger.worlds import AGE, opened, say


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """c1 said 0 and 1, c2 said 2."""
    ledger = opened(tmp_path)
    say(ledger, "c1", AGE, Withdrawn("segmentation"))
    say(ledger, "c2", AGE)
    ledger.close()
    return tmp_path


def run(home: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*words, "--data-dir", str(home)])
    return done.exit_code, " ".join(done.output.split())


def said(home: Path, subject: str) -> list[int]:
    ledger = Ledger.reopen(home)
    found = [each.index for each in ledger.history(subject)]
    ledger.close()
    return found


def test_v40_a_customer_is_erased_and_it_says_what_went_and_what_is_left_to_do(home: Path) -> None:
    status, told = run(home, "erase", "c1")
    assert (status, "erased: 2 instructions" in told) == (0, True)
    assert "Delete their rows in your own systems" in told
    assert (said(home, "c1"), said(home, "c2")) == ([], [2])
    assert [*fsck(home)] == []


def test_v10_one_entry_is_erased(home: Path) -> None:
    assert run(home, "erase", "c1", "--entry", "0")[0] == 0
    assert said(home, "c1") == [1]
    assert [*fsck(home)] == []


def test_v40_who_was_erased_before_is_said_to_be(home: Path) -> None:
    assert run(home, "erase", "c1")[0] == 0
    status, told = run(home, "erase", "c1")
    assert status == 1
    assert "erased already, at 20" in told


def test_v40_an_erasure_that_was_cut_off_leaves_nobody_signed_in(home: Path) -> None:
    """Killed after the key was destroyed: asked for again, the command ends what is left."""
    with closing(opened(home)) as ledger:
        ledger.erase("c1", clock.now())  # without what the command does around it
    sessions = Sessions(SessionTable(home))
    token = sessions.open("c1", None, clock.now())
    assert sessions.find(token, clock.now()) is not None
    status, told = run(home, "erase", "c1")
    assert (status, "erased already" in told) == (1, True)
    assert Sessions(SessionTable(home)).find(token, clock.now()) is None


NOT_ERASED = {
    "nobody": (["erase", "c9"], "want a customer whom the source knows or who gave an instruction"),
    "the last word": (["erase", "c1", "--entry", "1"], "want an entry that a later one superseded"),
    "another customer's entry": (
        ["erase", "c1", "--entry", "2"],
        "is not an entry of this customer",
    ),
    "a hold without a reason": (["hold", "set", "c1", "--reason", " "], "want who and a reason"),
    "a hold on nobody": (["hold", "set", "c9", "--reason", "claim"], "has no data key"),
    "a hold that is not there": (["hold", "lift", "c1", "--reason", "x"], "no hold to lift"),
}


@pytest.mark.parametrize("why", NOT_ERASED)
def test_v49_what_cannot_be_changes_nothing_and_says_why(why: str, home: Path) -> None:
    words, message = NOT_ERASED[why]
    status, told = run(home, *words)
    assert (status, message in told) == (1, True), told
    assert (said(home, "c1"), said(home, "c2")) == ([0, 1], [2])


def test_v49_a_request_under_a_hold_is_kept_and_carried_out_when_it_is_lifted(home: Path) -> None:
    assert run(home, "hold", "set", "c1", "--reason", "claim 114")[0] == 0
    status, told = run(home, "erase", "c1")
    assert (status, "claim 114" in told, "the request is kept" in told) == (1, True, True)
    assert run(home, "erase", "c1", "--entry", "0")[0] == 1
    assert said(home, "c1") == [0, 1]
    status, told = run(home, "hold", "lift", "c1", "--reason", "settled")
    assert (status, "erased: 2 instructions" in told) == (0, True)
    assert said(home, "c1") == []


@pytest.mark.parametrize("days", [1, 4])
def test_v49_lifting_a_hold_erases_a_customer_who_asked_for_it_72_hours_ago(
    home: Path, days: int
) -> None:
    Departures(home).request("c1", "en", clock.now() - timedelta(days=days))
    run(home, "hold", "set", "c1", "--reason", "claim")
    status, told = run(home, "hold", "lift", "c1", "--reason", "settled")
    due = days > 3
    assert (status, "erased: 2 instructions" in told, "is erased at" in told) == (0, due, not due)
    assert said(home, "c1") == ([] if due else [0, 1])
    assert (Departures(home).of("c1") is None) is due


def test_v49_without_a_request_lifting_erases_nothing(home: Path) -> None:
    run(home, "hold", "set", "c1", "--reason", "claim")
    status, told = run(home, "hold", "lift", "c1", "--reason", "settled")
    assert (status, "no erasure was requested" in told) == (0, True)
    assert said(home, "c1") == [0, 1]
