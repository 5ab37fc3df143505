"""The table read: authorised rows as they are, synthetic rows for the others, all of it marked."""

import json
from pathlib import Path

import pytest

from gate.decision.decide import Reason
from gate.readlog import customer_sets
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import TableAnswer, read_table
from gate.reads.sources.interface import SourceUnavailableError
from ledger.events.envelope import Granted, Withdrawn
from tests.gate.world import INSTANCE, NOON, World, world

FIELDS = ("age", "job")


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", FIELDS, None))
    bank.says("c2", Granted("segmentation", ("age",), None))
    return bank


def ask(bank: World, scene: str = "segmentation", fields: tuple[str, ...] = FIELDS) -> TableAnswer:
    return read_table(bank.gate, TableRequest("analytics", scene, fields, NOON))


def test_only_who_granted_every_field_stands_as_they_are(bank: World) -> None:
    answer = ask(bank)
    rows = answer.table.to_pylist()
    personal = [row for row in rows if row["age.view"] == "personal"]
    assert personal == [{"age": 31, "age.view": "personal", "job": "admin", "job.view": "personal"}]
    assert (answer.authorised, answer.synthetic) == (1, 2)
    assert [row["job"] for row in rows if row["age.view"] == "synthetic"] == ["synthetic"] * 2


def test_withdrawal_keeps_schema_and_length(bank: World) -> None:
    before = ask(bank).table
    bank.says("c1", Withdrawn("segmentation"))
    after = ask(bank).table
    assert after.schema == before.schema
    assert after.num_rows == before.num_rows == 3
    assert set(after["age.view"].to_pylist()) == {"synthetic"}


def test_a_table_names_how_it_was_completed(bank: World) -> None:
    assert ask(bank).mode == "naive"
    assert ask(bank, "contract-service", ("name",)).mode == "none"


def test_a_table_has_no_identifiers(bank: World) -> None:
    assert ask(bank).table.column_names == ["age", "age.view", "job", "job.view"]


def test_what_is_not_synthesised_is_left_out(bank: World) -> None:
    bank.says("c2", Granted("direct-marketing", ("email",), None))
    answer = ask(bank, "direct-marketing", ("email",))
    assert answer.table.to_pylist() == [{"email": "bo@mail.example", "email.view": "personal"}]


def test_the_contract_itself_shows_everybody(bank: World) -> None:
    assert ask(bank, "contract-service", ("name",)).authorised == 3


def test_a_refused_table_is_empty_and_journalled(bank: World) -> None:
    answer = ask(bank, fields=("shoe_size",))
    assert answer.table is None
    assert answer.reason is Reason.FIELD_OUTSIDE_SCENE


def test_the_cohort_is_journalled_and_stored(bank: World, tmp_path: Path) -> None:
    answer = ask(bank)
    (entry,) = bank.gate.journal.log.entries(answer.entry, answer.entry + 1)
    found = json.loads(entry)
    assert found["rows"] == 3
    stored = (tmp_path / "reads" / INSTANCE / "cohorts" / found["cohort"]).read_bytes()
    assert customer_sets.numbers(stored).tolist() == [bank.ledger.numbers(["c1"])["c1"]]


class DownSource:
    key = "id"

    def rows(self, subjects: object, columns: object) -> object:
        raise SourceUnavailableError(f"no connection for {subjects} and {columns}")


def test_without_a_source_there_is_no_table_and_no_entry(bank: World) -> None:
    before = bank.gate.journal.log.size
    bank.gate.source = DownSource()  # type: ignore[assignment] # only `rows` is asked for
    with pytest.raises(SourceUnavailableError):
        ask(bank)
    assert bank.gate.journal.log.size == before
