"""An erased customer leaves cases, notices and proposals, in files and in PostgreSQL."""

from pathlib import Path

from sqlalchemy import inspect, text

from ledger.events.envelope import Granted, Withdrawn
from ledger.storage import database
from steward import erasure
from steward.oversight import risk
from steward.oversight.register import Register
from steward.oversight.review import Proposal, Reviews
from steward.storage.cases import CASES
from steward.storage.register import REGISTER
from tests.gate.world import NOON, world
from tests.steward.change.office import ALL, ORIGIN, office

MASKED = "A***"  # how notices name c1


def cells(home: Path) -> list[str]:
    """Every value of every table of cases and of the register."""
    opened = database.of(home)
    found: list[str] = []
    for schema in (CASES, REGISTER):
        with opened.engine(schema).connect() as connection:
            for table in inspect(connection).get_table_names():
                for row in connection.execute(text(f'SELECT * FROM "{table}"')).all():
                    found += map(repr, row)
    return found


def test_an_erased_customer_is_named_nowhere_and_the_case_stays(home: Path) -> None:
    desk = office(home, bank=world(home / "bank"))
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    index = desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    register = Register(home, desk.bank.ledger)
    Reviews(register, risk.load()).propose(Proposal("care-desk", "c1", "a refund"), NOON)
    assert any(MASKED in each for each in cells(home))
    assert "'c1'" in cells(home)
    for _ in range(2):  # it may be repeated after a crash
        ledger = desk.bank.ledger
        assert erasure.forget(home, register, ledger, ORIGIN, "c1", [index]) == 1
    assert not [each for each in cells(home) if MASKED in each or each == "'c1'"]
    assert desk.cases.case(1).count == 1
    register.verify()


def test_an_erased_entry_is_named_nowhere(home: Path) -> None:
    desk = office(home, bank=world(home / "bank"))
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    index = desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    Register(home, desk.bank.ledger)
    erasure.forget_entry(home, index)
    assert not [each for each in cells(home) if MASKED in each]


def test_nobody_is_forgotten_where_no_case_was_opened(home: Path) -> None:
    bank = world(home / "bank", release=False)
    bank.says("c1", Granted("segmentation", ALL, None))
    assert erasure.forget(home, Register(home, bank.ledger), bank.ledger, ORIGIN, "c1", [0]) == 0
    assert not database.of(home).exists(CASES)
