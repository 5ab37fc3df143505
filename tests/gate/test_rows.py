"""Rows: only the customers who may be acted upon, named; filters and purposes (G24 to G28)."""

import json
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest

from gate.decision.decide import Reason
from gate.readlog.by_customer import entries_of
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import TableAnswer, read_rows, read_table
from gate.reads.filter import Conditions, FilterCondition, FilterError
from gate.reads.request import ReadRequest
from gate.reads.sources import data_keys
from gate.reads.sources.duckdb import DuckDBSource
from ledger.events.envelope import Granted, Withdrawn
from ledger.vault import number_sets
from tests.gate.world import INSTANCE, NOON, World, world

FIELDS = ("age", "job")
CONDITIONS: msgspec.json.Decoder[Conditions] = msgspec.json.Decoder(Conditions)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", FIELDS, None))
    bank.says("c2", Granted("segmentation", ("age",), None))
    bank.says("c3", Granted("segmentation", ("age", "job", "housing"), None))
    return bank


def request(fields: tuple[str, ...], *conditions: FilterCondition, **more: Any) -> TableRequest:
    known = {"service": "analytics", "scene": "segmentation"} | more
    return TableRequest(fields=fields, at=NOON, filter=conditions, **known)


def who(answer: TableAnswer) -> set[str]:
    return {*answer.table["customer"].to_pylist()}


def journalled(bank: World, answer: TableAnswer) -> dict[str, Any]:
    (entry,) = bank.gate.journal.log.entries(answer.entry, answer.entry + 1)
    found: dict[str, Any] = json.loads(entry)
    return found


def test_rows_name_who_granted_every_field_and_nobody_else(bank: World) -> None:
    answer = read_rows(bank.gate, request(FIELDS))
    assert sorted(answer.table.to_pylist(), key=lambda row: str(row["customer"])) == [
        {"customer": "c1", "age": 31, "age.view": "personal", "job": "admin"}
        | {"job.view": "personal"},
        {"customer": "c3", "age": 67, "age.view": "personal", "job": "retired"}
        | {"job.view": "personal"},
    ]
    bank.says("c1", Withdrawn("segmentation"))
    assert who(read_rows(bank.gate, request(FIELDS))) == {"c3"}
    assert bank.gate.release("segmentation") is not None  # and yet nothing was synthesised


def test_nobody_to_act_upon_is_an_empty_answer_of_the_same_schema(bank: World) -> None:
    full = read_rows(bank.gate, request(FIELDS))
    for subject in ("c1", "c3"):
        bank.says(subject, Withdrawn("segmentation"))
    empty = read_rows(bank.gate, request(FIELDS))
    assert (empty.table.num_rows, empty.schema) == (0, full.schema)


def test_rows_are_one_entry_and_its_stored_cohort(bank: World, tmp_path: Path) -> None:
    before = bank.gate.journal.log.size
    answer = read_rows(bank.gate, request(FIELDS))
    entry = journalled(bank, answer)
    assert bank.gate.journal.log.size == before + 1
    assert (entry["action"], entry["rows"], entry["subject"]) == ("rows", 2, None)
    stored = (tmp_path / "reads" / INSTANCE / "cohorts" / entry["answered"]).read_bytes()
    numbers = bank.ledger.numbers(["c1", "c2", "c3"])
    named = {who for who, number in numbers.items() if number_sets.contains(stored, number)}
    assert named == {"c1", "c3"}


def test_the_entry_is_durable_before_the_first_batch_leaves(bank: World) -> None:
    for read in (read_rows, read_table):
        before = bank.gate.journal.log.size
        answer = read(bank.gate, request(FIELDS))
        assert answer.batches is not None
        assert bank.gate.journal.log.size == before + 1
        next(answer.batches)


def test_the_contract_itself_names_everybody(bank: World) -> None:
    answer = read_rows(bank.gate, request(("name",), scene="contract-service"))
    assert who(answer) == {"c1", "c2", "c3"}


def test_g122_no_value_leaves_of_whom_the_writer_gave_no_key_yet(
    bank: World, tmp_path: Path
) -> None:
    """A read makes no key: until the writer has, the row counts as missing."""
    people = {"id": ["c1", "newcomer", "left"], "name": ["Ada", "Nell", "Lea"]}
    with duckdb.connect(tmp_path / "later.duckdb") as connection:
        connection.register("people", pa.table(people))
        connection.execute("CREATE TABLE customer AS SELECT * FROM people")
    bank.says("left", Granted("segmentation", ("age",), None))
    bank.ledger.erase("left", NOON)
    bank.gate.source = DuckDBSource(tmp_path / "later.duckdb")
    asked = request(("name",), scene="contract-service")
    point = ReadRequest("analytics", "contract-service", "newcomer", ("name",), NOON)
    before = bank.gate.read(point)
    assert (before.values, before.decision.allowed) == ({"name": None}, False)
    assert who(read_rows(bank.gate, asked)) == {"c1", "left"}  # the contract goes on: V42
    assert bank.ledger.numbers(["newcomer"]) == {}
    assert data_keys.create(bank.ledger, bank.gate.source) == 1
    assert bank.gate.read(point).values == {"name": "Nell"}
    assert who(read_rows(bank.gate, asked)) == {"c1", "newcomer", "left"}
    entries = entries_of(bank.gate.journal.reads, bank.ledger, "newcomer")
    assert [entry["action"] for _, entry in entries] == ["rows", "read"]


def test_g120_the_set_has_exactly_those_in_the_answer(bank: World) -> None:
    """Not who granted and does not pass the filter, nor who has no row."""
    answer = read_rows(bank.gate, request(("job",), FilterCondition("age", "ge", 60)))
    places = {
        name: [place for place, _ in entries_of(bank.gate.journal.reads, bank.ledger, name)]
        for name in ("c1", "c2", "c3")
    }
    assert places == {"c1": [], "c2": [], "c3": [answer.entry]}


def test_a_filter_narrows_both_kinds_of_answer(bank: World) -> None:
    old = FilterCondition("age", "ge", 60)
    assert who(read_rows(bank.gate, request(("job",), old))) == {"c3"}
    both = (FilterCondition("age", "lt", 60), FilterCondition("job", "in", ["admin", "retired"]))
    assert who(read_rows(bank.gate, request(("job",), *both))) == {"c1"}
    table = read_table(bank.gate, request(("job",), old))
    assert [row["job"] for row in table.table.to_pylist()] == ["retired"]
    young = read_table(bank.gate, request(("job",), FilterCondition("age", "lt", 30)))
    assert young.table["job.view"].to_pylist() == ["synthetic"]  # every synthetic age is 20
    assert young.table.column_names == ["job", "job.view"]


def test_a_filter_looks_only_at_what_each_customer_granted(bank: World) -> None:
    """c2 is 44 and says so to nobody: neither being in an answer nor missing from it may tell."""
    bank.says("c2", Granted("segmentation", ("job",), None))
    for condition in (FilterCondition("age", "eq", 44), FilterCondition("age", "ne", 44)):
        assert "c2" not in who(read_rows(bank.gate, request(("job",), condition)))


def test_the_fields_of_a_filter_are_journalled_as_read(bank: World) -> None:
    answer = read_rows(bank.gate, request(("job",), FilterCondition("age", "ge", 60)))
    entry = journalled(bank, answer)
    assert entry["fields"] == ["job", "age"]
    assert entry["views"] == {"job": "personal", "age": "personal"}


def test_a_filter_on_a_field_the_caller_may_not_ask_for_is_refused(bank: World) -> None:
    answer = read_rows(bank.gate, request(("age",), FilterCondition("name", "eq", "Ada")))
    assert (answer.batches, answer.reason) == (None, Reason.FIELD_OUTSIDE_SCENE)
    stranger = request(("age",), FilterCondition("age", "eq", 31), service="stranger")
    assert read_rows(bank.gate, stranger).reason is Reason.UNKNOWN_SERVICE


FOREIGN = {
    "a number for a text": FilterCondition("job", "eq", 7),
    "a text for a number": FilterCondition("age", "ge", "30"),
    "truth for a number": FilterCondition("age", "eq", True),
    "what no job is called": FilterCondition("job", "eq", "' OR 1=1 --"),
    "an age nobody has": FilterCondition("age", "lt", 1000),
    "an order of texts": FilterCondition("job", "lt", "other"),
    "a list without in": FilterCondition("job", "eq", ["admin"]),
    "in without a list": FilterCondition("job", "in", "admin"),
    "a list with one of another kind": FilterCondition("job", "in", ["admin", 7]),
}


@pytest.mark.parametrize("why", FOREIGN)
def test_a_condition_outside_the_contract_is_malformed(bank: World, why: str) -> None:
    before = bank.gate.journal.log.size
    with pytest.raises(FilterError):
        read_rows(bank.gate, request(("age", "job"), FOREIGN[why]))
    assert bank.gate.journal.log.size == before


NO_FILTER = {
    "an expression": b'["age > 30"]',
    "another comparison": b'[{"field": "age", "comparison": "like", "value": 1}]',
    "another member": b'[{"field": "age", "comparison": "eq", "value": 1, "or": []}]',
    "nothing to compare with": b'[{"field": "age", "comparison": "in", "value": []}]',
    "an object": b'[{"field": "age", "comparison": "eq", "value": {}}]',
    "too many conditions": b"[%s]"
    % b",".join([b'{"field": "age", "comparison": "eq", "value": 1}'] * 17),
    "too many values": b'[{"field": "age", "comparison": "in", "value": [%s]}]'
    % b",".join([b"1"] * 257),
    "not a number": b'[{"field": "age", "comparison": "eq", "value": NaN}]',
    "a huge number": b'[{"field": "age", "comparison": "eq", "value": 1e400}]',
}


@pytest.mark.parametrize("why", NO_FILTER)
def test_the_grammar_is_closed(why: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        CONDITIONS.decode(NO_FILTER[why])


@pytest.mark.parametrize("stated", [None, "ServiceUsageAnalytics", "dpv:ServiceUsageAnalytics"])
def test_the_purpose_of_the_contract_may_be_stated(bank: World, stated: str | None) -> None:
    assert read_rows(bank.gate, request(FIELDS, purpose=stated)).batches is not None


@pytest.mark.parametrize("read", [read_rows, read_table])
def test_another_purpose_is_refused_and_journalled(bank: World, read: Any) -> None:
    answer = read(bank.gate, request(FIELDS, purpose="DirectMarketing"))
    assert (answer.batches, answer.reason) == (None, Reason.PURPOSE_DIFFERS)
    entry = journalled(bank, answer)
    assert (entry["reason"], entry["views"], entry["rows"]) == ("purpose-differs", {}, 0)
