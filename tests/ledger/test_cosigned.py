"""specs/witness.md, "A ledger with witnesses": over HTTP, with witnesses that remember."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import pytest
from msgspec import structs
from typer.testing import CliRunner

from ledger import clock
from ledger.errors import CorruptLogError, UnwitnessedTimeError
from ledger.events.envelope import Withdrawn
from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.tlog import checkpoint, cosignature, policy, signed_note
from ledger.tlog.policy import LogPolicyError
from ledger.verify import receipt
from ledger.verify import state_cli as offline
from ledger.verify.cli import main as verify
from ledger.witness import server
from ledger.witness.client import QuorumError, RolledBackError
from ledger.witness.cosigned_history import CosignedHistory
from ledger.witness.witness import Witness
from portal.commands import app
from portal.commands.log.audit import app as both
from portal.commands.log.maintenance import app as upkeep
from portal.data_directory.inspection import inspect
from portal.operations import open_ledger
from tests.ledger.recorded import GRANTED, WORDING
from tests.ledger.test_cosigning import served
from tests.ledger.witnessing import NOON, ORIGIN

KEYS = [cosignature.generate(f"witness.example/w{number}") for number in range(3)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A ledger of one entry, that has no witness yet."""
    ledger = Ledger.open(tmp_path / "home", origin=ORIGIN)
    say(ledger, "c-0")
    ledger.close()
    return tmp_path / "home"


@pytest.fixture
def witnesses(home: Path, tmp_path: Path) -> Iterator[list[ExitStack]]:
    """Three that are served, and two of which the ledger needs; close one to stop it."""
    files = [home / "keys/consent.vkey", home / "keys/state.vkey"]
    known = [policy.log_key(line) for file in files for line in file.read_text().split()]
    stacks: list[ExitStack] = []
    lines = []
    for number, key in enumerate(KEYS):
        stacks.append(ExitStack())
        one = Witness(tmp_path / f"w{number}.sqlite", key, known)
        url = stacks[-1].enter_context(served(server.app(one)))
        lines.append(f"witness w{number} {key.key} {url}\n")
    lines += ["group two 2 w0 w1 w2\n", "quorum two\n"]
    (home / "witnesses.policy").write_text("".join(lines))
    yield stacks
    for each in stacks:
        each.close()


@pytest.fixture
def ledger(home: Path, witnesses: list[ExitStack]) -> Iterator[Ledger]:
    assert len(witnesses) == 3
    made = Ledger.open(home, origin=ORIGIN)
    yield made
    made.close()


def say(ledger: Ledger, subject: str) -> int:
    said = ledger.draft(subject, GRANTED, at=clock.now(), wording=WORDING)
    return ledger.record([said])[0].index


def test_w12_receipts_carry_the_cosignatures_that_the_policy_demands(
    home: Path, ledger: Ledger
) -> None:
    trust = policy.parse((home / "consent.policy").read_bytes())
    for number in range(3):
        index = say(ledger, f"c-{number}")
        kept = receipt.parse(ledger.receipt(index, f"c-{number}"))
        assert receipt.verify_under(kept, trust).size == index + 1
        assert len(kept.checkpoint.signatures) == 2 + 3
    older = receipt.parse(ledger.receipt(0, "c-0"))
    assert receipt.verify_under(older, trust).size == ledger.size


def test_w12_what_is_published_satisfies_the_policy(home: Path, ledger: Ledger) -> None:
    say(ledger, "c-1")
    ledger.export(home / "log/consent")
    (home / "kept").write_text(ledger.receipt(1, "c-1"), newline="")
    arguments = [str(home / "log/consent"), "--policy", str(home / "consent.policy")]
    assert CliRunner().invoke(both, ["audit", *arguments]).exit_code == 0
    assert verify([str(home / "kept"), "--policy", str(home / "consent.policy")]) == 0
    ledger.close()
    assert list(fsck(home)) == []


def test_w13_a_database_restored_from_an_old_copy_signs_nothing(
    home: Path, witnesses: list[ExitStack]
) -> None:
    assert witnesses
    shutil.copy(home / "ledger.sqlite", home / "old")
    ledger = Ledger.open(home, origin=ORIGIN)
    say(ledger, "c-1")
    ledger.cosign()
    ledger.close()
    shutil.copy(home / "old", home / "ledger.sqlite")
    restored = Ledger.open(home, origin=ORIGIN)
    for act in (lambda: say(restored, "c-2"), lambda: restored.erase("c-0", NOON)):
        with pytest.raises(RolledBackError, match="has seen 2 entries, this log has 1"):
            act()
    with pytest.raises(RolledBackError):
        restored.export(home / "log/consent")
    assert (restored.size, (home / "log/consent/checkpoint").exists()) == (1, False)
    restored.close()


def rolled_back(home: Path) -> None:
    """The database as it was before the entry that the witnesses have seen."""
    shutil.copy(home / "ledger.sqlite", home / "old")
    ledger = Ledger.open(home, origin=ORIGIN)
    say(ledger, "c-1")
    ledger.cosign()
    ledger.close()
    shutil.copy(home / "old", home / "ledger.sqlite")


def test_l128_a_start_asks_the_witnesses_and_is_refused_if_they_have_seen_more(
    home: Path, witnesses: list[ExitStack]
) -> None:
    assert witnesses
    rolled_back(home)
    with pytest.raises(RolledBackError, match="has seen 2 entries, this log has 1"):
        open_ledger.begin(home, ORIGIN)
    ran = CliRunner().invoke(app, ["rotate-key", "--data-dir", str(home)])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "restore the newest database" in ran.stderr
    assert not (home / "keys/consent.next.key").exists()


def test_l128_witnesses_that_do_not_answer_do_not_hinder_a_start(
    home: Path, witnesses: list[ExitStack]
) -> None:
    rolled_back(home)
    for each in witnesses:
        each.close()
    with open_ledger.writing(home) as ledger:
        assert ledger.size == 1
        with pytest.raises(QuorumError):  # nothing is signed
            say(ledger, "c-2")


def test_l128_a_database_without_what_was_acknowledged_is_refused(home: Path) -> None:
    shutil.copy(home / "ledger.sqlite", home / "old")
    with open_ledger.writing(home) as ledger:
        say(ledger, "c-1")
    shutil.copy(home / "old", home / "ledger.sqlite")
    wanted = r"has 1 entries, but receipts were given for 2 .*made at or after entry 2"
    with pytest.raises(CorruptLogError, match=wanted), open_ledger.writing(home):
        pass
    assert "state/epoch says that 2" in " ".join(map(str, inspect(home)))


def test_w13_a_fork_of_the_same_size_signs_nothing(
    home: Path, tmp_path: Path, witnesses: list[ExitStack]
) -> None:
    assert witnesses
    shutil.copytree(home, tmp_path / "fork")
    (tmp_path / "fork/witnesses.policy").unlink()
    fork = Ledger.open(tmp_path / "fork", origin=ORIGIN)
    say(fork, "c-9")
    fork.close()
    ledger = Ledger.open(home, origin=ORIGIN)
    say(ledger, "c-1")
    ledger.cosign()
    ledger.close()
    shutil.copy(home / "witnesses.policy", tmp_path / "fork")
    again = Ledger.open(tmp_path / "fork", origin=ORIGIN)
    with pytest.raises(RolledBackError, match="a different history"):
        say(again, "c-9")
    assert again.size == 2
    again.close()


def test_w14_too_few_witnesses_at_the_start_and_nothing_is_signed(
    home: Path, witnesses: list[ExitStack]
) -> None:
    for each in witnesses[:2]:
        each.close()
    ledger = Ledger.open(home, origin=ORIGIN)
    with pytest.raises(QuorumError, match=r"1 cosignatures, want .* quorum 'two'"):
        say(ledger, "c-1")
    assert (ledger.size, ledger.state("c-0") is not None) == (1, True)
    ledger.close()


def test_w14_witnesses_that_fail_later_delay_publication_and_nothing_else(
    home: Path, ledger: Ledger, witnesses: list[ExitStack]
) -> None:
    say(ledger, "c-1")
    ledger.export(home / "log/consent")
    published = (home / "log/consent/checkpoint").read_bytes()
    for each in witnesses[:2]:
        each.close()
    index = say(ledger, "c-2")
    kept = receipt.parse(ledger.receipt(index, "c-2"))
    assert receipt.verify(kept, ledger.log.verifiers).size == 3
    with pytest.raises(QuorumError):
        ledger.export(home / "log/consent")
    assert (home / "log/consent/checkpoint").read_bytes() == published
    done = CliRunner().invoke(
        upkeep, ["export", str(home / "log/consent"), "--data-dir", str(home)]
    )
    assert done.exit_code == 1
    assert "want" in done.stderr


def test_w15_a_checkpoint_once_cosigned_is_kept_over_restarts(
    home: Path, ledger: Ledger, witnesses: list[ExitStack]
) -> None:
    index = say(ledger, "c-1")
    cosigned = ledger.cosign()
    for each in witnesses:
        each.close()
    ledger.close()
    again = Ledger.open(home, origin=ORIGIN)
    kept = receipt.parse(again.receipt(index, "c-1"))
    assert str(kept.checkpoint) == cosigned
    assert checkpoint.parse(kept.checkpoint.text).size == 2
    again.close()


def first(ledger: Ledger, subject: str) -> bytes:
    """Where the map keeps the subject."""
    return ledger.states.labels.of(subject)


def test_w17_a_state_proof_carries_the_cosignatures_that_the_policy_demands(
    home: Path, ledger: Ledger
) -> None:
    trust = policy.parse((home / "state.policy").read_bytes())
    for number in range(3):
        say(ledger, f"c-{number}")
        proof = map_proof.parse(str(ledger.state_proof(f"c-{number}")))
        head = map_proof.verify_under(proof, first(ledger, f"c-{number}"), trust)
        assert (head.origin, proof.entry.size) == (f"{ORIGIN}/state", ledger.size)
        assert len(proof.note.signatures) == 2 + 3
    absent = ledger.absence_proof("nobody")
    where = map_proof.proven_label(absent, "nobody", trust.maps[f"{ORIGIN}/state"])
    map_proof.verify_under(absent, where, trust)


def test_w17_a_state_proof_under_way_while_others_write_is_cosigned_all_the_same(
    home: Path, ledger: Ledger
) -> None:
    trust = policy.parse((home / "state.policy").read_bytes())
    where = first(ledger, "c-0")
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(say, ledger, f"d-{number}") for number in range(20)]
        shown = [pool.submit(ledger.state_proof, "c-0") for _ in range(20)]
        for each in shown:
            map_proof.verify_under(each.result(), where, trust)
        assert sorted(each.result() for each in writing) == [*range(1, 21)]


def test_w17_the_published_state_log_satisfies_the_policy(home: Path, ledger: Ledger) -> None:
    say(ledger, "c-1")
    ledger.states.export(home / "log/state")
    ledger.export(home / "log/consent")
    trust = ["--policy", str(home / "state.policy")]
    beside = [str(home / "log/consent"), "--consent-policy", str(home / "consent.policy")]
    arguments = ["audit-states", str(home / "log/state"), *beside, *trust]
    assert CliRunner().invoke(both, arguments).exit_code == 0
    ledger.close()
    assert list(fsck(home)) == []


def test_w17_a_second_view_of_the_state_log_finds_no_witness(
    home: Path, tmp_path: Path, ledger: Ledger
) -> None:
    """The company holds every key and shows somebody a map without the withdrawal."""
    ledger.close()
    hidden = copytree(home, tmp_path / "hidden")
    ledger = Ledger.open(home, origin=ORIGIN)
    said = ledger.draft("c-0", Withdrawn("segmentation"), at=NOON, wording=WORDING)
    ledger.record([said])
    ledger.state_proof("c-0")
    where, size = first(ledger, "c-0"), ledger.size
    ledger.close()
    (hidden / "witnesses.policy").unlink()
    liar = Ledger.open(hidden, origin=ORIGIN)
    while liar.size < size:
        say(liar, "nobody")
    shown = liar.state_proof("c-0")
    map_proof.verify(shown, where, liar.states.log.verifiers)  # every signature of its own holds
    liar.close()
    trust = policy.parse((home / "state.policy").read_bytes())
    with pytest.raises(LogPolicyError, match="cosigned by no witness"):
        map_proof.verify_under(shown, where, trust)
    shutil.copy(home / "witnesses.policy", hidden)
    again = Ledger.open(hidden, origin=ORIGIN)
    with pytest.raises(RolledBackError):
        again.state_proof("c-0")
    again.close()


def test_w17_with_too_few_witnesses_a_proof_carries_the_companys_signatures_alone(
    home: Path, ledger: Ledger, witnesses: list[ExitStack]
) -> None:
    say(ledger, "c-1")
    ledger.state_proof("c-1")
    for each in witnesses[:2]:
        each.close()
    say(ledger, "c-1")
    proof = ledger.state_proof("c-1")
    map_proof.verify(proof, first(ledger, "c-1"), ledger.states.log.verifiers)
    trust = policy.parse((home / "state.policy").read_bytes())
    with pytest.raises(LogPolicyError, match="want the quorum"):
        map_proof.verify_under(proof, first(ledger, "c-1"), trust)


def test_w17_the_offline_verifier_demands_the_quorum(
    home: Path, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    index = say(ledger, "c-1")
    files = [home / "proof", home / "receipt"]
    files[0].write_text(str(ledger.state_proof("c-1")), newline="")
    files[1].write_text(ledger.receipt(index, "c-1"), newline="")
    proof, receipts = str(files[0]), ["--receipts", str(files[1])]
    assert offline.main([proof, "--policy", str(home / "state.policy"), *receipts]) == 0
    assert offline.main([proof, "--policy", str(home / "consent.policy"), *receipts]) == 1
    assert "NOT VERIFIED: no given policy has the key of the map" in capsys.readouterr().err
    trust = policy.parse((home / "consent.policy").read_bytes())
    with pytest.raises(LogPolicyError, match="the policy does not list the log"):
        map_proof.verify_under(ledger.state_proof("c-1"), first(ledger, "c-1"), trust)


MALFORMED = {
    "no quorum": "witness w0 {} http://127.0.0.1:1/\n",
    "a quorum of nobody": "quorum w0\n",
    "no key": "witness w0 witness.example/w0+00000000+AAAA http://127.0.0.1:1/\nquorum w0\n",
    "two addresses": "witness w0 {} http://127.0.0.1:1/ http://127.0.0.1:2/\nquorum w0\n",
    "more than there are": "witness w0 {}\ngroup two 2 w0\nquorum two\n",
}


@pytest.mark.parametrize("why", MALFORMED)
def test_w16_a_malformed_list_of_witnesses_opens_nothing(home: Path, why: str) -> None:
    before = (home / "consent.policy").read_bytes()
    (home / "witnesses.policy").write_text(MALFORMED[why].format(KEYS[0].key))
    with pytest.raises(LogPolicyError):
        Ledger.open(home, origin=ORIGIN)
    assert (home / "consent.policy").read_bytes() == before


def test_w16_an_address_of_another_kind_is_refused(home: Path) -> None:
    line = f"witness w0 {KEYS[0].key} ftp://127.0.0.1/\nquorum w0\n"
    (home / "witnesses.policy").write_text(line)
    with pytest.raises(ValueError, match="want http"):
        Ledger.open(home, origin=ORIGIN)


def test_w28_an_instruction_dated_before_what_witnesses_saw_is_of_an_uncertain_time(
    ledger: Ledger,
) -> None:
    """So that a withdrawal is recorded whatever the clock shows; verifiers say what it is."""
    ledger.cosign()
    for age, behind in ((timedelta(minutes=59), False), (timedelta(hours=2), True)):
        said = ledger.draft("c-1", GRANTED, at=clock.now() - age, wording=WORDING)
        assert said.time_uncertain == behind
        ledger.record([said])
    certain = ledger.draft("c-1", GRANTED, at=clock.now() - timedelta(hours=2), wording=WORDING)
    with pytest.raises(UnwitnessedTimeError, match="saw the log without it"):
        ledger.record([structs.replace(certain, time_uncertain=False)])
    assert ledger.size == 3


def test_w28_no_clock_behind_what_witnesses_saw_is_confirmed(home: Path, ledger: Ledger) -> None:
    """Whoever sets the clock back could keep each permission alive by confirming it."""
    ledger.cosign()
    ledger.export(home / "log" / "consent")
    ledger.close()
    confirm = ["clock", "--confirm", "--data-dir", str(home)]
    assert CliRunner().invoke(app, confirm).exit_code == 0
    (home / clock.CONFIRMED).unlink()
    note = signed_note.parse((home / "log" / "consent" / "checkpoint").read_text())
    later = [each.cosign(note.text, clock.now() + timedelta(hours=2)) for each in KEYS]
    history = CosignedHistory(home / "log" / "consent")
    own = [each for each in note.signatures if each.name == ORIGIN]
    history.append(str(replace(note, signatures=(*own, *later))), clock.now())
    done = CliRunner().invoke(app, confirm)
    assert done.exit_code == 1
    assert "witnesses w0, w1, w2 saw this log at" in done.output
    assert "nothing was confirmed; set the clock" in done.output
    assert not (home / clock.CONFIRMED).exists()
