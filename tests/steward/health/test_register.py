"""The register (R1–R4): append-only, chained, and closed for ever without the customer's key."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ledger.events.envelope import Granted
from steward.oversight.register import EMPTY, Register, TamperedError, UnsealableError
from tests.gate.world import NOON, World, world


@pytest.fixture
def bank(home: Path) -> World:
    bank = world(home / "bank", release=False)
    for subject in ("c1", "c2"):
        bank.says(subject, Granted("segmentation", ("age",), None))
    return bank


@pytest.fixture
def register(bank: World, home: Path) -> Register:
    register = Register(home, bank.ledger)
    with register.writing() as writing:
        for number, subject in enumerate(("c1", "c2", "c1"), 1):
            at = NOON + timedelta(minutes=number)
            writing.append("said", subject, {"n": number}, {"text": f"secret {number} 密"}, at)
        writing.append("noted", None, {"n": 4}, None, NOON)
    return register


def test_a_customers_entries_open_with_their_key_alone(register: Register) -> None:
    mine = register.of("c1", "said")
    assert [(entry.number, private["text"]) for entry, private in mine] == [
        (1, "secret 1 密"),
        (3, "secret 3 密"),
    ]
    assert register.private(1, "c2") is None
    assert register.private(9, "c1") is None


def test_nothing_about_a_customer_stands_in_the_file(tmp_path: Path) -> None:
    bank = world(tmp_path, release=False)
    register = Register(tmp_path, bank.ledger)
    bank.says("customer-one", Granted("segmentation", ("age",), None))
    with register.writing() as writing:
        writing.append("said", "customer-one", {}, {"text": "secret"}, NOON)
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("register.sqlite*"))
    assert b"secret" not in raw
    assert b"customer-one" not in raw
    assert (tmp_path / "register.sqlite").stat().st_mode & 0o077 == 0


def test_erasing_the_customer_closes_their_entries_and_leaves_the_chain(
    register: Register, bank: World
) -> None:
    bank.ledger.erase("c1", NOON)
    assert register.of("c1", "said") == []
    assert register.private(1, "c1") is None
    assert len(register.of("c2", "said")) == 1
    register.verify()


def test_a_customer_without_a_key_has_nothing_kept_about_them(register: Register) -> None:
    before = register.head()

    def keep() -> None:
        with register.writing() as writing:
            writing.append("noted", None, {}, None, NOON)
            writing.append("said", "nobody", {}, {"text": "secret"}, NOON)

    with pytest.raises(UnsealableError, match="no data key"):
        keep()
    assert register.head() == before


def test_an_error_undoes_the_whole_transaction(register: Register) -> None:
    before = register.head()

    def fail() -> None:
        with register.writing() as writing:
            writing.append("noted", None, {}, None, NOON)
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert register.head() == before


def test_entries_are_listed_by_kind_and_place(register: Register) -> None:
    assert [each.open["n"] for each in register.entries()] == [1, 2, 3, 4]
    assert [each.open["n"] for each in register.entries("said", since=2)] == [2, 3]
    assert register.entries("noted")[0].about == ""


@pytest.mark.parametrize("sql", ["UPDATE entry SET kind = 'x'", "DELETE FROM entry"])
def test_entries_are_neither_changed_nor_removed(sql: str, register: Register) -> None:
    with register.reading() as database, pytest.raises(IntegrityError, match="append-only"):
        database.execute(text(sql))


TAMPERED = {
    "the time": "UPDATE entry SET at = '2020-01-01T00:00:00Z' WHERE number = 2",
    "the kind": "UPDATE entry SET kind = 'other' WHERE number = 2",
    "whom it is about": "UPDATE entry SET about = '' WHERE number = 2",
    "the open part": "UPDATE entry SET open = replace(open, '2', '3') WHERE number = 2",
    "the sealed part": "UPDATE entry SET sealed = digest WHERE number = 2",
    "the digest": "UPDATE entry SET digest = sealed WHERE number = 2",
    "an entry removed": "DELETE FROM entry WHERE number = 2",
    "an entry moved": "UPDATE entry SET number = 9 WHERE number = 2",
}


@pytest.mark.parametrize("why", TAMPERED)
def test_whoever_goes_round_the_triggers_is_found_out(why: str, register: Register) -> None:
    register.verify()
    _force(register, TAMPERED[why])
    with pytest.raises(TamperedError) as found:
        register.verify()
    assert found.value.number == 2


def test_a_register_cut_off_at_its_end_shows_to_whoever_noted_more(register: Register) -> None:
    noted = register.head()
    register.verify(noted)
    _force(register, "DELETE FROM entry WHERE number = 4")
    register.verify()
    with pytest.raises(TamperedError, match="entry 4 of the register: it is missing"):
        register.verify(noted)
    with pytest.raises(TamperedError, match="not the one that was noted"):
        register.verify((2, EMPTY))


def _force(register: Register, sql: str) -> None:
    with register.writing() as writing:
        on = " ON entry" if writing.database.dialect.name == "postgresql" else ""
        for trigger in ("entry_stays", "entry_remains"):
            writing.database.execute(text(f"DROP TRIGGER {trigger}{on}"))
        writing.database.execute(text(sql))
