"""Clauses L74 and L75 of specs/ledger.md, by an attacker who is the company itself.

They have the database of today and an old backup of it, the published logs, the key-encryption
key, every other customer's data key, and know what the erased customer may have said, word for
word. Each attack is run first on a customer who was not erased: it finds them, or it would prove
nothing.
"""

import hmac
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from msgspec.structs import replace

from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from ledger.events import envelope, state_document
from ledger.events.envelope import Granted, Instruction, Withdrawn
from ledger.events.reducer import ConsentState
from ledger.service import Ledger
from ledger.statemap import map_proof, verifiable_map
from ledger.statemap.map_proof import StateProof
from ledger.vault import commitments, sealing, vault
from ledger.vault.vault import Vault
from ledger.verify import receipt
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
from tests.ledger.events import NOON, WORDING
from tests.ledger.worlds import opened

EVENTS = 6
WRAPPED = (40, commitments.KEY_SIZE + 8)  # bytes of a wrapped half, and of a wrapped data key
ERASED, OTHER = "c-erased", "c-other"
Row = tuple[int, bytes, bytes]


@dataclass
class Loot:
    """What the attacker has of one customer's time, and what they are after."""

    entries: list[bytes]
    sealed: list[Row]  # of the database of today and of the backup
    records: bytes  # of every bucket of the map, of both
    keys: list[bytes]  # every 32 bytes that may be a data key
    said: dict[str, list[Instruction]]  # the truth, of which the attacker knows every word
    receipts: dict[str, list[str]]
    proofs: dict[str, StateProof]
    home: Path


@pytest.fixture(scope="module")
def loot(tmp_path_factory: pytest.TempPathFactory) -> Loot:
    home = tmp_path_factory.mktemp("house")
    ledger = opened(home)
    for subject, act in product((OTHER, ERASED), acts()):
        ledger.record([ledger.draft(subject, act, at=NOON, wording=WORDING)])
    said = {name: [each.event for each in ledger.history(name)] for name in (ERASED, OTHER)}
    receipts = {
        name: [ledger.receipt(each.index, name) for each in ledger.history(name)] for name in said
    }
    proofs = {name: ledger.state_proof(name) for name in said}
    ledger.close()
    shutil.copy(home / "ledger.sqlite", home / "backup")
    again = opened(home)
    again.erase(ERASED, NOON)
    entries = [*again.log.entries(0, again.size)]
    again.close()
    rows = [*_rows(home / "ledger.sqlite"), *_rows(home / "backup")]
    records = _records(home / "ledger.sqlite") + _records(home / "backup")
    return Loot(entries, rows, records, [*_keys(home)], said, receipts, proofs, home)


def acts() -> list[Granted | Withdrawn]:
    scenes = ("segmentation", "lead-scoring", "direct-marketing")
    acts: list[Granted | Withdrawn] = [Granted(scene, ("age",), None) for scene in scenes]
    return [*acts, *(Withdrawn(scene) for scene in scenes)][:EVENTS]


def _rows(database: Path) -> list[Row]:
    with closing(sqlite3.connect(database)) as opened_:
        return opened_.execute('SELECT "index", tag, data FROM sealed').fetchall()


def _records(database: Path) -> bytes:
    with closing(sqlite3.connect(database)) as opened_:
        found = opened_.execute("SELECT records FROM state_bucket").fetchall()
    return b"".join(each for (each,) in found)


def _keys(home: Path) -> Iterator[bytes]:
    """Whatever may be a data key: what can be derived, what the key store holds, and any bytes
    of any file that open under the key-encryption key."""
    kek = (home / "keys" / "kek").read_bytes()
    yield from (kek, bytes(32), sha256(ERASED.encode()).digest(), sha256(kek).digest())
    yield hmac.digest(kek, ERASED.encode(), "sha256")
    with closing(Vault(home / "keys")) as keys:
        yield from (key for _, key in keys.data_keys())
    for path in (home / "keys" / "customers.db", home / "ledger.sqlite", home / "backup"):
        data = path.read_bytes()
        for at, size in product(range(len(data) - 39), WRAPPED):
            if any(window := data[at : at + size]) and len(window) == size:
                try:
                    yield aes_key_unwrap(kek, window)
                except InvalidUnwrap:
                    continue


def found_by_dictionary(loot: Loot, subject: str) -> int:
    """Every act of the twelve scenes, in the envelope as it was, under all that may be keys."""
    leaves = {*loot.entries}
    hits = 0
    for said, key in product(loot.said[subject], {*loot.keys}):
        opening = commitments.secrets(key, said.seq).opening
        guesses = [said, *(replace(said, act=act) for act in dictionary())]
        encoded = (envelope.encode(guess) for guess in guesses)
        hits += any(commitments.personal_entry(opening, each) in leaves for each in encoded)
    return hits


@cache
def dictionary() -> list[Granted | Withdrawn]:
    scenes = load_scenes(SCENES_FOLDER, load_source(SOURCE_CONTRACT))
    return [act for scene in scenes for act in (Granted(scene, ("age",), None), Withdrawn(scene))]


def _parts(said: Instruction) -> dict[str, object]:
    return {name: getattr(said, name) for name in said.__struct_fields__}


def linked(loot: Loot, subject: str) -> int:
    """How many of the customer's entries the attacker can say belong together."""
    tags = {entry[1:25] for entry in loot.entries if entry[:1] == commitments.PERSONAL}
    known = [
        {commitments.tag(key, seq) for seq in range(1, EVENTS + 1)} & tags for key in loot.keys
    ]
    mine = {bytes.fromhex(receipt.parse(each).extra["tag"]) for each in loot.receipts[subject]}
    return max(len(group & mine) for group in known)


def opened_of(loot: Loot, subject: str) -> int:
    """How many sealed events, of today or of the backup, open under any key."""
    mine = {bytes.fromhex(receipt.parse(each).extra["tag"]) for each in loot.receipts[subject]}
    rows = [row for row in loot.sealed if row[1] in mine]
    hits = 0
    for (index, _, data), key in product(rows, {*loot.keys}):
        said = loot.said[subject][0].seq
        for seq in range(said, said + EVENTS):
            try:
                sealing.unseal(commitments.secrets(key, seq), data, loot.entries[index])
                hits += 1
            except vault.VaultError:
                continue
    return hits


def state_guessed(loot: Loot, subject: str) -> bool:
    """The attacker knows the whole state; is its value in the map, under any salt they derive?"""
    proof = loot.proofs[subject]
    assert proof.opening is not None
    values = {
        map_proof.StateOpening(proof.opening.state, salt).value
        for key in loot.keys
        for salt in (
            key,
            sha256(
                b"sovereign/state-salt/v1\x00"
                + commitments.read_log_tag(key, "test.example/consent/state", EVENTS)
            ).digest(),
        )
    }
    records = {
        loot.records[at + 32 : at + 64] for at in range(0, len(loot.records), verifiable_map.RECORD)
    }
    return bool(values & records)


@pytest.mark.parametrize(("subject", "hits"), [(OTHER, EVENTS), (ERASED, 0)])
def test_l75_a_dictionary_finds_nothing_of_the_erased(loot: Loot, subject: str, hits: int) -> None:
    assert found_by_dictionary(loot, subject) == hits


@pytest.mark.parametrize(("subject", "hits"), [(OTHER, EVENTS), (ERASED, 0)])
def test_l75_tags_of_the_erased_cannot_be_linked(loot: Loot, subject: str, hits: int) -> None:
    assert linked(loot, subject) == hits


def test_l75_lengths_do_not_tell_customers_apart(loot: Loot) -> None:
    assert len({len(data) for _, _, data in loot.sealed}) == 1


@pytest.mark.parametrize(("subject", "hits"), [(OTHER, 2 * EVENTS), (ERASED, 0)])
def test_l74_nothing_sealed_opens_today_or_in_the_backup(
    loot: Loot, subject: str, hits: int
) -> None:
    assert opened_of(loot, subject) == hits


@pytest.mark.parametrize(("subject", "guessed"), [(OTHER, True), (ERASED, False)])
def test_l75_a_known_state_is_not_found_in_the_map(
    loot: Loot, subject: str, *, guessed: bool
) -> None:
    assert state_guessed(loot, subject) is guessed


def test_l74_a_restored_backup_shows_nothing_of_the_erased(loot: Loot, tmp_path: Path) -> None:
    shutil.copytree(loot.home, tmp_path / "house")
    shutil.copy(loot.home / "backup", tmp_path / "house/ledger.sqlite")
    restored = Ledger.reopen(tmp_path / "house")
    assert restored.state(ERASED) is None
    assert {getattr(each.event, "subject", None) for each in restored.follow(0)} == {OTHER}
    with pytest.raises(KeyError, match="can no longer be decrypted"):
        restored.receipt(EVENTS)
    restored.close()


def test_l71_every_proof_given_before_still_verifies(loot: Loot) -> None:
    again = opened(loot.home)
    for subject in (ERASED, OTHER):
        kept = [receipt.parse(each) for each in loot.receipts[subject]]
        for each in kept:
            assert receipt.verify(each, again.log.verifiers).size <= again.size
            assert commitments.canonical(each.extra["event"]) in {
                envelope.encode(said) for said in loot.said[subject]
            }
        label = again.states.labels.of(subject)
        proof = loot.proofs[subject]
        map_proof.verify(proof, label, again.states.log.verifiers)
        map_proof.require_complete(proof, [each.extra["event"] for each in kept])
    opening = loot.proofs[OTHER].opening
    assert opening is not None
    assert state_document.document(again.state(OTHER) or ConsentState(OTHER)) == opening.state
    again.close()
