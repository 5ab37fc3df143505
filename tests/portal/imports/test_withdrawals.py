"""No withdrawal that a file states is lost: I5, I6, I23, I26 and I35 of specs/portability.md.

Each test names a fault that was found once.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.events.acts import KeyEnrolled
from ledger.events.envelope import Granted
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from ledger.service import Ledger
from portal.commands import app
from portal.consent import wording
from portal.web import i18n
from tests.ledger.events import KEY_ACTS
from tests.portal.imports.runs import HEAD, ME, SCENES, YOU, refused, row, run, size, state

SCENE = "direct-marketing"
OWN = datetime(2026, 5, 1, 12, 0, 5, tzinfo=UTC)


def lines(*statements: tuple[str, str], subject: str = ME) -> str:
    return HEAD + "".join(f"{subject},{SCENE},{at},{status}\n" for at, status in statements)


def itemised(*rows: tuple[str, str, str]) -> str:
    made = (f"{ME},{SCENE},{items},{status},{at}\n" for at, status, items in rows)
    return "subject,scene,fields,status,at\n" + "".join(made)


@contextmanager
def opened(home: Path) -> Iterator[Ledger]:
    with closing(Ledger.reopen(home)) as ledger:
        yield ledger


def decided_here(home: Path, at: datetime = OWN) -> None:
    """ME allows the scene on the customer's pages."""
    with opened(home) as ledger:
        act = Granted(SCENE, ("name",), None)
        shown = wording.wording(SCENES[SCENE], i18n.load()["en"])
        ledger.record([ledger.draft(ME, act, at=at, wording=shown)])


def test_i26_the_last_of_three_statements_within_a_second_counts(home: Path) -> None:
    second = "2026-03-01T10:00:00"
    text = lines(
        (f"{second}.1Z", "withdrawn"), (f"{second}.5Z", "granted"), (f"{second}.9Z", "withdrawn")
    )
    assert run(home, text).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)


STATUSES = '[status]\nX = "{}"\n'


def test_i5_the_same_file_with_a_corrected_mapping_is_read_again(home: Path) -> None:
    text = lines(("2026-03-01", "X"))
    assert run(home, text, mapping=STATUSES.format("granted")).exit_code == 0
    assert run(home, text, mapping=STATUSES.format("withdrawn")).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)


def test_i5_rows_that_were_skipped_are_recorded_once_they_are_understood(home: Path) -> None:
    text = lines(("2026-03-01", "X")) + f"{YOU},{SCENE},2026-03-01,granted\n"
    assert run(home, text, "--skip-bad").exit_code == 0
    assert state(home) is None
    done = run(home, text, mapping=STATUSES.format("withdrawn"))
    assert (done.exit_code, "1 instructions" in done.output) == (0, True), done.output
    assert isinstance(state(home), SceneWithdrawal)


def test_i23_a_withdrawal_of_some_items_leaves_the_others(home: Path) -> None:
    text = itemised(
        ("2026-03-01", "granted", "name;email;phone"), ("2026-04-01", "withdrawn", "email")
    )
    assert run(home, text).exit_code == 0
    found = state(home)
    assert isinstance(found, SceneConsent)
    assert found.fields == {"name", "phone"}
    assert found.at == datetime(2026, 3, 1, tzinfo=UTC)


def test_i23_a_later_file_withdraws_some_items_of_what_an_earlier_one_granted(home: Path) -> None:
    run(home, itemised(("2026-03-01", "granted", "name;email")))
    assert run(home, itemised(("2026-04-01", "withdrawn", "email"))).exit_code == 0
    assert state(home).fields == {"name"}
    recorded = size(home)
    again = run(home, itemised(("2026-04-01", "withdrawn", "email")) + "\n")
    assert "imported before" in again.output
    assert size(home) == recorded


def test_i23_a_grant_from_before_it_gives_no_item_back(home: Path) -> None:
    run(home, itemised(("2026-03-01", "granted", "name;email")))
    run(home, itemised(("2026-05-01", "withdrawn", "email")))
    done = run(home, itemised(("2026-04-01", "granted", "name;email;phone")))
    assert "a newer instruction on direct-marketing exists here" in done.output
    assert state(home).fields == {"name"}
    run(home, itemised(("2026-06-01", "granted", "name;email")))
    assert state(home).fields == {"name", "email"}


def test_i23_withdrawals_of_all_items_or_of_nothing_granted_end_the_scene(home: Path) -> None:
    run(home, itemised(("2026-03-01", "granted", "name"), ("2026-04-01", "withdrawn", "*")))
    assert isinstance(state(home), SceneWithdrawal)
    run(home, row(subject=YOU, fields="name", status="withdrawn"))
    assert isinstance(state(home, YOU), SceneWithdrawal)


def test_i23_items_of_a_withdrawal_that_are_not_known_are_refused(home: Path) -> None:
    refused(home, run(home, row(fields="shoe size", status="withdrawn")), "found 'shoe size'")


def test_i6_a_withdrawal_elsewhere_after_the_customers_own_permission_stands(home: Path) -> None:
    decided_here(home)
    assert run(home, lines(("2026-05-02", "withdrawn"))).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)


def test_i6_one_from_before_it_is_passed_over(home: Path) -> None:
    decided_here(home)
    done = run(home, lines(("2026-04-30", "withdrawn")))
    assert (done.exit_code, "the customer decided" in done.output) == (0, True)
    assert isinstance(state(home), SceneConsent)


UNORDERED = {"the day": "2026-05-01", "the minute": "2026-05-01T12:00Z"}


@pytest.mark.parametrize("why", UNORDERED)
def test_i6_one_that_cannot_be_put_in_order_refuses_the_file(why: str, home: Path) -> None:
    decided_here(home)
    text = lines((UNORDERED[why], "withdrawn")) + f"{YOU},{SCENE},2026-03-01,granted\n"
    for more in ((), ("--dry-run",)):
        done = run(home, text, *more)
        assert done.exit_code == 1, done.output
        assert "line 2: want a time that shows whether this withdrawal is newer" in done.output
        assert state(home, YOU) is None
    assert run(home, text, "--skip-bad").exit_code == 0
    assert isinstance(state(home), SceneConsent)
    assert isinstance(state(home, YOU), SceneConsent)


def test_i6_a_withdrawal_elsewhere_ends_what_the_customers_key_signed(home: Path) -> None:
    decided_here(home)
    key = next(each for each in KEY_ACTS if isinstance(each, KeyEnrolled))
    with opened(home) as ledger:
        shown = wording.wording(SCENES[SCENE], i18n.load()["en"])
        ledger.record([ledger.draft(ME, key, at=OWN + timedelta(hours=1), wording=shown)])
    assert run(home, lines(("2026-05-02", "withdrawn"))).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)


def test_i6_a_withdrawal_under_a_number_that_was_renamed_refuses_the_file(home: Path) -> None:
    assert run(home, lines(("2026-03-01", "granted"))).exit_code == 0
    with opened(home) as ledger:
        ledger.create_keys([YOU])
    words = ["customers", "rename", ME, YOU, "--data-dir", str(home)]
    assert CliRunner().invoke(app, words).exit_code == 0
    before = size(home)
    done = run(home, lines(("2026-05-02", "withdrawn")))
    assert done.exit_code == 1
    assert f"line 2: the company gave this customer the number '{YOU}'" in done.output
    assert size(home) == before


NO_TIMES = ["1970-01-01", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00"]


@pytest.mark.parametrize("at", NO_TIMES)
def test_i35_the_first_day_of_1970_is_no_time(at: str, home: Path) -> None:
    """A withdrawal without a time would be older than the permission that it ends."""
    text = lines(("2026-03-01", "granted"), (at, "withdrawn"))
    refused(home, run(home, text), "line 3: want a time since 1970-01-02")
