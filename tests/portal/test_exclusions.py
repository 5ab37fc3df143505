"""Clause 3.3 of specs/portal.md: which items a customer left out, from their instructions alone."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from gate.contracts.scene import Scene
from ledger.events.acts import Act
from ledger.events.envelope import EvidenceClass, Granted, Wording, instruction
from ledger.events.envelope import Withdrawn as Off
from ledger.reader import RecordedEvent
from portal.consent import exclusions
from portal.consent.centre import offered
from portal.storage.words import WordStore
from tests.bank import contracts

SCENE = "recommendation"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NO_WORDS = bytes(32)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return contracts()[1][SCENE]


@pytest.fixture
def store(tmp_path: Path) -> WordStore:
    return WordStore(tmp_path)


def history(*acts: Act, words: bytes = NO_WORDS) -> list[RecordedEvent]:
    seen = Wording("en", words)
    log, by = "bank.example/consent", EvidenceClass.SESSION
    return [
        RecordedEvent(n, instruction(log, "c1", n, bytes(32), act, NOON, seen, by))
        for n, act in enumerate(acts)
    ]


def left_out(store: WordStore, scene: Scene, said: list[RecordedEvent]) -> set[str]:
    return {*exclusions.excluded(said, store, {SCENE: scene}).get(SCENE, ())}


def test_3_3_whoever_never_allowed_anything_left_nothing_out(
    scene: Scene, store: WordStore
) -> None:
    assert left_out(store, scene, history()) == set()
    assert left_out(store, scene, history(Off(SCENE))) == set()
    assert offered(scene, (), ()) == tuple(scene.fields)


def test_3_3_an_item_withdrawn_or_not_granted_is_left_out(scene: Scene, store: WordStore) -> None:
    first, second, *rest = scene.fields
    withdrawn = history(Granted(SCENE, (*scene.fields,), None), Off(SCENE, (first,)), Off(SCENE))
    assert left_out(store, scene, withdrawn) == {first}
    granted = history(Granted(SCENE, (first, *rest), None), Off(SCENE))
    assert left_out(store, scene, granted) == {second}
    assert offered(scene, (), {second}) == (first, *rest)
    assert offered(scene, (first,), {second}) == tuple(scene.fields)


def test_3_3_the_last_item_that_was_allowed_is_allowed_again(
    scene: Scene, store: WordStore
) -> None:
    one_by_one = [Off(SCENE, (name,)) for name in scene.fields]
    said = history(Granted(SCENE, (*scene.fields,), None), *one_by_one)
    assert offered(scene, (), left_out(store, scene, said)) == (*scene.fields,)[-1:]


def test_3_3_an_item_that_the_contract_did_not_have_then_was_not_left_out(
    scene: Scene, store: WordStore
) -> None:
    first, second, *later = scene.fields
    text = json.dumps({"items": {first: "…", second: "…"}}).encode()
    store.keep([text])
    said = history(Granted(SCENE, (first,), None), words=sha256(text).digest())
    assert left_out(store, scene, said) == {second}
    assert offered(scene, (), {second}) == (first, *later)
