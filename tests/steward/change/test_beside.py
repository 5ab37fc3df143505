"""Several processes work on one data directory, in files or in PostgreSQL (S22)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from ledger.events.envelope import Granted, Withdrawn
from steward.alert_cases import Alarms
from steward.cases.case import CaseConflictError, Cases, require_case
from steward.cases.case_store import CaseStore
from steward.change_flow import ChangeFlow
from steward.oversight.register import Register
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, PEOPLE, world
from tests.steward.change.office import ALL, ORIGIN, office
from tests.steward.change.test_alarm import alert

WORKERS = 4


def test_flows_at_the_same_time_file_each_change_once(home: Path) -> None:
    desk = office(home)
    for who in PEOPLE:
        desk.bank.says(who, Granted("segmentation", ALL, None))
    desk.run()
    for who in PEOPLE:
        desk.bank.says(who, Withdrawn("segmentation"))
    start = Barrier(WORKERS)

    def follow(_: int) -> int:
        flow = ChangeFlow(home, desk.bank.ledger, SCENES, ORIGIN, lambda _role: ["desk"])
        start.wait()
        return flow.run(NOON)

    with ThreadPoolExecutor(WORKERS) as pool:
        assert sum(pool.map(follow, range(WORKERS))) == len(PEOPLE)
    (case,) = desk.cases.open_cases()
    assert case.count == len(PEOPLE)
    assert len(desk.outbox.of(case.id)) == 1


def test_alerts_at_the_same_time_are_one_case(home: Path) -> None:
    start = Barrier(WORKERS)

    def raised(customers: int) -> int:
        alarms = Alarms(home, SCENES, ORIGIN, lambda _role: ["desk"])
        start.wait()
        return alarms.raised(alert(customers=customers))

    with ThreadPoolExecutor(WORKERS) as pool:
        numbers = {*pool.map(raised, range(WORKERS))}
    assert numbers == {1}
    assert Cases(home).case(1).count == WORKERS - 1


def test_of_those_who_take_a_case_at_the_same_time_one_has_it(home: Path) -> None:
    Alarms(home, SCENES, ORIGIN, lambda _role: ["desk"]).raised(alert())
    start = Barrier(WORKERS)

    def take(worker: int) -> str:
        cases = Cases(home)
        start.wait()
        try:
            cases.take(1, f"worker {worker}", NOON)
        except CaseConflictError:
            return "too late"
        return "taken"

    with ThreadPoolExecutor(WORKERS) as pool:
        assert sorted(pool.map(take, range(WORKERS))) == ["taken", *["too late"] * (WORKERS - 1)]


def test_entries_at_the_same_time_make_one_chain(home: Path) -> None:
    bank = world(home / "bank", release=False)
    start = Barrier(WORKERS)

    def append(worker: int) -> None:
        register = Register(home, bank.ledger)
        start.wait()
        for _ in range(5):
            with register.writing() as writing:
                writing.append("noted", None, {"by": worker}, None, NOON)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(append, range(WORKERS)))
    register = Register(home, bank.ledger)
    register.verify()
    assert register.head()[0] == 5 * WORKERS


def test_who_reads_sees_one_state_of_the_cases(home: Path) -> None:
    alarms = Alarms(home, SCENES, ORIGIN, lambda _role: ["desk"])
    alarms.raised(alert())
    with CaseStore(home).reading() as database:
        before = require_case(database, 1)
        alarms.raised(alert(customers=99))
        assert require_case(database, 1) == before
    assert Cases(home).case(1).count == 99
