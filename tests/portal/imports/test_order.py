"""Clauses I25 and I26 of specs/portability.md: which of two statements counts.

Each table names siblings of a fault that was found once: {why: (input, what the refusal says)}.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.events.reducer import SceneConsent, SceneWithdrawal
from portal.imports import moment
from portal.imports.moment import DAY, SECOND, MomentError
from tests.portal.imports.runs import FORMATS, GOOD, GRANT, HEAD, ME, refused, row, run, size, state

MOMENTS = {
    "2026-03-01": (datetime(2026, 3, 1, tzinfo=UTC), DAY),
    "2026-03-01T09:00Z": (datetime(2026, 3, 1, 9, tzinfo=UTC), 60 * SECOND),
    "2026-03-01 09:00:01+01:00": (datetime(2026, 3, 1, 8, 0, 1, tzinfo=UTC), SECOND),
    "2026-03-01T09:00:01.25Z": (datetime(2026, 3, 1, 9, 0, 1, tzinfo=UTC), SECOND // 100),
    "2026-03-01T09:00:01.123456789-00:30": (datetime(2026, 3, 1, 9, 30, 1, tzinfo=UTC), 1),
}


@pytest.mark.parametrize("text", MOMENTS)
def test_i25_a_moment_is_as_exact_as_it_is_written(text: str) -> None:
    found = moment.parse(text)
    assert (found.at, found.length) == MOMENTS[text]


def test_i25_no_digit_of_a_second_is_lost() -> None:
    first, second = (moment.parse(f"2026-03-01T09:00:01.{n}Z") for n in ("123456788", "123456789"))
    assert first.begin + 1 == second.begin
    assert not first.overlaps(second)


@pytest.mark.parametrize("form", FORMATS)
def test_i25_a_declared_format_is_as_exact_as_its_finest_part(form: str) -> None:
    text, length = FORMATS[form]
    moment.require_format(form)
    found = moment.parse(text, form)
    assert (found.at.date().isoformat(), found.length) == ("2026-03-01", length)


@pytest.mark.parametrize("text", ["2026111", "202611", "２０２６0301", "2026-03-01"])
def test_i25_a_format_reads_nothing_in_two_ways(text: str) -> None:
    with pytest.raises(MomentError):
        moment.parse(text, "%Y%m%d")


CONTRADICTIONS = (
    "%d.%m.%Y %b",  # 01.02.2026 Mar
    "%Y-%m-%d %j",
    "%Y-%m-%d %y",
    "%Y-%m-%d %H %I %p",
    "%A %a %Y-%m-%d",
)


@pytest.mark.parametrize("form", CONTRADICTIONS)
def test_i25_a_format_names_nothing_twice(form: str) -> None:
    with pytest.raises(MomentError):
        moment.require_format(form)


def test_i25_a_day_of_the_week_must_be_that_of_the_date() -> None:
    assert moment.parse("Sun 01.03.2026", "%a %d.%m.%Y").length == DAY
    with pytest.raises(MomentError):
        moment.parse("Mon 01.03.2026", "%a %d.%m.%Y")


@pytest.mark.parametrize("text", ["9", "95", "90000"])
def test_i25_a_declared_fraction_has_six_digits(text: str) -> None:
    with pytest.raises(MomentError):
        moment.parse(f"2026-03-01 10:00:00.{text}", "%Y-%m-%d %H:%M:%S.%f")


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-01:00", "9999-12-31", "9998-12-31T23:59:60Z"])
def test_i25_a_time_beyond_what_is_recorded_is_a_bad_row(at: str, home: Path) -> None:
    for cells in ({"at": at}, {"at": "2026-03-01T09:00:00Z", "until": at}):
        head = "subject,scene,at,status,until\n"
        line = f"{ME},direct-marketing,{cells['at']},granted,{cells.get('until', '')}\n"
        refused(home, run(home, head + line), "want a time")


LATER_FILES = {
    "a day, and a time of it": ("2026-03-01", "2026-03-01T12:00:00Z", None),
    "a day after a grant of it": ("2026-03-01", "2026-03-01T23:59:58Z", None),
    "an hour, and a time of it": ("01.03.2026 10", "01.03.2026 10", "%d.%m.%Y %H"),
    "a minute, and a second of it": ("2026-03-01T10:00Z", "2026-03-01T10:00:30Z", None),
}


@pytest.mark.parametrize("why", LATER_FILES)
def test_i26_how_exact_a_withdrawal_was_is_not_forgotten(why: str, home: Path) -> None:
    ended, given, form = LATER_FILES[why]
    mapping = None if form is None else f'[time]\nformat = "{form}"\n'
    if why == "a day after a grant of it":
        assert run(home, row(at="2026-03-01T10:00:05Z")).exit_code == 0
    assert run(home, row(at=ended, status="withdrawn"), mapping=mapping).exit_code == 0
    at = "2026-03-01T10:30:00Z" if form else given
    assert run(home, row(at=at)).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)
    assert run(home, row(at="2026-03-02T09:00:00Z")).exit_code == 0
    assert isinstance(state(home), SceneConsent), "a grant that is certainly later counts"


def two(first: str, second: str, *, statuses: tuple[str, str] = ("withdrawn", "granted")) -> str:
    lines = (
        f"{ME},direct-marketing,{at},{status}\n"
        for at, status in zip((first, second), statuses, strict=True)
    )
    return HEAD + "".join(lines)


ORDERED = {
    "tenths of a second": ("2026-03-01T10:00:00.9Z", "2026-03-01T10:00:00.1Z"),
    "different digits": ("2026-03-01T10:00:00.900Z", "2026-03-01T10:00:00.10Z"),
    "nanoseconds": ("2026-03-01T10:00:00.000000002Z", "2026-03-01T10:00:00.000000001Z"),
    "different zones": ("2026-03-01T10:00:00Z", "2026-03-01T10:59:59+01:00"),
    "a day, and a time of the day before": ("2026-03-02", "2026-03-01T23:59:59Z"),
    "days": ("2026-03-02", "2026-03-01"),
}


@pytest.mark.parametrize("why", ORDERED)
def test_i26_the_later_statement_counts_whatever_the_order_of_the_lines(
    why: str, home: Path
) -> None:
    assert run(home, two(*ORDERED[why])).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)


CONFLICTS = {
    "one second": ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
    "one fraction": ("2026-03-01T10:00:00.5Z", "2026-03-01T10:00:00.50Z"),
    "one second in two zones": ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00+01:00"),
    "one day": ("2026-03-01", "2026-03-01"),
    "a day and a time in it": ("2026-03-01", "2026-03-01T18:00:00Z"),
    "a time in a day, and the day": ("2026-03-01T18:00:00Z", "2026-03-01"),
    "a minute and a second in it": ("2026-03-01T10:00Z", "2026-03-01T10:00:30Z"),
    "a second and a fraction in it": ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00.9Z"),
}


@pytest.mark.parametrize("statuses", [("withdrawn", "granted"), ("granted", "withdrawn")])
@pytest.mark.parametrize("why", CONFLICTS)
def test_i26_opposite_statements_that_cannot_be_put_in_order_are_refused(
    why: str, statuses: tuple[str, str], home: Path
) -> None:
    text = two(*CONFLICTS[why], statuses=statuses)
    refused(home, run(home, text), "found a withdrawal, which stands, in line")
    assert run(home, text, "--skip-bad").exit_code == 0
    assert isinstance(state(home), SceneWithdrawal), "the withdrawal stands"


@pytest.mark.parametrize("why", CONFLICTS)
def test_i26_nor_is_a_grant_taken_from_a_second_file(why: str, home: Path) -> None:
    first, second = CONFLICTS[why]
    assert run(home, row(at=first, status="withdrawn")).exit_code == 0
    done = run(home, row(at=second))
    assert "cannot be told" in done.output or "newer" in done.output
    assert isinstance(state(home), SceneWithdrawal)


@pytest.mark.parametrize("why", CONFLICTS)
def test_i26_a_withdrawal_of_a_second_file_stands(why: str, home: Path) -> None:
    first, second = CONFLICTS[why]
    assert run(home, row(at=second)).exit_code == 0
    text = row(at=first, status="withdrawn")
    assert run(home, text).exit_code == 0
    assert isinstance(state(home), SceneWithdrawal)
    recorded = size(home)
    run(home, text + "\n")
    assert size(home) == recorded


def test_i26_two_consents_of_one_moment_must_agree(home: Path) -> None:
    lines = [row(fields="name"), row(fields="name;email").split("\n", 1)[1]]
    refused(home, run(home, "".join(lines)), "found a different consent in line")


def test_i26_a_line_that_stands_twice_is_recorded_once(home: Path) -> None:
    before = size(home)
    assert run(home, GOOD + GRANT).exit_code == 0
    assert size(home) == before + 1


def test_i26_aliases_of_one_scene_are_one_scene(home: Path) -> None:
    mapping = '[scenes]\nMAIL = "direct-marketing"\nPOST = "direct-marketing"'
    text = two("2026-03-01", "2026-03-01").replace("direct-marketing", "MAIL", 1)
    refused(
        home, run(home, text.replace("direct-marketing", "POST"), mapping=mapping), "one answer"
    )
