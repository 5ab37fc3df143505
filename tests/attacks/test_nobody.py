"""Acts of specs/guarantees.md that nobody catches: each is performed, and whoever looks is content.

A test fails here if somebody begins to catch the act; then the table is to say who.
"""

import json
from base64 import b64encode
from functools import partial
from pathlib import Path

import pytest

from gate.reads.request import ReadRequest
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from ledger.events.envelope import EvidenceClass, Granted, SyntheticReleased, Withdrawn
from ledger.follower import Follower
from ledger.keys import map_key
from ledger.tlog.merkle import leaf_hash, root
from tests.gate.scenes import SCENES
from tests.gate.world import INSTANCE, NOON, WORDING, World, shipped, source, world
from tests.ledger.test_own_reads import MINE as DATA_KEY
from tests.ledger.test_own_reads import ORIGIN, SIGNER, Given, about

SCENE, SERVICE = "segmentation", "analytics"
GRANTED, NOTHING = Granted(SCENE, ("age",), None), Withdrawn(SCENE)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    made = world(tmp_path)
    made.ledger.announce([SyntheticReleased("release-constant", SCENE, {}, NOON)])
    return made


def read(bank: World, subject: str, *fields: str) -> None:
    bank.gate.read(ReadRequest(SERVICE, SCENE, subject, fields, NOON))


def require_clean(bank: World, home: Path) -> None:
    """A replay, which has every key of the company, finds nothing."""
    make, grounds = partial(Follower, home), ReplayGrounds(SCENES, shipped())
    report = replay(make, home, INSTANCE, grounds)
    assert report.is_clean
    assert report.entries == bank.gate.journal.log.size
    assert report.derived == report.entries


def test_two_ids_of_one_person_are_two_customers_to_everybody(bank: World, tmp_path: Path) -> None:
    """Act 36, and act 52: a merge or split of which nothing is recorded."""
    bank.says("c1", GRANTED)
    bank.says("c2", NOTHING)  # the same person, under the other id
    read(bank, "c1", "age")
    read(bank, "c2", "age")
    require_clean(bank, tmp_path)


def test_what_was_pressed_and_not_recorded_leaves_no_trace(bank: World, tmp_path: Path) -> None:
    """Act 37: the customer withdraws, and the company drops it; there is no receipt."""
    bank.says("c1", GRANTED)
    size = bank.ledger.size
    dropped = bank.ledger.draft(
        "c1", NOTHING, at=NOON, wording=WORDING, evidence=EvidenceClass.SESSION
    )
    read(bank, "c1", "age")
    assert dropped.seq == 2
    assert bank.ledger.size == size
    require_clean(bank, tmp_path)


def test_a_read_past_the_gate_has_no_entry(bank: World, tmp_path: Path) -> None:
    """Act 38."""
    read(bank, "c1", "age")
    size = bank.gate.journal.log.size
    assert source().row("c1", ["age"]) is not None
    assert bank.gate.journal.log.size == size
    require_clean(bank, tmp_path)


def test_more_than_an_entry_says_can_be_given(bank: World, tmp_path: Path) -> None:
    """Act 72: the entry names one field, and the service is handed another one as well."""
    bank.says("c1", GRANTED)
    read(bank, "c1", "age")
    given = source().row("c1", ["age", "job"])
    log = bank.gate.journal.log
    (leaf,) = log.entries(log.size - 1, log.size)
    assert given is not None
    assert json.loads(leaf)["views"] == {"age": "personal"}
    require_clean(bank, tmp_path)


def test_whoever_has_the_key_of_the_labels_knows_who_decided(bank: World, tmp_path: Path) -> None:
    """Act 39: neither the log nor the map shows that somebody tried an id."""
    bank.says("c1", GRANTED)
    before = bank.ledger.root()
    labels = map_key.read(tmp_path)
    assert labels is not None
    known = bank.ledger._prover._states
    assert known.value(labels.of("c1")) is not None
    assert known.value(labels.of("c3")) is None
    assert bank.ledger.root() == before


def test_entries_that_were_never_anchored_can_be_left_out_of_the_end(tmp_path: Path) -> None:
    """Act 44: the log had two entries about the customer; its end says that it has one."""
    first, last = about(DATA_KEY, 0), about(DATA_KEY, 1)
    assert first != last
    given = Given(tmp_path, first)
    leaf = json.dumps(first, sort_keys=True, separators=(",", ":")).encode()
    closed = b64encode(root(1, lambda *_: leaf_hash(leaf))).decode()
    at = {"at": "2026-01-01T12:00:00Z", "origin": ORIGIN}
    given.announce(
        {"type": "read-log-opened", "key": str(SIGNER.verifier), **at},
        {"type": "read-log-closed", "root": closed, "size": 1, **at},
    )
    assert given.run_anchored() == 0


def test_whoever_chose_as_nobody_else_did_is_followed_by_what_was_answered(
    bank: World,
) -> None:
    """Act 49: the entries of one customer are found by `views` alone, without any key."""
    bank.says("c1", Granted(SCENE, ("job",), None))
    for each in ("c2", "c3"):
        bank.says(each, GRANTED)
    owners = ["c1", "c2", "c3", "c1", "c3"]
    for each in owners:
        read(bank, each, "age", "job")
    log = bank.gate.journal.log
    views = [json.loads(each)["views"] for each in log.entries(0, log.size)]
    mine = [n for n, each in enumerate(views) if each["job"] == "personal"]
    assert mine == [n for n, owner in enumerate(owners) if owner == "c1"]


def test_a_rename_that_is_not_recorded_gives_the_new_id_nothing(
    bank: World, tmp_path: Path
) -> None:
    """Act 54: to everybody the new id is somebody who never decided."""
    bank.says("c1", GRANTED)
    answer = bank.gate.read(ReadRequest(SERVICE, SCENE, "c2", ("age",), NOON))
    assert answer.decision.reason == "never-granted"
    require_clean(bank, tmp_path)
