"""`sovereign audit` and `sovereign witness keygen` as they are typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ledger.tlog import cosignature, policy, signed_note
from portal.commands.log import audit, witness
from tests.ledger.witnessing import ORIGIN, log_with

SIGNER = signed_note.generate(ORIGIN)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "vkey").write_text(f"{SIGNER.verifier}\n")
    log_with(tmp_path, 5, SIGNER).export(tmp_path / "log")
    return tmp_path


def run(home: Path, *options: str) -> Result:
    arguments = [str(home / "log"), "--key", str(home / "vkey"), "--opaque", *options]
    return CliRunner().invoke(audit.app, ["audit", *arguments])


def test_a_clean_log_is_remembered_for_the_next_audit(home: Path) -> None:
    state = home / "state"
    found = run(home, "--state", str(state))
    assert found.exit_code == 0
    assert "verdict   clean" in found.stdout
    assert state.read_text() == (home / "log/checkpoint").read_text()
    assert "read      0 entries" in run(home, "--state", str(state)).stdout


def test_findings_exit_1_with_their_evidence_and_are_not_remembered(home: Path) -> None:
    state = home / "state"
    run(home, "--state", str(state))
    before = state.read_text()
    log_with(home / "old", 3, SIGNER).export(home / "older")
    (home / "log/checkpoint").write_text((home / "older/checkpoint").read_text())
    found = run(home, "--state", str(state), "--json")
    assert found.exit_code == 1
    [finding] = json.loads(found.stdout)["findings"]
    assert finding["kind"] == "rolled-back"
    assert finding["evidence"] == {"seen": before, "shown": (home / "log/checkpoint").read_text()}
    assert state.read_text() == before


def test_entries_are_looked_into_unless_the_log_is_opaque(home: Path) -> None:
    found = CliRunner().invoke(audit.app, ["audit", str(home / "log"), "--key", str(home / "vkey")])
    assert found.exit_code == 1
    assert "malformed-entry: entry 0:" in found.stdout


def test_a_missing_key_file_means_not_audited(home: Path) -> None:
    found = CliRunner().invoke(
        audit.app, ["audit", str(home / "log"), "--key", str(home / "nothing")]
    )
    assert found.exit_code == 2
    assert "not audited" in found.stderr


def test_a_policy_may_say_whom_to_trust(home: Path) -> None:
    (home / "policy").write_text(policy.text([SIGNER.verifier]))
    arguments = [str(home / "log"), "--policy", str(home / "policy"), "--opaque"]
    assert CliRunner().invoke(audit.app, ["audit", *arguments]).exit_code == 0
    (home / "policy").write_text(policy.text([signed_note.generate(ORIGIN).verifier]))
    found = CliRunner().invoke(audit.app, ["audit", *arguments])
    assert found.exit_code == 1
    assert "untrusted" in found.stdout


def test_whom_to_trust_must_be_said(home: Path) -> None:
    found = CliRunner().invoke(audit.app, ["audit", str(home / "log")])
    assert found.exit_code == 2
    assert "--policy or --key" in found.stderr


def test_a_policy_may_demand_a_quorum_of_witnesses(home: Path) -> None:
    witnesses = [f"witness w{i} {cosignature.generate(f'w{i}.example').key}" for i in range(3)]
    lines = [f"log {SIGNER.verifier}", *witnesses, "group all all w0 w1 w2", "quorum all"]
    (home / "policy").write_text("".join(f"{line}\n" for line in lines))
    arguments = [str(home / "log"), "--policy", str(home / "policy"), "--opaque"]
    found = CliRunner().invoke(audit.app, ["audit", *arguments])
    assert found.exit_code == 1
    assert "untrusted" in found.stdout


def test_a_witness_key_is_its_owners_only_and_never_overwritten(tmp_path: Path) -> None:
    arguments = ["keygen", "witness.example/w1", "--key", str(tmp_path / "key")]
    made = CliRunner().invoke(witness.app, arguments)
    assert made.exit_code == 0
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    secret = (tmp_path / "key").read_text()
    assert str(cosignature.signer(secret.strip()).key) == made.stdout.strip()
    assert CliRunner().invoke(witness.app, arguments).exit_code == 2
    assert (tmp_path / "key").read_text() == secret


def test_a_witness_that_is_given_no_keys_does_not_serve(tmp_path: Path) -> None:
    arguments = ["serve", "--key", str(tmp_path / "none"), "--log", str(tmp_path / "none")]
    done = CliRunner().invoke(witness.app, arguments)
    assert (done.exit_code, "not serving" in done.stderr) == (2, True)
