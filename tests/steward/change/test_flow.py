"""From the log to cases and notices (S11-S17, S20-S22 of specs/steward.md)."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from gate.contracts.scene import ContractChange, Fallback
from gate.decision.decide import View
from gate.reads.request import ReadRequest
from ledger.events.envelope import Granted, TriggerSet, Withdrawn
from ledger.follower import Follower
from steward.cases.case import Status
from steward.cases.case_store import DATABASE, CaseStore
from steward.cases.changes import ChangeKind
from steward.cases.loss import measured
from steward.change_flow import ChangeFlow
from steward.notify.notice import ALERTS
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, PEOPLE, world
from tests.steward.change.office import ALL, ORIGIN, Office, Pile, bank_release, office

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def desk(tmp_path: Path) -> Office:
    desk = office(tmp_path)
    for who in PEOPLE:
        desk.bank.says(who, Granted("segmentation", ALL, None))
        desk.bank.says(who, Granted("direct-marketing", ("name", "email"), None))
    desk.run()
    return desk


def told(desk: Office) -> list[tuple[int, str]]:
    """Case and type of every notice, in order."""
    return [(each.case, each.type) for each in desk.outbox.waiting()]


def test_s11_a_withdrawal_opens_a_case_with_a_deadline_and_a_notice(desk: Office) -> None:
    assert desk.cases.open_cases() == []
    index = desk.bank.says("c1", Withdrawn("segmentation"))
    assert desk.run() == 1
    (case,) = desk.cases.open_cases()
    assert (case.scene, case.kind, case.count) == ("segmentation", ChangeKind.WITHDRAWAL, 1)
    assert (case.opened, case.due) == (NOON, NOON + 3 * DAY)
    assert (case.status, case.responsible) == (Status.OPEN, "account-manager")
    assert desk.cases.entries(case.id) == [index]
    assert told(desk) == [(case.id, "opened")]


def test_s11_running_again_finds_nothing_new(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    assert [desk.run(), desk.run()] == [1, 0]
    assert len(desk.cases.open_cases()) == 1
    assert len(told(desk)) == 1


def test_s11_each_kind_of_change_opens_a_case_of_its_own(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.bank.says("c2", Granted("segmentation", ("age",), NOON + DAY))
    desk.bank.says("c3", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    desk.run()
    desk.run(NOON + DAY)
    kinds = {(each.scene, each.kind) for each in desk.cases.open_cases()}
    assert kinds == {("segmentation", kind) for kind in {*ChangeKind} - ALERTS}


def test_s12_many_changes_in_the_window_are_one_case_with_a_count(desk: Office) -> None:
    for minutes, who in enumerate(PEOPLE):
        desk.bank.says(who, Withdrawn("segmentation"))
        desk.run(NOON + minutes * MINUTE)
    (case,) = desk.cases.open_cases()
    assert case.count == 3
    assert told(desk) == [(case.id, "opened")]


def test_s12_who_comes_back_and_goes_again_is_counted_once(desk: Office) -> None:
    for _ in range(3):
        desk.bank.says("c1", Withdrawn("segmentation"))
        desk.bank.says("c1", Granted("segmentation", ALL, None))
        desk.run()
    (case,) = desk.cases.open_cases()
    assert (case.count, case.customers) == (1, ("A***",))
    assert len(desk.cases.entries(case.id)) == 3


def test_s12_after_the_window_there_is_a_new_case(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run(NOON)
    desk.bank.says("c2", Withdrawn("segmentation"))
    desk.run(NOON + HOUR - MINUTE)
    desk.bank.says("c3", Withdrawn("segmentation"))
    desk.run(NOON + HOUR)
    assert [each.count for each in desk.cases.open_cases()] == [2, 1]


def test_s12_scenes_and_closed_cases_gather_nothing_of_each_other(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.bank.says("c1", Withdrawn("direct-marketing"))
    desk.run()
    desk.cases.close(1, "ada", "looked at it", NOON)
    desk.bank.says("c2", Withdrawn("segmentation"))
    desk.run()
    assert [(e.id, e.scene, e.count) for e in desk.cases.open_cases()] == [
        (2, "direct-marketing", 1),
        (3, "segmentation", 1),
    ]


def test_s13_the_final_count_is_told_once_when_the_window_is_over(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    desk.bank.says("c2", Withdrawn("segmentation"))
    for _ in range(2):
        desk.run(NOON + HOUR - MINUTE)
    assert told(desk) == [(1, "opened")]
    for _ in range(2):
        desk.run(NOON + HOUR)
    assert told(desk) == [(1, "opened"), (1, "grew")]
    assert json.loads(desk.outbox.of(1)[1].body)["data"]["count"] == 2


def test_s14_an_overdue_case_goes_once_to_the_next_responsible(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    desk.cases.take(1, "ada", NOON)
    desk.run(NOON + 3 * DAY - MINUTE)
    assert desk.cases.case(1).responsible == "account-manager"
    desk.run(NOON + 3 * DAY)
    desk.run(NOON + 9 * DAY)
    case = desk.cases.case(1)
    assert (case.responsible, case.due) == ("data-protection-officer", NOON + 4 * DAY)
    assert (case.escalated, case.status) == (NOON + 3 * DAY, Status.OPEN)
    assert [each.act for each in desk.cases.acts(1)] == ["opened", "taken", "escalated"]
    assert told(desk) == [(1, "opened"), (1, "overdue")]
    assert desk.outbox.of(1)[1].channel == "desk/data-protection-officer"


def test_s14_a_closed_case_is_never_overdue(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    desk.cases.close(1, "ada", "fine", NOON)
    desk.run(NOON + 9 * DAY)
    assert told(desk) == [(1, "opened")]


def test_s15_the_case_says_which_fallback_is_in_force_and_what_it_costs(tmp_path: Path) -> None:
    release = bank_release()
    desk = office(tmp_path, releases={"segmentation": release})
    for who in PEOPLE:
        desk.bank.says(who, Granted("segmentation", ALL, None))
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    case = desk.cases.case(1)
    assert (case.fallback, case.loss) == (Fallback.SYNTHETIC, measured(release, 1, 3))
    desk.bank.says("c2", Withdrawn("segmentation"))
    desk.run()
    assert desk.cases.case(1).loss == measured(release, 2, 3)


def test_s15_without_a_release_the_gate_withholds_what_the_contract_synthesises(
    desk: Office,
) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    assert desk.cases.case(1).fallback is Fallback.WITHHOLD
    assert desk.cases.case(1).loss is None


def test_s16_items_are_named_and_the_whole_scene_swallows_them(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation", ("job",)))
    desk.run()
    assert desk.cases.case(1).fields == ("job",)
    desk.bank.says("c2", Withdrawn("segmentation", ("age",)))
    desk.run()
    assert desk.cases.case(1).fields == ("age", "job")
    desk.bank.says("c3", Withdrawn("segmentation"))
    desk.bank.says("c2", Withdrawn("segmentation", ("job",)))
    desk.run()
    assert desk.cases.case(1).fields == ()


def test_s17_the_contract_sets_window_review_and_responsible(tmp_path: Path) -> None:
    rules = ContractChange(5 * MINUTE, 7 * DAY, 2 * DAY, ("dpo",))
    scenes = SCENES | {"segmentation": replace(SCENES["segmentation"], change=rules)}
    desk = office(tmp_path, scenes=scenes)
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run(NOON + 5 * MINUTE)
    assert [(e.count, e.due - e.opened) for e in desk.cases.open_cases()] == [(1, 7 * DAY)] * 2
    desk.run(NOON + 7 * DAY)
    case = desk.cases.case(1)
    assert (case.responsible, case.due) == ("dpo", NOON + 9 * DAY)


def test_s20_nothing_in_the_docket_names_a_customer(desk: Office) -> None:
    for who in PEOPLE:
        desk.bank.says(who, Withdrawn("segmentation"))
    desk.run()
    assert desk.cases.case(1).customers == ("A***", "B***", "C***")
    held = (desk.home / DATABASE).read_bytes() + (desk.home / f"{DATABASE}-wal").read_bytes()
    for who, person in PEOPLE.items():
        assert f'"{who}"'.encode() not in held
        assert str(person["email"]).encode() not in held
    with sqlite3.connect(desk.home / DATABASE) as database:
        everything = "\n".join(database.iterdump())
    assert not [who for who in PEOPLE if f"'{who}'" in everything]


def test_s20_a_tag_is_found_by_its_customers_key_alone(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.bank.says("c1", Withdrawn("direct-marketing"))
    desk.run()
    with sqlite3.connect(desk.home / DATABASE) as database:
        tags = {bytes(tag) for (tag,) in database.execute("SELECT tag FROM concerned")}

    def found() -> set[bytes]:
        return {desk.bank.ledger.read_log_tag("c1", f"{ORIGIN}/case", case) for case in (1, 2)}

    assert len(tags) == 2
    assert found() == tags
    desk.bank.ledger.erase("c1", NOON)
    assert not found() & tags


def test_s20_names_are_read_through_the_gate_and_only_as_many_as_a_case_names(
    tmp_path: Path,
) -> None:
    desk = office(tmp_path)
    for number in range(9):
        desk.bank.says(f"c{number}", Granted("segmentation", ALL, None))
        for _ in range(2):
            desk.bank.says(f"c{number}", Granted("segmentation", ALL, None))
            desk.bank.says(f"c{number}", Withdrawn("segmentation"))
            desk.run()
    assert desk.cases.case(1).customers == ("***", "A***", "B***", "C***", "***")
    log = desk.bank.gate.journal.log
    readings = [json.loads(entry) for entry in log.entries(0, log.size)]
    assert [(each["service"], each["scene"]) for each in readings] == [
        ("crm", "contract-service")
    ] * 5


def test_s21_only_the_owner_may_read_the_store(desk: Office) -> None:
    assert (desk.home / DATABASE).stat().st_mode & 0o777 == 0o600


def test_s22_two_flows_of_one_home_file_nothing_twice(desk: Office) -> None:
    other = ChangeFlow(desk.home, desk.bank.ledger, SCENES, ORIGIN, lambda _role: ["desk"])
    other.run(NOON)
    desk.bank.says("c1", Withdrawn("segmentation"))
    assert (other.run(NOON), desk.run()) == (1, 0)
    assert desk.cases.case(1).count == 1


def test_s22_who_was_overtaken_in_between_begins_again_from_there(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    other = ChangeFlow(desk.home, desk.bank.ledger, SCENES, ORIGIN, lambda _role: ["desk"])

    def overtaken(_subject: str, at: Any) -> str:
        other.run(at)
        return "***"

    desk.flow._named = overtaken
    assert desk.run() == 0
    assert desk.cases.case(1).count == 1


def test_s22_a_history_longer_than_one_batch_is_followed_to_its_end(
    desk: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steward.change_flow.BATCH", 2)
    for who in PEOPLE:
        desk.bank.says(who, Withdrawn("segmentation"))
        desk.bank.says(who, Withdrawn("direct-marketing"))
    assert desk.run() == 6
    assert [each.count for each in desk.cases.open_cases()] == [3, 3]


def test_s4_a_clock_that_ran_ahead_once_hides_no_later_withdrawal(desk: Office) -> None:
    desk.bank.says("c3", Granted("segmentation", ALL, NOON + DAY))
    assert desk.run(NOON + 30 * DAY) == 4, "three marketing grants and c3's"
    desk.bank.says("c1", Withdrawn("segmentation"))
    assert desk.run(NOON) == 1
    desk.run(NOON + 30 * DAY)
    filed = [(each.kind, each.scene, each.count) for each in desk.cases.open_cases()]
    assert (ChangeKind.WITHDRAWAL, "segmentation", 1) in filed
    assert filed.count((ChangeKind.EXPIRY, "direct-marketing", 3)) == 1, "filed once for one minute"


def test_s4_a_clock_that_is_set_back_a_little_files_nothing_twice(desk: Office) -> None:
    desk.bank.says("c3", Granted("segmentation", ALL, NOON + DAY))
    for minutes in (0, -1, -59, 0, 1):
        desk.run(NOON + DAY + minutes * MINUTE)
    assert [(each.kind, each.count) for each in desk.cases.open_cases()] == [(ChangeKind.EXPIRY, 1)]


def test_s23_an_erased_customer_leaves_the_case_and_no_trace(desk: Office) -> None:
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    desk.bank.says("c2", Withdrawn("segmentation"))
    desk.bank.ledger.erase("c2", NOON)
    desk.run()
    desk.bank.says("c3", Withdrawn("segmentation"))
    desk.run()
    assert desk.cases.case(1).count == 2


@pytest.mark.parametrize("beside", [False, True], ids=["the writer", "another process"])
def test_s23_who_comes_back_after_being_erased_is_followed_again(
    beside: bool, tmp_path: Path
) -> None:
    desk = office(tmp_path)
    follower = Follower(tmp_path, lambda: desk.bank.ledger.size)
    if beside:
        desk.flow._ledger = follower
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    desk.run()
    desk.bank.ledger.erase("c1", NOON)
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    index = desk.bank.says("c1", Withdrawn("segmentation"))
    assert desk.run() == 1
    assert desk.cases.entries(1) == [index]


def test_s23_a_scene_that_is_no_longer_offered_holds_nothing_up(tmp_path: Path) -> None:
    desk = office(tmp_path)
    desk.bank.says("c1", Granted("direct-marketing", ("email",), None))
    desk.bank.says("c1", Withdrawn("direct-marketing"))
    desk.run()
    left = {name: scene for name, scene in SCENES.items() if name != "direct-marketing"}
    office(tmp_path, scenes=left, bank=desk.bank).run(NOON + 9 * DAY)
    assert desk.cases.case(1).escalated is None


@contextmanager
def failing_at(nth: int) -> Iterator[None]:
    """The nth commit of case stores, counted over all of them, fails as on a full disk."""
    left = [nth]

    def fail(connection: Connection) -> None:
        if not str(connection.engine.url.database).endswith(DATABASE):
            return
        left[0] -= 1
        if left[0] == 0:
            raise sqlite3.OperationalError("database or disk is full")

    event.listen(Engine, "commit", fail)
    try:
        yield
    finally:
        event.remove(Engine, "commit", fail)


@pytest.mark.parametrize("nth", range(1, 13))
def test_s24_a_commit_that_fails_once_loses_and_doubles_nothing(nth: int, tmp_path: Path) -> None:
    bank, pile, failures = world(tmp_path), Pile(), 0
    CaseStore(tmp_path).close()  # the schema is there: what fails below are the flow's own commits
    with failing_at(nth):
        desk = office(tmp_path, bank=bank)
        for number, who in enumerate(PEOPLE):
            bank.says(who, Granted("segmentation", ALL, None))
            bank.says(who, Withdrawn("segmentation"))
            for at in (NOON + number * DAY, NOON + number * DAY + HOUR):
                try:
                    desk.run(at)
                    desk.outbox.deliver(pile, at)
                except sqlite3.OperationalError:
                    failures += 1
                    desk.run(at)
                    desk.outbox.deliver(pile, at)
    assert failures == (nth <= 9), "six runs and three deliveries are nine commits"
    assert [each.count for each in desk.cases.open_cases()] == [1, 1, 1]
    letters = [each for case in (1, 2, 3) for each in desk.outbox.of(case)]
    assert [(each.type, each.state) for each in letters] == [("opened", "delivered")] * 3
    assert [*dict.fromkeys(each.id for each in pile.letters)] == [each.id for each in letters]


def test_s9_the_gate_falls_back_whether_anybody_follows_or_not(desk: Office) -> None:
    request = ReadRequest("analytics", "segmentation", "c1", ("age",), NOON)
    assert desk.bank.gate.read(request).views == {"age": View.PERSONAL}
    desk.bank.says("c1", Withdrawn("segmentation"))
    assert desk.bank.gate.read(request).views == {"age": View.SYNTHETIC}
    assert desk.cases.open_cases() == []


def test_s22_a_docket_that_begins_later_opens_no_case_for_what_was_before(tmp_path: Path) -> None:
    desk = office(tmp_path)
    for who in ("c1", "c2"):
        desk.bank.says(who, Granted("segmentation", ALL, None))
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.flow.begin(NOON)
    assert (desk.run(), desk.cases.open_cases()) == (0, [])
    desk.bank.says("c2", Withdrawn("segmentation"))
    desk.flow.begin(NOON)  # once only: what was followed is not passed over
    assert desk.run() == 1
    (case,) = desk.cases.open_cases()
    assert (case.kind, case.count) == (ChangeKind.WITHDRAWAL, 1)


def test_s22_what_is_said_while_a_long_log_is_followed_is_not_passed_over(
    desk: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steward.change_flow.BATCH", 2)
    for who in ("c1", "c2"):
        for _ in range(3):
            desk.bank.says(who, Withdrawn("segmentation"))
            desk.bank.says(who, Granted("segmentation", ALL, None))
    following, late = desk.flow._step, [("c3", Withdrawn("segmentation"))]

    def step(at: datetime) -> tuple[int, bool]:
        done = following(at)
        while late:
            desk.bank.says(*late.pop())
        return done

    monkeypatch.setattr(desk.flow, "_step", step)
    assert desk.run() + desk.run() == 7
    (case,) = desk.cases.open_cases()
    assert case.count == 3
