"""Act 34 of specs/guarantees.md: no member of the entries of a read log links a customer's."""

import json
from pathlib import Path

import pytest

from gate.reads.request import ReadRequest
from ledger.events.envelope import Granted
from tests.attacks.read_log_links import linking
from tests.gate.world import NOON, PEOPLE, World, world

SCENE, SERVICE = "segmentation", "analytics"
ROUNDS = 6


@pytest.fixture
def bank(tmp_path: Path) -> World:
    return world(tmp_path)


def test_no_member_of_an_entry_repeats_in_one_customers_entries(bank: World) -> None:
    owners = []
    for each in PEOPLE:
        bank.says(each, Granted(SCENE, ("age",), None))
    for _ in range(ROUNDS):
        for each in PEOPLE:
            bank.gate.read(ReadRequest(SERVICE, SCENE, each, ("age",), NOON))
            owners.append(each)
    log = bank.gate.journal.log
    entries = [json.loads(each) for each in log.entries(0, log.size)]
    assert len(entries) == len(owners)
    assert linking(entries, owners) == set()


@pytest.mark.parametrize("masked", [True, False])
def test_a_member_that_repeats_is_found(*, masked: bool) -> None:
    owners = [*PEOPLE] * ROUNDS
    entries = [
        {"at": n // 4, "same": 1, "within": {"rests": n if masked else owner}}
        for n, owner in enumerate(owners)
    ]
    assert linking(entries, owners) == (set() if masked else {"within", "within.rests"})
