"""specs/statemap.md, "Following"."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger import event, state, stateproof
from ledger.event import Granted, Instruction, ScenePublished, Withdrawn
from ledger.ledger import Ledger
from ledger.statelog import StateLog, UnknownSubjectError
from ledger.tree import ProofError
from ledger.verifier import state as offline
from portal.commands import state as command
from tests.ledger.recorded import WORDING
from tests.ledger.witnessing import NOON, ORIGIN

GRANT = Granted(scene="segmentation", fields=("age", "job"), until=None)
PART = Withdrawn(scene="segmentation", fields=("age",))
WITHDRAWAL = Withdrawn(scene="segmentation")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path, origin=ORIGIN)
    for number in range(12):
        say(made, f"c-{number}", GRANT)
    made.announce([ScenePublished(scene="segmentation", version="1", digest="0" * 64, at=NOON)])
    say(made, "c-3", PART)
    yield made
    made.close()


@pytest.fixture
def states(tmp_path: Path, ledger: Ledger) -> Iterator[StateLog]:
    made = StateLog.open(tmp_path, ledger)
    yield made
    made.close()


def say(ledger: Ledger, subject: str, *acts: Granted | Withdrawn) -> None:
    for act in acts:
        ledger.record([ledger.draft(subject, act, at=NOON, wording=WORDING)])


def where(ledger: Ledger, subject: str) -> bytes:
    first = ledger.history(subject)[0].event
    assert isinstance(first, Instruction)
    return stateproof.label(event.encode(first))


def shows(ledger: Ledger, states: StateLog, subject: str) -> stateproof.StateProof:
    """The subject's proof, verified, showing what the ledger folds."""
    proof = stateproof.parse(str(states.prove(subject)))
    stateproof.verify(proof, where(ledger, subject), states.log.verifiers)
    held = ledger.state(subject)
    assert held is not None
    assert proof.shown is not None
    assert proof.shown.state == state.document(held)
    assert proof.entry.size == ledger.size
    assert proof.entry.root == ledger.log.head().root
    return proof


def test_every_proof_shows_what_the_ledger_folds(ledger: Ledger, states: StateLog) -> None:
    for number in range(12):
        shows(ledger, states, f"c-{number}")
    say(ledger, "c-5", PART, WITHDRAWAL, GRANT)
    say(ledger, "c-new", GRANT, WITHDRAWAL)
    for subject in ("c-3", "c-5", "c-new"):
        shows(ledger, states, subject)


def test_catching_up_again_changes_nothing(ledger: Ledger, states: StateLog) -> None:
    newest, size = states.catch_up(), states.log.size
    assert states.catch_up() == newest == states.newest()
    assert (states.log.size, newest.size) == (size, ledger.size)
    assert list(states.findings()) == []


def test_it_goes_on_after_a_restart(tmp_path: Path, ledger: Ledger, states: StateLog) -> None:
    states.catch_up()
    say(ledger, "c-1", WITHDRAWAL)
    again = StateLog.open(tmp_path, ledger)
    shows(ledger, again, "c-1")
    shows(ledger, again, "c-2")
    assert list(again.findings()) == []
    again.close()


def test_a_crash_between_map_and_log_is_repaired(
    tmp_path: Path, ledger: Ledger, states: StateLog
) -> None:
    states.catch_up()
    say(ledger, "c-1", WITHDRAWAL)
    values = {
        stateproof.label(event.encode(first)): states._shown(held).value
        for held, first in states._states(states.newest().size, ledger.size)
    }
    states._buckets.write(states._map.change(values))  # and no entry: the process is gone
    again = StateLog.open(tmp_path, ledger)
    assert list(again.findings()) == [
        f"the state map is not the one of entry {again.log.size - 1} of the state log"
    ]
    shows(ledger, again, "c-1")
    assert list(again.findings()) == []
    again.close()


def test_many_entries_are_taken_in_by_several_steps(
    ledger: Ledger, states: StateLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.statelog.AT_ONCE", 5)
    states.catch_up()
    assert states.log.size == 3
    sizes = [stateproof.entry(json.loads(e)).size for e in states.log.entries(0, 3)]
    assert sizes == [5, 10, 14]
    for number in range(12):
        shows(ledger, states, f"c-{number}")


def test_of_somebody_unknown_nothing_is_shown(ledger: Ledger, states: StateLog) -> None:
    with pytest.raises(UnknownSubjectError):
        states.prove("nobody")


def test_that_nothing_is_at_a_label_is_proven(ledger: Ledger, states: StateLog) -> None:
    label = bytes(32)
    proof = states.prove_absence(label)
    stateproof.verify(proof, label, states.log.verifiers)
    assert proof.shown is None
    with pytest.raises(UnknownSubjectError):
        states.prove_absence(where(ledger, "c-1"))


def test_after_erasure_nothing_can_be_shown_and_old_proofs_verify(
    ledger: Ledger, states: StateLog
) -> None:
    proof, label = shows(ledger, states, "c-4"), where(ledger, "c-4")
    ledger.erase("c-4", NOON)
    with pytest.raises(UnknownSubjectError):
        states.prove("c-4")
    stateproof.verify(proof, label, states.log.verifiers)
    shows(ledger, states, "c-5")
    assert list(states.findings()) == []


def test_one_who_was_erased_before_catching_up_leaves_nothing(
    ledger: Ledger, states: StateLog
) -> None:
    label = where(ledger, "c-4")
    ledger.erase("c-4", NOON)
    stateproof.verify(states.prove_absence(label), label, states.log.verifiers)


def test_a_changed_bucket_is_found(tmp_path: Path, ledger: Ledger, states: StateLog) -> None:
    states.catch_up()
    states.close()
    with sqlite3.connect(tmp_path / "state.sqlite") as database:
        database.execute(
            "UPDATE bucket SET records = zeroblob(length(records)) WHERE rowid = "
            "(SELECT min(number) FROM bucket)"
        )
    database.close()
    again = StateLog.open(tmp_path, ledger)
    [finding] = again.findings()
    assert "has another root than is stored" in finding
    again.close()


def test_a_restored_older_state_log_is_caught_by_its_proofs(
    tmp_path: Path, ledger: Ledger, states: StateLog
) -> None:
    say(ledger, "c-1", GRANT)
    states.catch_up()
    stale = states.prove("c-1")
    say(ledger, "c-1", WITHDRAWAL)
    said = [each.event for each in ledger.history("c-1")]
    events = [json.loads(event.encode(each)) for each in said]
    stateproof.verify(stale, where(ledger, "c-1"), states.log.verifiers)
    with pytest.raises(ProofError, match="2 instructions, 3 were given"):
        stateproof.require_complete(stale, events)
    stateproof.require_complete(shows(ledger, states, "c-1"), events)


def test_a_state_log_of_another_ledger_is_found(
    tmp_path: Path, ledger: Ledger, states: StateLog
) -> None:
    states.catch_up()
    states.close()
    other = Ledger.open(tmp_path / "other", origin=ORIGIN)
    for number in range(20):
        say(other, f"c-{number}", GRANT)
    shutil.copy(tmp_path / "state.sqlite", tmp_path / "other")
    for name in ("state.key", "state.vkey"):
        shutil.copy(tmp_path / "keys" / name, tmp_path / "other/keys")
    wrong = StateLog.open(tmp_path / "other", other)
    assert any("another history" in finding for finding in wrong.findings())
    wrong.close()
    other.close()


def test_keys_are_their_owners_only(tmp_path: Path, states: StateLog) -> None:
    assert (tmp_path / "keys/state.key").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "keys/state.vkey").read_text().splitlines()) == 2


@pytest.fixture
def held(tmp_path: Path, ledger: Ledger, states: StateLog) -> list[str]:
    """A customer's files: the proof, the key and all receipts, as arguments."""
    say(ledger, "c-3", WITHDRAWAL)
    (tmp_path / "proof").write_text(str(states.prove("c-3")), newline="")
    names = []
    for each in ledger.history("c-3"):
        names.append(str(tmp_path / f"{each.index}.tlog-proof"))
        Path(names[-1]).write_text(ledger.receipt(each.index), newline="")
    return [
        str(tmp_path / "proof"),
        "--key",
        str(tmp_path / "keys/state.vkey"),
        "--receipts",
        *names,
    ]


def test_the_offline_verifier_shows_the_latest_state(
    held: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert offline.main(held) == 0
    out = capsys.readouterr().out
    assert out.startswith("VERIFIED")
    assert '"fields":null' in out
    assert '"seq":3' in out


@pytest.mark.parametrize("kept", [[0], [0, 1], [1, 2], [0, 2], [2, 1, 0], [0, 0, 1, 2]])
def test_the_offline_verifier_refuses_receipts_that_are_not_all(
    held: list[str], kept: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    receipts = held[4:]
    assert offline.main([*held[:4], *(receipts[at] for at in kept)]) == 1
    assert capsys.readouterr().err.startswith("NOT VERIFIED")


def test_the_offline_verifier_refuses_changed_files(
    held: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (held[0], held[2], held[4]):
        path = Path(name)
        data = path.read_bytes()
        for changed in (data[:-2], data + b"x", data.replace(b"A", b"B", 1), b"", b"\xff"):
            path.write_bytes(changed)
            assert offline.main(held) == 1, (name, changed[-9:])
            assert capsys.readouterr().err.startswith("NOT VERIFIED")
        path.write_bytes(data)
    assert offline.main(held) == 0


ALONE = """
import sys
from importlib.abc import MetaPathFinder
class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names | {"ledger", "cryptography", "_cffi_backend"}:
            raise ImportError(f"blocked: {name}")
sys.meta_path.insert(0, Block())
from ledger.verifier.state import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_offline_verifier_needs_nothing_but_cryptography(held: list[str]) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *held], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_writes_a_proof_that_verifies(
    tmp_path: Path, ledger: Ledger, held: list[str]
) -> None:
    ledger.close()
    written = tmp_path / "written"
    arguments = ["c-3", "--data-dir", str(tmp_path), "--out", str(written)]
    assert CliRunner().invoke(command.app, arguments).exit_code == 0
    assert offline.main([str(written), *held[1:]]) == 0
    unknown = CliRunner().invoke(command.app, ["nobody", "--data-dir", str(tmp_path)])
    assert unknown.exit_code == 1
    assert "nothing can be shown" in unknown.stderr
