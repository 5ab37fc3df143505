"""Every logged decision can be derived again, and one that cannot is named (G60–G62)."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gate.decision.decide import Reason, View
from gate.factory import build
from gate.http.authzen import ResourceSearch, search_resources
from gate.http.searches import PageTokens
from gate.readlog.entry import Question, WrittenDecision
from gate.readlog.writer import ReadLogEntry, pseudonym
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.filter import FilterCondition
from gate.reads.request import ReadRequest
from gate.reads.sources.interface import SourceUnavailableError
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.replay.report import ReplayReport
from gate.storage.tables import LOG
from ledger.events.envelope import (
    Granted,
    ScenePublished,
    SourceDeleted,
    SyntheticReleased,
    TriggerSet,
    Withdrawn,
)
from ledger.follower import Follower
from tests.gate.scenes import SCENES, SEGMENTATION
from tests.gate.test_policy import checked
from tests.gate.world import INSTANCE, NOON, World, options, shipped, source, world

AGE = ("age",)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    """Every kind of answer, over a ledger that moves between them."""
    bank = world(tmp_path)
    bank.ledger.announce([SyntheticReleased("release-constant", "segmentation", {}, NOON)])

    def read(scene: str, fields: tuple[str, ...], who: str = "c1", minutes: int = 0) -> None:
        at = NOON + timedelta(minutes=minutes)
        bank.gate.read(ReadRequest("analytics", scene, who, fields, at))

    bank.says("c1", Granted("segmentation", AGE, NOON + timedelta(minutes=30)))
    bank.says("c2", Granted("nearest-branch", ("postcode_area",), None))
    read("segmentation", AGE)
    read("segmentation", ("age", "job"))
    read("segmentation", AGE, minutes=31)
    read("nearest-branch", ("location",), "c2")
    bank.says("c2", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    bank.says("c2", Granted("segmentation", AGE, None))
    bank.reports("accuracy", 9300)
    read("segmentation", AGE, "c2")
    bank.reports("accuracy", 9100)
    read("segmentation", AGE, "c2")
    read_table(bank.gate, TableRequest("analytics", "segmentation", AGE, NOON))
    bank.says("c1", Withdrawn("segmentation"))
    read("segmentation", AGE)
    read("no-such-scene", AGE)
    read("segmentation", ("shoe_size",))
    read_table(bank.gate, TableRequest("crm", "segmentation", (), NOON))
    search = {
        "subject": {"type": "service", "id": "analytics"},
        "action": {"name": "read"},
        "resource": {"type": "customer"},
        "context": {"scene": "segmentation", "fields": ["age"]},
    }
    pages = PageTokens(bytes(32), "analytics", search).page
    asked = msgspec.convert(search, ResourceSearch)
    search_resources(bank.gate, "analytics", asked, NOON, pages)
    return bank


def replayed(bank: World, home: Path) -> ReplayReport:
    return replay(partial(Follower, home), home, INSTANCE, ReplayGrounds(SCENES, shipped()))


def test_g60_every_answer_is_derived_again(bank: World, tmp_path: Path) -> None:
    report = replayed(bank, tmp_path)
    assert report.differences == []
    assert (report.derived, report.unopened) == (report.entries, 0)
    assert report.entries == bank.gate.journal.log.size == 12


def last(bank: World) -> ReadLogEntry:
    log = bank.gate.journal.log
    for entry in reversed(list(log.entries(0, log.size))):
        found = json.loads(entry)
        if found["reason"] == Reason.WITHDRAWN:
            return msgspec.convert(found, ReadLogEntry)
    raise AssertionError("no withdrawn read in the log")


LIES: dict[str, dict[str, Any]] = {
    "more was given than allowed": {"views": {"age": View.PERSONAL}},
    "another reason": {"reason": Reason.GRANTED},
    "another determining entry": {"determined_by": 0},
    "another plan": {"plan": "0" * 64},
    "another scene's silence": {"scene": "no-such-scene"},
    "another root": {"consent": {"root": "A" * 43 + "="}},
    "a ledger that is still to come": {"consent": {"size": 10**6}},
    "rows that were not given": {"rows": 7},
    "another release": {"release": "no-such-release"},
    "a refusal of the gate's own that gave something": {"reason": Reason.SUSPENDED},
    "the silence of a broken source, where it gave": {"reason": Reason.SOURCE_UNAVAILABLE},
}


@pytest.mark.parametrize("why", LIES)
def test_g61_an_answer_that_does_not_follow_is_named(bank: World, tmp_path: Path, why: str) -> None:
    honest = json.loads(last(bank).encode()) | {"subject": None}
    size, root = bank.ledger.root()
    lie = LIES[why] | {"consent": {"root": root, "size": size} | LIES[why].get("consent", {})}
    entry = bank.gate.journal.record(msgspec.convert(honest | lie, ReadLogEntry), "c1")
    report = replayed(bank, tmp_path)
    assert [each.entry for each in report.differences] == [entry]


def test_g148_a_read_of_somebody_who_was_deleted_at_the_source_is_named(
    bank: World, tmp_path: Path
) -> None:
    """The company changed its gate: it answers as before, and its entry looks like those before."""
    log, request = bank.gate.journal.log, ReadRequest("analytics", "segmentation", "c1", AGE, NOON)
    granted = bank.says("c1", Granted("segmentation", AGE, None))
    assert bank.gate.read(request).decision.allowed
    (given,) = log.entries(log.size - 1, log.size)
    deleted = bank.says("c1", SourceDeleted())
    refused = bank.gate.read(request)
    assert View.PERSONAL not in refused.views.values()
    found = refused.decision
    assert (found.allowed, found.reason, found.determined_by) == (False, Reason.WITHDRAWN, deleted)
    assert not replayed(bank, tmp_path).differences
    size, root = bank.ledger.root()
    edited = {"consent": {"root": root, "size": size}, "determined_by": granted, "subject": None}
    lie = msgspec.convert(json.loads(given) | edited, ReadLogEntry)
    entry = bank.gate.journal.record(lie, "c1")
    assert [each.entry for each in replayed(bank, tmp_path).differences] == [entry]


COHORTS: dict[str, dict[str, Any]] = {
    "another reason": {"reason": Reason.WITHDRAWN},
    "other views": {"views": {"age": View.WITHHELD}},
    "another release": {"release": "no-such-release"},
    "another cohort": {"cohort": "0" * 64},
    "no cohort": {"cohort": None},
    "a set that is not stored": {"answered": "0" * 64},
    "an answer about others than its cohort": {"answered": sha256(b"\x7f").hexdigest()},
    "another minute": {"at": "2027-06-01T00:00:00Z"},
}


@pytest.mark.parametrize("why", COHORTS)
def test_g61_a_table_that_does_not_follow_is_named(bank: World, tmp_path: Path, why: str) -> None:
    log = bank.gate.journal.log
    (honest,) = (e for e in log.entries(0, log.size) if b'"table"' in e and b'"granted"' in e)
    lie = json.loads(honest) | COHORTS[why]
    entry = bank.gate.journal.record(msgspec.convert(lie, ReadLogEntry))
    assert [each.entry for each in replayed(bank, tmp_path).differences] == [entry]


def text(bank: World) -> bytes:
    return last(bank).encode()


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "capitals": lambda leaf: leaf.upper(),
    "cut off": lambda leaf: leaf[:-1],
    "white space": lambda leaf: leaf.replace(b'","', b'", "', 1),
    "a member more": lambda leaf: leaf.replace(b',"views"', b',"value":3,"views"'),
    "a member twice": lambda leaf: leaf.replace(b'"rows":1', b'"rows":1,"rows":1'),
    "no time zone": lambda leaf: leaf.replace(b'Z"', b'"', 1),
    "a negative size": lambda leaf: leaf.replace(b'"size":', b'"size":-'),
    "a reason there is none of": lambda leaf: leaf.replace(b'"withdrawn"', b'"tired"'),
    "no subject": lambda leaf: leaf.replace(b'"subject"', b'"someone"'),
}


@pytest.mark.parametrize("why", MALFORMED)
def test_g61_an_entry_that_no_journal_writes_is_named(
    bank: World, tmp_path: Path, why: str
) -> None:
    log = bank.gate.journal.log
    spoilt = MALFORMED[why](text(bank))
    assert spoilt != text(bank)
    (entry,) = log.append([spoilt])
    assert [each.entry for each in replayed(bank, tmp_path).differences] == [entry]


def test_g61_an_entry_under_another_customers_name_is_named(bank: World, tmp_path: Path) -> None:
    log = bank.gate.journal.log
    (entry,) = log.append([text(bank)])  # its tag is of another place
    with closing(sqlite3.connect(tmp_path / "reads" / INSTANCE / LOG)) as index, index:
        name = pseudonym(bank.ledger, "c2", log.origin)
        index.execute("UPDATE owner SET names = CAST(names || ? AS BLOB)", [name])
    (found,) = replayed(bank, tmp_path).differences
    assert found.entry == entry
    assert "another customer" in found.derived


def test_g61_entries_that_rest_on_an_erased_customer_stay_unopened(
    bank: World, tmp_path: Path
) -> None:
    bank.ledger.erase("c1", NOON)
    report = replayed(bank, tmp_path)
    assert report.unopened == 6  # five that name their scene, and the table that had their row
    assert report.differences == []


YOUNG = (FilterCondition("age", "lt", 40),)
MANY: dict[str, dict[str, Any]] = {
    "with a filter": {"filter": YOUNG},
    "for the contract's purpose": {"purpose": "ServiceUsageAnalytics"},
    "for another purpose": {"purpose": "DirectMarketing"},
    "of nothing": {"fields": ()},
    "of nothing, with a filter": {"fields": (), "filter": YOUNG},
    "of what there is not, with a filter": {"fields": ("shoe_size",), "filter": YOUNG},
}


@pytest.mark.parametrize("why", MANY)
def test_g60_tables_and_rows_follow(bank: World, tmp_path: Path, why: str) -> None:
    asked: dict[str, Any] = {"service": "analytics", "scene": "segmentation", "at": NOON}
    asked["fields"] = ("job", "age")
    bank.says("c3", Granted("segmentation", ("age", "job"), None))
    before = bank.gate.journal.log.size
    for read in (read_table, read_rows):
        read(bank.gate, TableRequest(**(asked | MANY[why])))
    report = replayed(bank, tmp_path)
    assert report.differences == []
    assert report.derived == before + 2


def test_g60_a_read_for_another_purpose_gave_nothing(bank: World, tmp_path: Path) -> None:
    asked = ReadRequest("analytics", "segmentation", "c2", AGE, NOON, purpose="DirectMarketing")
    assert bank.gate.read(asked).decision.reason is Reason.PURPOSE_DIFFERS
    assert replayed(bank, tmp_path).differences == []


class Down:
    """A source that is down, or has lost everybody's row."""

    key = "id"

    def __init__(self, *, lost: bool) -> None:
        self._lost = lost

    def row(self, _subject: str, _columns: Sequence[str]) -> None:
        if not self._lost:
            raise SourceUnavailableError("down")

    def rows(self, _subjects: Sequence[str], columns: Sequence[str]) -> Any:
        return self.everybody(columns)

    def everybody(self, _columns: Sequence[str]) -> Any:
        raise SourceUnavailableError("down")

    def count(self) -> int:
        return 0


@pytest.mark.parametrize("lost", [True, False])
def test_g60_a_read_that_gave_less_and_said_so_follows(
    bank: World, tmp_path: Path, *, lost: bool
) -> None:
    bank.says("c2", Granted("direct-marketing", ("email",), None))
    journal = bank.gate.journal
    gate = build(
        bank.ledger, Down(lost=lost), SCENES, journal, shipped(), bytes(32), options=options()
    )
    answer = gate.read(ReadRequest("crm", "direct-marketing", "c2", ("name", "email"), NOON))
    assert {*answer.views.values()} == {View.WITHHELD}
    assert replayed(bank, tmp_path).differences == []


def rule(bank: World, who: str = "c2") -> WrittenDecision:
    (ruled,) = bank.gate.decide_in_writing(
        [Question("analytics", "segmentation", (who,), AGE)], NOON
    )
    return ruled


def test_g61_what_was_said_before_an_erasure_still_counts_after_it(
    bank: World, tmp_path: Path
) -> None:
    bank.ledger.erase("c1", NOON)
    bank.gate.journal.record(rule(bank), "c2")
    read_table(bank.gate, TableRequest("analytics", "segmentation", AGE, NOON))
    report = replayed(bank, tmp_path)
    assert (report.differences, report.unopened) == ([], 6)
    assert report.derived == report.entries - 6


def test_g60_answers_may_be_written_in_another_order_than_decided(
    bank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.replay.replay.WINDOW", 1)
    slow, slower = rule(bank), rule(bank)
    bank.says("c2", Withdrawn("segmentation"))
    withdrawn = rule(bank)
    assert not withdrawn.allowed
    bank.gate.journal.record_all([(withdrawn, "c2"), (slow, "c2")])
    bank.gate.journal.record_all([(withdrawn, "c2")] * 1000)
    bank.gate.journal.record(slower, "c2")  # further away than a window shows
    report = replayed(bank, tmp_path)
    assert (report.differences, report.unopened) == ([], 0)
    assert report.derived == report.entries == bank.gate.journal.log.size


def test_g60_what_a_replay_finds_does_not_depend_on_how_many_processes_it_has(
    bank: World, tmp_path: Path
) -> None:
    honest = rule(bank)
    lie = msgspec.convert(
        json.loads(last(bank).encode()) | {"subject": None, "rows": 9}, ReadLogEntry
    )
    for _ in range(2):
        bank.gate.journal.record_all([(honest, "c2")] * 20_000)
        bank.gate.journal.record(lie, "c1")
    seen: list[tuple[int, int]] = []
    alone, shared = (
        replay(
            partial(Follower, tmp_path),
            tmp_path,
            INSTANCE,
            ReplayGrounds(SCENES, shipped()),
            processes=processes,
            progress=lambda done, of: seen.append((done, of)),
        )
        for processes in (1, 2)
    )
    assert alone == shared
    assert len(alone.differences) == 2
    assert seen[-1] == (alone.entries, bank.gate.journal.log.size)


NARROW = {name: SEGMENTATION.fields[name] for name in ("job", "age")}  # age has another bit
OLDER = replace(SEGMENTATION, version="0.9.0", digest="0" * 64, fields=NARROW)


def test_g62_an_entry_rests_on_the_contract_of_then(bank: World, tmp_path: Path) -> None:
    older = build(
        bank.ledger,
        source(),
        SCENES | {"segmentation": OLDER},
        bank.gate.journal,
        shipped(),
        bytes(32),
        options=options(),
    )
    before = older.read(ReadRequest("analytics", "segmentation", "c2", AGE, NOON))
    bank.reports("accuracy", 9300)
    after = older.read(ReadRequest("analytics", "segmentation", "c2", AGE, NOON))
    assert [before.decision.reason, after.decision.reason] == [Reason.FROZEN, Reason.GRANTED]
    read_table(older, TableRequest("analytics", "segmentation", AGE, NOON))
    assert [each.entry for each in replayed(bank, tmp_path).differences] == [12, 13, 14]
    grounds = ReplayGrounds(SCENES, shipped(), [OLDER])
    report = replay(partial(Follower, tmp_path), tmp_path, INSTANCE, grounds)
    assert (report.derived, report.differences) == (15, [])


def test_g62_an_entry_rests_on_the_policy_of_then(bank: World, tmp_path: Path) -> None:
    forbidding = checked('forbid (principal, action, resource) when { context.field == "age" };')
    report = replay(
        partial(Follower, tmp_path), tmp_path, INSTANCE, ReplayGrounds(SCENES, forbidding)
    )
    assert len(report.differences) == 11
    grounds = ReplayGrounds(SCENES, forbidding, earlier_policies=[shipped()])
    report = replay(partial(Follower, tmp_path), tmp_path, INSTANCE, grounds)
    assert report.differences == []


def test_g62_a_scene_that_is_no_longer_offered_is_still_derived(
    bank: World, tmp_path: Path
) -> None:
    left = {scene: each for scene, each in SCENES.items() if scene != "nearest-branch"}
    again = partial(replay, partial(Follower, tmp_path), tmp_path, INSTANCE)
    assert len(again(ReplayGrounds(left, shipped())).differences) == 1
    earlier = [SCENES["nearest-branch"]]
    assert again(ReplayGrounds(left, shipped(), earlier)).differences == []


def test_g62_a_scene_is_unknown_until_it_is_published(bank: World, tmp_path: Path) -> None:
    left = {scene: each for scene, each in SCENES.items() if scene != "nearest-branch"}
    older = build(
        bank.ledger, source(), left, bank.gate.journal, shipped(), bytes(32), options=options()
    )
    request = ReadRequest("analytics", "nearest-branch", "c2", ("location",), NOON)
    for scene, unexpected in (("segmentation", []), ("nearest-branch", [13])):
        bank.ledger.announce([ScenePublished(scene, "1.0.0", SCENES[scene].digest, NOON)])
        assert older.read(request).decision.reason is Reason.UNKNOWN_SCENE
        assert [each.entry for each in replayed(bank, tmp_path).differences] == unexpected
