"""specs/statemap.md, "Labels": what a verifier demands of the label, and the files of its key."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import CorruptLogError
from ledger.fsck import fsck
from ledger.keys import map_key
from ledger.service import Ledger
from ledger.statemap import map_proof, vrf
from ledger.statemap.labels import Labels
from ledger.statemap.map_proof import StateProof
from ledger.statemap.vrf_key import VrfKey
from ledger.tlog import policy
from ledger.tlog.merkle import ProofError
from ledger.tlog.policy import LogPolicyError, MapKey
from ledger.tlog.signed_note import NoteError
from tests.ledger.worlds import AGE, opened, say


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed ledger with two customers; not to be changed."""
    folder = tmp_path_factory.mktemp("home")
    with closing(opened(folder)) as ledger:
        for subject in ("c1", "c2"):
            say(ledger, subject, AGE)
    return folder


@pytest.fixture(scope="module")
def ledger(home: Path) -> Iterator[Ledger]:
    with closing(Ledger.reopen(home)) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def proof(ledger: Ledger) -> StateProof:
    return map_proof.parse(str(ledger.state_proof("c1")))


@pytest.fixture(scope="module")
def trusted(home: Path) -> MapKey:
    (key,) = policy.parse((home / "state.policy").read_bytes()).maps.values()
    return key


def test_s23_the_label_is_that_of_the_id(
    ledger: Ledger, proof: StateProof, trusted: MapKey
) -> None:
    assert proof.vrf is not None
    output = vrf.verify(trusted.public, b"sovereign/label/v2\0c1", proof.vrf)
    assert map_proof.proven_label(proof, "c1", trusted) == output[:32]
    assert ledger.states.labels.of("c1") == output[:32]
    assert ledger.states.value(output[:32]) is not None


def test_s23_a_state_of_another_customer_is_refused(
    ledger: Ledger, proof: StateProof, trusted: MapKey
) -> None:
    for subject in ("c2", "c1 ", "C1", ""):
        with pytest.raises(ProofError, match="another customer"):
            map_proof.proven_label(proof, subject, trusted)
    absent = ledger.absence_proof("c3")
    with pytest.raises(ProofError, match="not that of the customer"):
        map_proof.proven_label(absent, "c4", trusted)


OTHER = Labels(VrfKey(bytes(32)), "x")
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no proof": ({"vrf": None}, "not proven"),
    "a proof under another key": ({"vrf": OTHER.prove("c1")}, "not that of the customer"),
    "a short proof": ({"vrf": bytes(79)}, "79 bytes"),
}


@pytest.mark.parametrize("why", WRONG)
def test_s23_a_label_that_is_not_proven_is_refused(
    proof: StateProof, trusted: MapKey, why: str
) -> None:
    changed, message = WRONG[why]
    with pytest.raises(ProofError, match=message):
        map_proof.proven_label(replace(proof, **changed), "c1", trusted)


def test_s24_the_key_is_the_one_that_the_policy_lists(proof: StateProof, trusted: MapKey) -> None:
    for public in (OTHER.public, None):
        other = replace(proof, entry=replace(proof.entry, vrf=public))
        with pytest.raises(ProofError, match="another key of the map's labels"):
            map_proof.proven_label(other, "c1", trusted)
    with pytest.raises(ProofError, match="another key of the map's labels"):
        map_proof.proven_label(proof, "c1", replace(trusted, public=OTHER.public))
    with pytest.raises(ProofError, match="not bound yet"):
        map_proof.proven_label(proof, "c1", replace(trusted, since=9))


def test_s24_every_entry_names_the_key_and_the_policy_of_the_state_log_lists_it(
    home: Path, ledger: Ledger, trusted: MapKey
) -> None:
    log = ledger.states.log
    entries = [json.loads(each) for each in log.entries(0, log.size)]
    assert [each["vrf"] for each in entries] == [trusted.public.hex()] * 2
    assert (trusted.origin, trusted.since) == (log.origin, 0)
    assert policy.parse((home / "consent.policy").read_bytes()).maps == {}


LINES = {
    "listed twice": "vrf o {key} 0\nvrf o {key} 0\n",
    "no number": "vrf o {key}\n",
    "a word too many": "vrf o {key} 0 0\n",
    "a zero before": "vrf o {key} 00\n",
    "negative": "vrf o {key} -1\n",
    "a short key": "vrf o ab 0\n",
    "capitals": "vrf o {KEY} 0\n",
}


@pytest.mark.parametrize("why", LINES)
def test_l84_a_malformed_line_of_a_map_is_refused(why: str) -> None:
    good, key = f"vrf o {'ab' * 32} 7\nquorum none\n", "ab" * 32
    assert str(policy.parse(good.encode()).maps["o"]) == good.splitlines()[0]
    text = LINES[why].format(key=key, KEY=key.upper()) + "quorum none\n"
    with pytest.raises(LogPolicyError):
        policy.parse(text.encode())


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "map.key missing": lambda keys, _: (keys / "map.key").unlink(),
    "map.key cut off": lambda keys, _: (keys / "map.key").write_text("ab"),
    "map.key exchanged": lambda keys, other: shutil.copy(other / "map.key", keys),
    "map.key with bytes": lambda keys, _: (keys / "map.key").write_bytes(b"\xff" * 65),
    "map.vkey missing": lambda keys, _: (keys / "map.vkey").unlink(),
    "map.vkey exchanged": lambda keys, other: shutil.copy(other / "map.vkey", keys),
    "map.vkey with another number": lambda keys, _: (keys / "map.vkey").write_text(
        (keys / "map.vkey").read_text().replace(" 0\n", " 1\n")
    ),
    "map.vkey with a comment": lambda keys, _: (keys / "map.vkey").write_text(
        "# x\n" + (keys / "map.vkey").read_text()
    ),
    "both exchanged": lambda keys, other: [
        shutil.copy(other / name, keys) for name in ("map.key", "map.vkey")
    ],
}


def _both_missing(keys: Path, _: Path) -> None:
    for name in ("map.key", "map.vkey"):
        (keys / name).unlink()


DAMAGE["both missing"] = _both_missing


@pytest.mark.parametrize("why", DAMAGE)
def test_s25_a_damaged_key_is_refused_at_a_start_and_found(
    home: Path, tmp_path: Path, why: str
) -> None:
    opened(tmp_path / "other").close()
    damaged = shutil.copytree(home, tmp_path / "damaged")
    DAMAGE[why](damaged / "keys", tmp_path / "other/keys")
    before = (damaged / "state.policy").read_bytes()
    with pytest.raises((CorruptLogError, NoteError), match=r"map\.v?key"):
        opened(damaged)
    assert (damaged / "state.policy").read_bytes() == before
    assert any("map." in each.file or "map." in each.what for each in fsck(damaged))


def test_s25_the_private_key_is_its_owners_only(home: Path) -> None:
    assert map_key.private(home).stat().st_mode & 0o777 == 0o600
    assert [*fsck(home)] == []
