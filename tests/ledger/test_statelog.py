"""specs/statemap.md, "State log"."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError
from typer.testing import CliRunner

from ledger.errors import CorruptLogError
from ledger.events import envelope, reducer, state_document
from ledger.events.envelope import Granted, ScenePublished, Withdrawn
from ledger.events.reducer import ConsentState
from ledger.fsck import fsck
from ledger.keys import log_keys
from ledger.service import Ledger, UnknownSubjectError
from ledger.statemap import map_proof
from ledger.storage.sqlite import SqlStore, StateStore
from ledger.tlog.merkle import ProofError
from ledger.vault.vault import Vault
from ledger.verify import state_cli as offline
from portal.commands.log import state as command
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


def say(ledger: Ledger, subject: str, *acts: Granted | Withdrawn) -> None:
    for act in acts:
        ledger.record([ledger.draft(subject, act, at=NOON, wording=WORDING)])


def verified(ledger: Ledger, proof: map_proof.StateProof, subject: str) -> None:
    """Verify that the proof is of the newest entry, and of the one label of the subject's id."""
    label = map_proof.proven_label(proof, subject, ledger.states.labels.trusted)
    assert label == ledger.states.labels.of(subject)
    map_proof.verify(proof, label, ledger.states.log.verifiers)


def shows(ledger: Ledger, subject: str) -> map_proof.StateProof:
    """The subject's proof, verified, showing what the ledger folds."""
    proof = map_proof.parse(str(ledger.state_proof(subject)))
    verified(ledger, proof, subject)
    assert proof.opening is not None
    assert proof.opening.state == state_document.document(folded(ledger, subject))
    assert proof.entry.size == ledger.size
    assert proof.entry.root == ledger.log.head().root
    return proof


def folded(ledger: Ledger, subject: str) -> ConsentState:
    """Everything read back and added up again."""
    held = None
    for said in ledger.history(subject):
        held = reducer.apply(held, said.event, said.index)
    assert held is not None
    return held


def test_s12_every_proof_shows_what_the_ledger_folds(ledger: Ledger) -> None:
    seen = [shows(ledger, f"c-{number}").entry.size for number in range(12)]
    say(ledger, "c-5", PART, WITHDRAWAL, GRANT)
    say(ledger, "c-new", GRANT, WITHDRAWAL)
    seen += [shows(ledger, subject).entry.size for subject in ("c-3", "c-5", "c-new")]
    assert seen == [14] * 12 + [19] * 3


def test_s12_several_instructions_of_one_customer_in_one_commit(ledger: Ledger) -> None:
    first = ledger.draft("c-9", PART, at=NOON, wording=WORDING)
    others = [ledger.draft(name, GRANT, at=NOON, wording=WORDING) for name in ("c-20", "c-21")]
    last = first.next(WITHDRAWAL, at=NOON, wording=WORDING)
    ledger.record([first, *others, last])
    assert [shows(ledger, name).entry.size for name in ("c-9", "c-20", "c-21")] == [18] * 3


def test_s12_each_commit_has_its_entry(ledger: Ledger) -> None:
    log = ledger.states.log
    entries = [map_proof.entry(json.loads(each)) for each in log.entries(0, log.size)]
    assert [each.size for each in entries] == list(range(1, 15))
    assert [each.root for each in entries] == [ledger.log.root_at(size) for size in range(1, 15)]
    assert entries[12].map == entries[11].map, "a public act changes nobody's state"


def test_s12_it_goes_on_after_a_restart(tmp_path: Path, ledger: Ledger) -> None:
    say(ledger, "c-1", WITHDRAWAL)
    ledger.close()
    again = Ledger.open(tmp_path, origin=ORIGIN)
    assert shows(again, "c-1").entry.size == 15
    say(again, "c-2", WITHDRAWAL)
    assert shows(again, "c-2").entry.size == 16
    again.close()
    assert list(fsck(tmp_path)) == []


def test_s12_a_state_that_is_not_in_memory_is_read_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.latest_state.MAX_CACHED", 2)
    for number in range(12):
        say(ledger, f"c-{number}", WITHDRAWAL, GRANT)
    assert {shows(ledger, f"c-{number}").entry.size for number in range(12)} == {38}


@pytest.mark.parametrize("why", ["busy", "full"])
def test_s13_a_commit_that_fails_changes_nothing(tmp_path: Path, ledger: Ledger, why: str) -> None:
    before, proof = ledger.states.newest(), str(shows(ledger, "c-1"))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as other:
        if why == "busy":
            other.execute("BEGIN IMMEDIATE")
        else:  # the very last statement of the transaction fails
            other.execute(
                "CREATE TRIGGER full BEFORE INSERT ON state_bucket "
                "BEGIN SELECT RAISE(FAIL, 'disk full'); END"
            )
        with pytest.raises(DatabaseError):
            say(ledger, "c-1", WITHDRAWAL)
        other.execute("ROLLBACK" if why == "busy" else "DROP TRIGGER full")
    assert (ledger.size, ledger.states.newest()) == (14, before)
    assert (ledger.version("c-1"), str(ledger.state_proof("c-1"))) == (1, proof)
    say(ledger, "c-1", WITHDRAWAL)
    assert shows(ledger, "c-1").entry.size == 15
    ledger.close()
    assert list(fsck(tmp_path)) == []


def test_of_somebody_unknown_nothing_is_shown(ledger: Ledger) -> None:
    with pytest.raises(UnknownSubjectError):
        ledger.state_proof("nobody")


def test_that_the_map_has_no_state_of_a_customer_is_proven(ledger: Ledger) -> None:
    proof = map_proof.parse(str(ledger.absence_proof("nobody")))
    verified(ledger, proof, "nobody")
    assert proof.opening is None
    with pytest.raises(UnknownSubjectError):
        ledger.absence_proof("c-1")


def test_s14_after_erasure_nothing_can_be_shown_and_old_proofs_verify(
    tmp_path: Path, ledger: Ledger
) -> None:
    proof = shows(ledger, "c-4")
    ledger.erase("c-4", NOON)
    with pytest.raises(UnknownSubjectError):
        ledger.state_proof("c-4")
    verified(ledger, proof, "c-4")
    with pytest.raises(UnknownSubjectError, match="keeps the last value"):
        ledger.absence_proof("c-4")
    assert shows(ledger, "c-5").entry.size == 15
    say(ledger, "c-4", GRANT)  # a new history under the same label
    assert shows(ledger, "c-4").entry.size == 16
    ledger.close()
    assert list(fsck(tmp_path)) == []


FIRST = "WHERE number = (SELECT min(number) FROM state_bucket)"
DAMAGE = {
    "records of a bucket": (
        f"UPDATE state_bucket SET records = zeroblob(length(records)) {FIRST}",
        "state map: bucket",
    ),
    "a bucket and its root": (
        f"UPDATE state_bucket SET root = zeroblob(32), records = zeroblob(64) {FIRST}",
        "state map: its root is not that of the state log's newest entry",
    ),
    "a bucket taken away": (
        f"DELETE FROM state_bucket {FIRST}",
        "its value is not the state computed from its customer's events",
    ),
    "a tile": ("UPDATE state_tile SET data = zeroblob(448)", "state log, tile 0"),
    "an entry": (
        "UPDATE state_bundle SET data = CAST(substr(data, 1, 99) || 'x' AS BLOB)",
        "state log, entry bundle 0",
    ),
    "the checkpoint": ("UPDATE state_head SET note = replace(note, 'A', 'B')", "state log, check"),
    "an older state log": (
        "UPDATE state_head SET size = 13, note = (SELECT note FROM kept)",
        "state log, newest entry: it names 13 entries, the consent log has 14",
    ),
}


@pytest.mark.parametrize("why", DAMAGE)
def test_s15_damage_is_found(tmp_path: Path, why: str) -> None:
    ledger = Ledger.open(tmp_path, origin=ORIGIN)
    for number in range(13):
        say(ledger, f"c-{number}", GRANT)
    before = ledger.states.log.checkpoint()
    say(ledger, "c-3", PART)
    ledger.close()
    statement, finding = DAMAGE[why]
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as database:
        database.execute("CREATE TABLE kept AS SELECT ? AS note", [before])
        assert database.execute(statement).rowcount > 0
    assert any(finding in str(each) for each in fsck(tmp_path)), [*map(str, fsck(tmp_path))]


def test_s15_a_state_log_of_another_history_does_not_open(tmp_path: Path, ledger: Ledger) -> None:
    ledger.close()
    other = Ledger.open(tmp_path / "other", origin=ORIGIN)
    for number in range(14):
        say(other, f"d-{number}", GRANT)
    other.close()
    for name in ("state.key", "state.vkey", "map.key", "map.vkey"):
        shutil.copy(tmp_path / "keys" / name, tmp_path / "other/keys")
    shutil.copy(tmp_path / "state.policy", tmp_path / "other")  # else a key seems forgotten
    with closing(sqlite3.connect(tmp_path / "other/ledger.sqlite", isolation_level=None)) as mixed:
        mixed.execute("ATTACH ? AS first", [str(tmp_path / "ledger.sqlite")])
        for table in ("state_head", "state_bundle", "state_tile", "state_bucket"):
            mixed.execute(f"DELETE FROM main.{table}")
            mixed.execute(f"INSERT INTO main.{table} SELECT * FROM first.{table}")
    with pytest.raises(CorruptLogError, match="restore both from the same backup"):
        Ledger.open(tmp_path / "other", origin=ORIGIN)


def test_a_reader_opens_one_state_of_both_logs_while_another_process_writes(
    tmp_path: Path, ledger: Ledger
) -> None:
    class Overtaken(SqlStore):
        """The writer commits between the reading of the two logs."""

        def state_store(self) -> StateStore:
            say(ledger, "c-4", WITHDRAWAL)
            return super().state_store()

    store = Overtaken.at(tmp_path / "ledger.sqlite")
    signers = log_keys.keys(tmp_path, ORIGIN)
    before = ledger.size
    with store.unchanging():
        reader = Ledger(store, Vault(tmp_path / "keys"), signers)
    with closing(reader):
        assert reader.states.newest().size == reader.log.size == before
        assert ledger.size == before + 1


def test_a_hidden_newer_instruction_is_caught_by_an_older_proof(ledger: Ledger) -> None:
    say(ledger, "c-1", GRANT)
    stale = ledger.state_proof("c-1")
    say(ledger, "c-1", WITHDRAWAL)
    events = [json.loads(envelope.encode(each.event)) for each in ledger.history("c-1")]
    verified(ledger, stale, "c-1")
    with pytest.raises(ProofError, match="2 instructions, 3 receipts were given"):
        map_proof.require_complete(stale, events)
    map_proof.require_complete(shows(ledger, "c-1"), events)


def test_keys_are_their_owners_only(tmp_path: Path, ledger: Ledger) -> None:
    assert ledger.origin == ORIGIN
    assert (tmp_path / "keys/state.key").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "keys/state.vkey").read_text().splitlines()) == 2


@pytest.fixture
def held(tmp_path: Path, ledger: Ledger) -> list[str]:
    """A customer's files: the proof, the key and all receipts, as arguments."""
    say(ledger, "c-3", WITHDRAWAL)
    (tmp_path / "proof").write_text(str(ledger.state_proof("c-3")), newline="")
    names = []
    for each in ledger.history("c-3"):
        names.append(str(tmp_path / f"{each.index}.tlog-proof"))
        Path(names[-1]).write_text(ledger.receipt(each.index), newline="")
    return [
        str(tmp_path / "proof"),
        "--key",
        str(tmp_path / "keys/state.vkey"),
        "--map-key",
        str(tmp_path / "keys/map.vkey"),
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
    receipts = held[6:]
    assert offline.main([*held[:6], *(receipts[at] for at in kept)]) == 1
    assert capsys.readouterr().err.startswith("NOT VERIFIED")


def test_the_offline_verifier_refuses_changed_files(
    held: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (held[0], held[2], held[4], held[6]):
        path = Path(name)
        data = path.read_bytes()
        other = data.replace(b"A", b"B", 1) if b"A" in data else data.replace(b"a", b"b")
        for changed in (data[:-2], data + b"x", other, b"", b"\xff"):
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
from ledger.verify.state_cli import main
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
    assert "no state to prove" in unknown.stderr


def test_l68_a_newer_instruction_taken_out_of_the_store_is_missed(
    tmp_path: Path, ledger: Ledger
) -> None:
    say(ledger, "c-1", WITHDRAWAL)
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as database:
        gone = database.execute('DELETE FROM sealed WHERE "index" = 14').rowcount
    assert gone == 1
    again = Ledger.open(tmp_path, origin=ORIGIN)
    for ask in (again.state, again.version, again.history, again.state_proof):
        with pytest.raises(CorruptLogError, match="fsck"):
            ask("c-1")
    with pytest.raises(CorruptLogError, match="entry 14 is missing"):
        list(again.follow(0))
    assert shows(again, "c-2").entry.size == 15
    again.close()
