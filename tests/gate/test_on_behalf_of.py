"""Who asked for a service: masked in the public entry, readable to the customer (G161)."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.http.app import GateApp
from gate.readlog.by_customer import entries_of
from gate.readlog.writer import ReadLogEntry
from gate.reads.request import ReadRequest
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.replay.report import ReplayReport
from ledger.events.envelope import Granted, SyntheticReleased
from ledger.follower import Follower
from ledger.verify import masked_persons
from tests.gate.hostile import Case, Tokens, play
from tests.gate.scenes import SCENES
from tests.gate.world import INSTANCE, NOON, World, shipped, world

AGE = ("age",)
PERSONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", fullmatch=True)
KEYS = st.binary(min_size=32, max_size=32)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.ledger.announce([SyntheticReleased("release-constant", "segmentation", {}, NOON)])
    bank.says("c1", Granted("segmentation", AGE, None))
    return bank


def read(bank: World, person: str | None, customer: str = "c1") -> int:
    asked = ReadRequest("analytics", "segmentation", customer, AGE, NOON, on_behalf_of=person)
    return bank.gate.read(asked).entry


def leaves(bank: World) -> list[bytes]:
    log = bank.gate.journal.log
    return [*log.entries(0, log.size)]


def replayed(home: Path) -> ReplayReport:
    return replay(partial(Follower, home), home, INSTANCE, ReplayGrounds(SCENES, shipped()))


@given(PERSONS, KEYS, st.integers(0, 1 << 40))
def test_g161_what_is_masked_is_unmasked_again(person: str, key: bytes, index: int) -> None:
    masked = masked_persons.masked_person(person, key, index)
    assert len(masked) == 2 * masked_persons.PERSON_SIZE
    assert masked_persons.unmasked_person(masked, key, index) == person
    with pytest.raises(ValueError, match="want an id"):  # 64 random bytes are no id
        masked_persons.unmasked_person(masked, key, index + 1)


def test_g161_the_customer_finds_the_person_and_the_public_log_does_not_name_them(
    bank: World,
) -> None:
    for person in ("e.mueller", "e.mueller", None, "p-17@bank.example"):
        read(bank, person)
    log = leaves(bank)
    assert not [leaf for leaf in log if b"mueller" in leaf or b"bank.example" in leaf]
    members = [json.loads(leaf).get("on_behalf_of") for leaf in log]
    assert members[2] is None
    assert len({*members}) == 4  # the same person looks different in each entry
    found = [
        each.get("on_behalf_of")
        for _, each in entries_of(bank.gate.journal.reads, bank.ledger, "c1")
    ]
    assert found == ["p-17@bank.example", None, "e.mueller", "e.mueller"]


def test_g161_a_refused_read_and_one_of_nobody_name_the_person_too(
    bank: World, tmp_path: Path
) -> None:
    read(bank, "e.mueller", "c3")
    read(bank, "e.mueller", "nobody")
    asked = ReadRequest("analytics", "no-scene", "c1", AGE, NOON, on_behalf_of="e.mueller")
    assert bank.gate.read(asked).decision.refused
    assert all("on_behalf_of" in json.loads(leaf) for leaf in leaves(bank))
    assert replayed(tmp_path).differences == []


class Forged:
    """The entry of a read, true in everything but what it says of the person."""

    def __init__(self, bank: World, person: str, action: str = "read") -> None:
        log = bank.gate.journal.reads
        (_, honest), *_ = entries_of(log, bank.ledger, "c1")
        plain = honest | {"subject": None, "on_behalf_of": person, "action": action}
        self._entry = msgspec.convert(plain, ReadLogEntry)

    def entry(self, tag: str | None, pad: int | None = None) -> bytes:
        return self._entry.entry(tag, pad)


def masked_at(bank: World, index: int) -> str:
    tags = bank.ledger.read_log_tags("c1", bank.gate.journal.log.origin)
    assert tags is not None
    return masked_persons.masked_person("e.mueller", tags.position_key, index)


LIES: dict[str, Callable[[str], str]] = {
    "in clear": lambda _: "e.mueller",
    "empty": lambda _: "",
    "too short": lambda masked: masked[:-2],
    "in capitals": str.upper,
    "masked with another pad": lambda masked: masked[2:] + masked[:2],
}


@pytest.mark.parametrize("why", LIES)
def test_g161_a_replay_names_an_entry_whose_person_no_journal_writes(
    bank: World, tmp_path: Path, why: str
) -> None:
    read(bank, "e.mueller")
    journal = bank.gate.journal
    journal.record(Forged(bank, masked_at(bank, 1)), "c1")
    assert replayed(tmp_path).differences == []
    lie = LIES[why](masked_at(bank, 2))
    wrong = journal.record(Forged(bank, lie), "c1")
    assert [each.entry for each in replayed(tmp_path).differences] == [wrong]


def test_g161_only_an_answer_about_one_customer_names_a_person(bank: World, tmp_path: Path) -> None:
    read(bank, "e.mueller")
    wrong = bank.gate.journal.record(Forged(bank, masked_at(bank, 1), "search"), "c1")
    assert [each.entry for each in replayed(tmp_path).differences] == [wrong]


NOT_PERSONS: dict[str, Any] = {
    "nothing": "",
    "a space": "e mueller",
    "two lines": "e.mueller\n",
    "markup": "<b>me</b>",
    "too long": "e" * 65,
    "another script": "\u0435.mueller",
    "a mark that turns text": "e\u202emueller",
    "a path": "../../etc",
    "a number": 17,
    "several": ["e.mueller"],
}


@pytest.mark.parametrize("why", NOT_PERSONS)
def test_g160_the_gate_refuses_what_is_no_id_of_a_person(bank: World, why: str) -> None:
    app = GateApp(bank.gate, Tokens(), clock=lambda: NOON)
    body = {"scene": "segmentation", "customer": "c1", "fields": ["age"]}
    body |= {"on_behalf_of": NOT_PERSONS[why]}
    status, answer = asyncio.run(play(app, Case("/v1/read", json.dumps(body).encode())))
    assert (status, leaves(bank)) == (400, [])
    assert json.loads(answer)["type"] == "urn:sovereign:problem:malformed"


def test_g160_in_process_it_is_refused_before_anything_is_read(bank: World) -> None:
    with pytest.raises(ValueError, match="want an id"):
        read(bank, "e mueller")
    assert leaves(bank) == []
