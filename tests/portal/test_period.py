"""specs/portal.md, 4.7: the replay of a period, on the regulator's page."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gate.reads.request import ReadRequest
from portal.operations import company_folder
from portal.operations.wiring import Product
from portal.web import i18n
from portal.web.replay_service import PeriodError, ReplayBusyError, Replays
from tests.portal.conftest import START, Clock, browser

TODAY = START.date()


@pytest.fixture
def read(product: Product) -> Product:
    """Three answers today, two tomorrow."""
    for days, count in ((0, 3), (1, 2)):
        for _ in range(count):
            at = START + timedelta(days=days)
            product.gate.read(ReadRequest("analytics", "segmentation", "c00007", ("age",), at))
    return product


def replayed(product: Product, first: date, last: date) -> tuple[int, int]:
    report = Replays(product.home).run(first, last).report
    return report.entries, report.derived


def test_g63_the_answers_of_the_days_asked_for_are_derived_and_no_others(read: Product) -> None:
    tomorrow = TODAY + timedelta(days=1)
    assert replayed(read, TODAY, TODAY) == (3, 3)
    assert replayed(read, tomorrow, tomorrow) == (2, 2)
    assert replayed(read, TODAY, tomorrow) == (5, 5)
    assert replayed(read, TODAY - timedelta(days=9), TODAY - timedelta(days=1)) == (0, 0)


def test_the_page_says_what_follows(read: Product, clock: Clock) -> None:
    form = {"first": TODAY.isoformat(), "last": TODAY.isoformat()}
    with browser(read, clock) as public:
        shown = public.post("/regulator/replay", data=form).text
    words = i18n.load()["en"]
    assert words.plain("replay.good") in shown
    assert "<dd>3</dd>" in shown
    assert "c00007" not in shown


def test_an_answer_that_does_not_follow_is_named(
    read: Product, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company_folder, "policy", lambda _: _policy(read))
    monkeypatch.setattr("portal.operations.replay_grounds.cedar.load", lambda _: _policy(read))
    form = {"first": TODAY.isoformat(), "last": TODAY.isoformat()}
    with browser(read, clock) as public:
        shown = public.post("/regulator/replay", data=form).text
    assert i18n.load()["en"].plain("replay.bad") in shown


def _policy(product: Product) -> object:
    """Another policy than the one in force."""
    from dataclasses import replace

    return replace(product.gate.policy, digest="0" * 64)


WRONG = {
    "backwards": (TODAY, TODAY - timedelta(days=1)),
    "too long": (TODAY, TODAY + timedelta(days=366)),
}


@pytest.mark.parametrize("why", WRONG)
def test_what_is_no_period_is_refused(why: str, still: Product) -> None:
    with pytest.raises(PeriodError, match="want 1 to 366 days"):
        Replays(still.home).run(*WRONG[why])


def test_one_replay_runs_at_a_time(still: Product, visitor: TestClient) -> None:
    running = visitor.app.state.context.replays  # type: ignore[attr-defined]  # of our application
    form = {"first": TODAY.isoformat(), "last": TODAY.isoformat()}
    with running._alone():
        assert visitor.post("/regulator/replay", data=form).status_code == 503
        with pytest.raises(ReplayBusyError):
            running.run(TODAY, TODAY)
    assert visitor.post("/regulator/replay", data=form).status_code == 200
    assert Path(still.home).exists()
