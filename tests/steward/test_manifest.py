"""specs/manifest.md: what a training set rests on, and the veto."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from gate.contracts.odcs import ContractError
from gate.contracts.scene import Scene
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    ManifestPublished,
    SourceDeleted,
    Withdrawn,
)
from ledger.reader import entries_at
from ledger.service import Ledger
from ledger.tlog import merkle
from ledger.verify import receipt
from portal.commands import app
from portal.operations import company_folder
from portal.operations.wiring import publish_scenes
from steward.oversight import manifest
from steward.oversight.manifest import Manifest, ManifestError, VetoedError
from tests.bank import BANK, bank, contracts
from tests.campaign import sized
from tests.ledger.events import NOON, WORDING
from tests.ledger.worlds import opened, say

_, SCENES = contracts()
TRAINING = SCENES["ai-training"]
FIELDS = ("age", "job")
ALL = Granted("ai-training", tuple(TRAINING.fields), None)
VETO = Withdrawn("ai-training")
LATER = NOON + timedelta(days=1)


class Published:
    """Contracts by digest."""

    def read(self, digest: str) -> Scene:
        found = {each.digest: each for each in SCENES.values()}
        if digest not in found:
            raise ContractError(f"no contract {digest}")
        return found[digest]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Entries: 0 and 1 allow training, 2 another scene, 3 allows less, 4 vetoes what 1 said."""
    made = opened(tmp_path)
    say(made, "c1", ALL)
    say(made, "c2", ALL)
    say(made, "c3", Granted("segmentation", ("age",), None))
    say(made, "c4", Granted("ai-training", ("age",), None))
    say(made, "c2", VETO)
    say(made, "c5", ALL)
    yield made
    made.close()


def make(ledger: Ledger, *fields: str, at: datetime = LATER) -> Manifest:
    return manifest.make(ledger, TRAINING, "scoring-2", fields or FIELDS, at)


def verify(found: Manifest, ledger: Ledger) -> int:
    return manifest.verify(manifest.parse(bytes(found)), ledger, Published())


def indexes(found: Manifest) -> list[int]:
    return [index for index, _ in found.entries]


def test_n1_it_lists_the_live_grants_of_all_fields(ledger: Ledger) -> None:
    found = make(ledger)
    assert indexes(found) == [0, 5]
    assert indexes(make(ledger, "age")) == [0, 3, 5]
    assert (found.size, found.root) == ledger.root()
    entries = [*ledger.log.entries(0, 6)]
    assert [leaf for _, leaf in found.entries] == [
        merkle.leaf_hash(entries[index]).hex() for index in (0, 5)
    ]
    assert verify(found, ledger) == 0


def test_n1_a_grant_that_ran_out_is_not_in_it(ledger: Ledger) -> None:
    assert indexes(make(ledger, at=NOON + TRAINING.longest)) == []
    say(ledger, "c6", Granted("ai-training", FIELDS, NOON + timedelta(days=2)))
    assert indexes(make(ledger)) == [0, 5, 6]
    assert indexes(make(ledger, at=NOON + timedelta(days=2))) == [0, 5]


def test_n2_it_names_nobody_and_a_receipt_finds_its_entry(ledger: Ledger) -> None:
    found = make(ledger)
    said = json.loads(bytes(found))
    assert said.keys() == document().keys()
    assert not {"c1", "c5"} & {*said["fields"], *(str(said[key]) for key in said)}
    kept = receipt.parse(ledger.receipt(5, "c5"))
    assert dict(found.entries)[kept.index] == merkle.leaf_hash(kept.entry()).hex()


def document(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "at": "2026-01-02T12:00:00Z",
        "contract": "9f",
        "entries": [[0, "00" * 32], [5, "11" * 32]],
        "fields": ["age"],
        "form": manifest.FORM,
        "model": "m",
        "origin": "test.example/consent",
        "root": "AAAA",
        "scene": "ai-training",
        "size": 6,
    }
    return made | changes


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in document().items() if key != name}


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "white space": canonical(document()) + b"\n",
    "other order": json.dumps(document()).encode(),
    "another form": canonical(document(form="urn:sovereign:manifest:2")),
    "a part more": canonical(document(more=1)),
    "entries out of order": canonical(document(entries=[[5, "11" * 32], [0, "00" * 32]])),
    "an entry twice": canonical(document(entries=[[0, "00" * 32], [0, "00" * 32]])),
    "an entry beyond its size": canonical(document(entries=[[6, "00" * 32]])),
    "a negative entry": canonical(document(entries=[[-1, "00" * 32]])),
    "a fraction": canonical(document(entries=[[0.5, "00" * 32]])),
    "a truth value": canonical(document(entries=[[True, "00" * 32]])),
    "a short leaf": canonical(document(entries=[[0, "00"]])),
    "capitals in a leaf": canonical(document(entries=[[0, "AA" * 32]])),
    "no hex": canonical(document(entries=[[0, "zz" * 32]])),
    "a number for a name": canonical(document(model=7)),
    "a number for a field": canonical(document(fields=[7])),
    "another time": canonical(document(at="2026-01-02T12:00Z")),
    **{f"no {name}": canonical(without(name)) for name in document()},
}


@pytest.mark.parametrize("why", MALFORMED)
def test_n3_only_the_canonical_form_is_read(why: str) -> None:
    assert bytes(manifest.parse(canonical(document()))) == canonical(document())
    with pytest.raises(ManifestError, match="want"):
        manifest.parse(MALFORMED[why])


@settings(max_examples=sized(66, 1000))
@given(st.binary(max_size=300))
def test_n3_whatever_the_bytes_there_is_one_error(data: bytes) -> None:
    with pytest.raises(ManifestError):
        manifest.parse(data)


def forged(found: Manifest, ledger: Ledger, *more: int) -> Manifest:
    """The same with entries that should not be in it, and their true leaves."""
    leaves = merkle.leaf_hashes(entries_at(ledger.log, [*more]))
    added = [(index, leaf.hex()) for index, leaf in zip(more, leaves, strict=True)]
    return replace(found, entries=tuple(sorted((*found.entries, *added))))


VETOED = {
    "who withdrew": 1,
    "the withdrawal itself": 4,
    "who allowed another scene": 2,
    "who allowed less": 3,
}


@pytest.mark.parametrize("why", VETOED)
def test_n4_an_entry_without_a_live_grant_fails(why: str, ledger: Ledger) -> None:
    with pytest.raises(VetoedError, match="train again without them") as caught:
        verify(forged(make(ledger), ledger, VETOED[why]), ledger)
    assert caught.value.entries == [VETOED[why]]


def test_n4_a_veto_after_its_size_does_not_fail_it(ledger: Ledger) -> None:
    found = make(ledger)
    say(ledger, "c1", VETO)
    assert verify(found, ledger) == 0
    assert indexes(make(ledger)) == [5]


def test_n4_a_later_time_does_not_revive_and_a_grant_that_ran_out_fails(ledger: Ledger) -> None:
    late = replace(make(ledger), at=NOON + TRAINING.longest)
    with pytest.raises(VetoedError):
        verify(late, ledger)


def test_n4_another_log_root_leaf_or_contract_fails(ledger: Ledger) -> None:
    found = make(ledger)
    bad = {
        "another log": replace(found, origin="other.example/consent"),
        "more entries than there are": replace(found, size=99),
        "another root": replace(found, root="AAAA"),
        "another leaf": replace(found, entries=((0, "00" * 32),)),
        "a leaf of another entry": replace(found, entries=((0, found.entries[1][1]),)),
        "a contract of another scene": replace(found, contract=SCENES["segmentation"].digest),
    }
    for why, each in bad.items():
        with pytest.raises(ManifestError):
            verify(each, ledger)
        assert verify(found, ledger) == 0, why
    with pytest.raises(ContractError):
        verify(replace(found, contract="9f"), ledger)


def test_n4_who_was_erased_since_is_counted_and_no_failure(ledger: Ledger) -> None:
    found = make(ledger)
    ledger.erase("c1", LATER)
    assert verify(found, ledger) == 1
    say(ledger, "c1", VETO)
    assert verify(found, ledger) == 1


def test_n5_a_later_veto_and_an_erasure_reach_the_model(ledger: Ledger) -> None:
    say(ledger, "c6", ALL)
    found = make(ledger)
    assert not manifest.affected(found, ledger)
    say(ledger, "c1", VETO)
    ledger.erase("c5", LATER)
    say(ledger, "c6", Withdrawn("ai-training", ("job",)))
    hit = manifest.affected(found, ledger)
    assert (hit.vetoed, hit.erased) == (((0, 7), (6, 9)), (5,))


TAKES_NOTHING_BACK: dict[str, Act] = {
    "another scene": Withdrawn("segmentation"),
    "another field": Withdrawn("ai-training", ("loan",)),
    "given again": ALL,
}


@pytest.mark.parametrize("why", TAKES_NOTHING_BACK)
def test_n5_what_takes_nothing_back_reaches_no_model(why: str, ledger: Ledger) -> None:
    found = make(ledger)
    say(ledger, "c1", TAKES_NOTHING_BACK[why])
    assert not manifest.affected(found, ledger)


def test_n5_a_deletion_at_the_source_takes_back(ledger: Ledger) -> None:
    found = make(ledger)
    deleted = ledger.draft(
        "c1", SourceDeleted(), at=LATER, wording=WORDING, evidence=EvidenceClass.IMPORTED
    )
    (recorded,) = ledger.record([deleted])
    assert manifest.affected(found, ledger).vetoed == ((0, recorded.index),)


def test_n5_a_narrower_grant_takes_back(ledger: Ledger) -> None:
    found = make(ledger)
    say(ledger, "c1", Granted("ai-training", ("age",), None), ALL)
    assert manifest.affected(found, ledger).vetoed == ((0, 6),)


acts = st.lists(
    st.tuples(st.sampled_from(["c1", "c2", "c3"]), st.sampled_from([ALL, VETO])),
    min_size=1,
    max_size=10,
)


@settings(max_examples=sized(12, 200), deadline=None)
@given(acts)
def test_n7_nobody_who_said_no_is_ever_in_it(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, Act]]
) -> None:
    ledger = opened(tmp_path_factory.mktemp("said"))
    last: dict[str, int] = {}
    for subject, act in acts:
        (recorded,) = say(ledger, subject, act)
        last.pop(subject, None)
        if act is ALL:
            last[subject] = recorded.index
    found = make(ledger)
    assert indexes(found) == sorted(last.values())
    assert verify(found, ledger) == 0
    ledger.close()


NO_MANIFESTS = {
    "no name": ("", FIELDS),
    "a name that cannot be printed": ("a\nb", FIELDS),
    "no fields": ("m", ()),
    "a field of another scene": ("m", ("shoe size",)),
}


@pytest.mark.parametrize("why", NO_MANIFESTS)
def test_n1_what_cannot_be_is_refused(why: str, ledger: Ledger) -> None:
    model, fields = NO_MANIFESTS[why]
    with pytest.raises(ManifestError, match="want"):
        manifest.make(ledger, TRAINING, model, fields, LATER)


def run(*words: str, home: Path) -> Result:
    return CliRunner().invoke(app, ["manifest", *words, "--data-dir", str(home)])


def test_n6_the_commands(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ledger = opened(home)
    company_folder.remember(home, BANK)
    publish_scenes(ledger, bank(), home)
    now = datetime.now(NOON.tzinfo)
    for subject in ("c1", "c2"):
        ledger.record([ledger.draft(subject, ALL, at=now, wording=WORDING)])
    ledger.close()
    done = run("make", "scoring-2", "--announce", home=home)
    assert (done.exit_code, "2 entries" in done.output) == (0, True), done.output
    (path,) = (home / manifest.FOLDER).iterdir()
    found = manifest.parse(path.read_bytes())
    assert path.stem == found.digest
    ledger = Ledger.reopen(home)
    (said,) = [e.event for e in ledger.announced() if isinstance(e.event, ManifestPublished)]
    assert (said.model, said.manifest, said.size) == ("scoring-2", found.digest, found.size)
    assert run("verify", str(path), home=home).exit_code == 0
    assert run("affected", home=home).exit_code == 0
    ledger.record([ledger.draft("c1", VETO, at=now, wording=WORDING)])
    entry = ledger.size - 1
    ledger.close()
    assert run("verify", str(path), home=home).exit_code == 0
    hit = run("affected", "--json", home=home)
    (row,) = json.loads(hit.output)
    assert (hit.exit_code, row["model"], row["vetoed"]) == (
        1,
        "scoring-2",
        [[found.entries[0][0], entry]],
    )
    assert "1 vetoed, 0 erased, of 2" in run("affected", home=home).output
    path.write_bytes(b"{}")
    assert run("verify", str(path), home=home).exit_code == 1
    assert run("make", "m", "--scene", "spying", home=home).exit_code == 2
