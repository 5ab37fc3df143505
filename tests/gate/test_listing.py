"""Batches in the read log: one entry, and a list in which everybody has a place (G45, G46, G64)."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from gate.decision.decide import Reason
from gate.readlog import batch_entry
from gate.readlog.batch_entry import DecisionBatch, MalformedListError
from gate.readlog.by_customer import entries_of, listed
from gate.readlog.entry import DecisionGroup, Question, WrittenDecision
from gate.readlog.writer import Several
from gate.reads.crosscheck import Crosscheck
from gate.reads.request import ReadRequest
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.replay.report import ReplayReport
from gate.storage import membership
from gate.storage.membership import Membership
from gate.storage.statement import SqliteRunner
from gate.storage.tables import ENTRIES, LOG, MEMBERS
from ledger.events.envelope import Granted, SyntheticReleased, TriggerSet, Withdrawn
from ledger.follower import Follower
from ledger.vault import commitments
from steward.oversight.explanations import Explanation, ExplanationError, Explanations, Reference
from steward.oversight.register import Register
from tests.gate.scenes import SCENES
from tests.gate.world import INSTANCE, NOON, World, shipped, world

AGE = ("age",)
EVERYBODY = ["c1", "c2", "nobody", "c1", "c3"]


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.ledger.announce([SyntheticReleased("release-constant", "segmentation", {}, NOON)])
    bank.says("c1", Granted("segmentation", AGE, None))
    bank.says("c2", Withdrawn("segmentation"))
    bank.says("c3", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    bank.says("c3", Granted("segmentation", AGE, None))
    return bank


def ruled(bank: World, who: list[str], *fields: str) -> list[WrittenDecision]:
    return bank.gate.decide_in_writing(
        [Question("analytics", "segmentation", who, fields or AGE)], NOON
    )


def ask(bank: World, who: list[str] = EVERYBODY, service: str = "analytics") -> int:
    """Ask about everybody at once; the entry."""
    rulings = ruled(bank, who)
    return bank.gate.journal.record_all([Several(DecisionGroup(service, rulings), who)])[0]


def database(bank: World) -> sqlite3.Connection:
    return sqlite3.connect(bank.gate.journal.reads.folder / LOG, isolation_level=None)


def entry(bank: World, index: int) -> bytes:
    return next(iter(bank.gate.journal.log.entries(index, index + 1)))


def kept(bank: World, index: int) -> bytes:
    with closing(database(bank)) as held:
        row = held.execute("SELECT data FROM list WHERE entry = ?", [index]).fetchone()
    return bytes(row[0])


def replayed(bank: World) -> ReplayReport:
    home = bank.gate.journal.reads.folder.parents[1]
    return replay(partial(Follower, home), home, INSTANCE, ReplayGrounds(SCENES, shipped()))


def test_g45_a_batch_is_one_entry_that_names_its_list(bank: World) -> None:
    before = bank.gate.journal.log.size
    index = ask(bank)
    assert (index, bank.gate.journal.log.size) == (before, before + 1)
    said, data = json.loads(entry(bank, index)), kept(bank, index)
    assert said == {
        "action": "batch",
        "at": "2026-01-01T12:00:00Z",
        "consent": {"root": bank.ledger.root()[1], "size": bank.ledger.size},
        "decisions": len(EVERYBODY),
        "list": sha256(data).hexdigest(),
        "service": "analytics",
    }


def test_g45_a_decision_of_the_list_says_what_an_entry_of_its_own_would(bank: World) -> None:
    index = ask(bank)
    named = batch_entry.batch(entry(bank, index))
    found = batch_entry.listing(kept(bank, index), named)
    tags = bank.ledger.entry_tags(EVERYBODY, bank.gate.journal.log.origin)
    for place, alone in enumerate(ruled(bank, EVERYBODY)):
        reading = found.entry(named, place)
        pad = commitments.entry_pad(tags[place].keys.of(index, place))
        assert reading.encode() == alone.entry(reading.subject, pad)


def test_g46_exactly_the_decisions_of_a_customer_are_found_newest_first(bank: World) -> None:
    for _ in range(300):
        ask(bank, ["c2", "c1"])
        bank.gate.read(ReadRequest("analytics", "segmentation", "c1", AGE, NOON))
    newest = ask(bank)
    found = [*entries_of(bank.gate.journal.reads, bank.ledger, "c1")]
    assert [index for index, _ in found] == [newest, newest, *range(newest - 1, -1, -1)]
    assert {each["scene"] for _, each in found} == {"segmentation"}
    assert len({each["subject"] for _, each in found}) == len(found)
    assert [*entries_of(bank.gate.journal.reads, bank.ledger, "nobody")] == []


@pytest.mark.parametrize("skip", [0, 1, 2, 7, 300, 1000])
def test_g46_what_is_skipped_is_the_newest(bank: World, skip: int) -> None:
    for _ in range(150):
        ask(bank, ["c2", "c1", "c1"])
        bank.gate.read(ReadRequest("analytics", "segmentation", "c1", AGE, NOON))
    log = bank.gate.journal.reads
    every = [(each.place, each.member) for each in listed(log, bank.ledger, "c1")]
    rest = [(each.place, each.member) for each in listed(log, bank.ledger, "c1", skip)]
    assert len(every) == 450
    assert rest == every[skip:]


def test_g46_names_go_on_where_they_ended(bank: World) -> None:
    ask(bank)
    name = b"x" * membership.SIZE
    with closing(database(bank)) as connection:
        runner = SqliteRunner(connection)
        again = Membership(runner, what=MEMBERS)
        assert again.size == len(EVERYBODY)
        appended = again.append([name] * 600, again.size)
        again.store(runner, appended)
        again.settle(appended)
        assert Membership(runner, what=MEMBERS).size == again.size == len(EVERYBODY) + 600
        found = [*membership.of(runner, name, 1 << 40, MEMBERS)]
        assert found == [*range(again.size - 1, len(EVERYBODY) - 1, -1)]
        assert Membership(runner, what=ENTRIES).size == 1


def test_g64_a_batch_is_derived_again(bank: World) -> None:
    ask(bank, ["c1", "c2", "c3", "c1"])
    bank.says("c1", Withdrawn("segmentation"))
    ask(bank, ["c1", "c2"])
    report = replayed(bank)
    assert report.differences == []
    assert (report.derived, report.unopened) == (2, 0)


def test_g64_who_is_erased_cannot_be_opened_and_the_others_still_count(bank: World) -> None:
    ask(bank, ["c1", "c2"])
    ask(bank, ["c2", "c2"])
    bank.ledger.erase("c1", NOON)
    report = replayed(bank)
    assert (report.derived, report.unopened, report.differences) == (1, 1, [])


def lie(bank: World, change: Callable[[dict[str, Any]], object]) -> None:
    """Journal a batch whose list says something else than was decided."""
    together = DecisionGroup("analytics", ruled(bank, ["c1", "c2"]))
    said: list[bytes] = []

    class Liar:
        def listing(self, tags: list[str], pads: list[int]) -> bytes:
            found = json.loads(together.listing(tags, pads))
            change(found)
            said.append(json.dumps(found, sort_keys=True, separators=(",", ":")).encode())
            return said[0]

        def entry(self, digest: str) -> bytes:
            honest = batch_entry.batch(together.entry(digest))
            return DecisionBatch(
                "batch",
                honest.at,
                honest.consent,
                len(json.loads(said[0])["decisions"]),
                digest,
                "analytics",
            ).encode()

        alone = together.alone

    bank.gate.journal.record_all([Several(cast("Any", Liar()), ["c1", "c2"])])


def more(found: dict[str, Any]) -> None:
    found["wordings"][1]["views"] = {"age": "personal"}


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "more was given than allowed": more,
    "the wording of somebody else": lambda f: f["decisions"][1].__setitem__(2, 0),
    "another determining entry": lambda f: f["decisions"][0].__setitem__(1, 0),
    "another reason": lambda f: f["wordings"][1].update(reason=Reason.GRANTED),
    "another plan": lambda f: f["wordings"][0].update(plan="0" * 64),
    "another scene's silence": lambda f: f["wordings"][1].update(scene="no-such-scene"),
    "another customer": lambda f: f["decisions"].reverse(),
    "a tag of nobody": lambda f: f["decisions"][0].__setitem__(0, "0" * 48),
    "a wording that is not there": lambda f: f["decisions"][0].__setitem__(2, 9),
    "a wording of another form": lambda f: f["wordings"][0].update(more=1),
}


@pytest.mark.parametrize("why", LIES)
def test_g64_a_batch_that_does_not_follow_is_named(bank: World, why: str) -> None:
    lie(bank, LIES[why])
    (difference,) = replayed(bank).differences
    assert difference.entry == bank.gate.journal.log.size - 1


def test_g64_an_honest_batch_told_by_hand_follows(bank: World) -> None:
    lie(bank, lambda _: None)
    assert replayed(bank).differences == []


TEXT = "CAST(data AS TEXT)"
CHANGES = {
    "missing": "DELETE FROM list",
    "another": f"UPDATE list SET data = CAST(replace({TEXT}, 'granted', 'expired') AS BLOB)",
    "cut off": "UPDATE list SET data = substr(data, 1, 100)",
    "of another form": f"UPDATE list SET data = CAST({TEXT} || ' ' AS BLOB)",
}


@pytest.mark.parametrize("why", CHANGES)
def test_g64_a_list_that_is_not_the_one_named_is_told(bank: World, why: str) -> None:
    index = ask(bank, ["c1", "c2"])
    with closing(database(bank)) as held:
        held.execute(CHANGES[why])
    (difference,) = replayed(bank).differences
    assert difference.entry == index
    assert "the entry's list is missing or has another digest" in difference.derived
    with pytest.raises(MalformedListError, match="missing"):
        list(entries_of(bank.gate.journal.reads, bank.ledger, "c1"))


ENTRY = {
    "action": "batch",
    "at": "2026-01-01T12:00:00Z",
    "consent": {"root": "qv8=", "size": 7},
    "decisions": 2,
    "list": "3e",
    "service": "analytics",
}
MALFORMED: dict[str, bytes] = {
    "white space": json.dumps(ENTRY).encode(),
    "another part": json.dumps(ENTRY | {"zone": 1}, separators=(",", ":")).encode(),
    "cut off": json.dumps(ENTRY, separators=(",", ":")).encode()[:-1],
    "no zone": json.dumps(ENTRY | {"at": "2026-01-01T12:00:00"}, separators=(",", ":")).encode(),
    "a negative size": json.dumps(
        ENTRY | {"consent": {"root": "", "size": -1}}, separators=(",", ":")
    ).encode(),
    "half a character": b'{"action":"batch","at":"\xff"}',
}


@pytest.mark.parametrize("why", MALFORMED)
def test_g64_an_entry_that_no_journal_writes_is_none(why: str) -> None:
    with pytest.raises(MalformedListError):
        batch_entry.batch(MALFORMED[why])


def test_a_batch_is_compared_with_full_cedar_decision_by_decision(bank: World) -> None:
    shadow = Crosscheck(bank.gate, every=1)
    bank.gate.journal.subscribe(shadow.see)
    ask(bank, ["c1", "c2", "c1", "c2"])
    shadow.drain()
    assert (shadow.checked.agreed, shadow.checked.differed) == (4, 0)


def test_nothing_is_explained_by_a_batch(bank: World, tmp_path: Path) -> None:
    index = ask(bank)

    class Logs:
        def entry(self, _log: str, index: int) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(entry(bank, index))
            return found

    explanations = Explanations(Register(tmp_path, bank.ledger), Logs(), bank.ledger)
    explained = Explanation(
        service="analytics",
        outcome="steady",
        inputs={"age": 31},
        reasons=("age",),
        model="segments",
        model_version="1",
        prompt_version="",
        reading=Reference(bank.gate.journal.log.origin, index),
    )
    with pytest.raises(ExplanationError, match="is not about this customer alone"):
        explanations.attach(explained, "c1", NOON)
