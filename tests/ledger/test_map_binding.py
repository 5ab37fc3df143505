"""specs/statemap.md, S27: the map of an earlier version is bound to the customers' ids, once."""

import tarfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger import map_binding
from ledger.errors import CorruptLogError
from ledger.events.envelope import Granted
from ledger.evidence_builder import build_evidence
from ledger.fsck import fsck
from ledger.keys import map_key
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.statemap.map_proof import StateProof
from ledger.storage import database
from ledger.storage.migration import migrate
from ledger.storage.sqlite import LEDGER, SqlStore
from ledger.storage.vault_store import VAULT
from ledger.tlog import policy
from ledger.tlog.merkle import ProofError
from ledger.verify.cli import history, main
from portal.commands.log.audit import app
from tests.data import make_4a7671d as made
from tests.ledger.worlds import change, say

ME = made.CHOOSING
CUSTOMERS = 35  # who gave an instruction and were not erased


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The data directory of commit 4a7671d, with tables of this version and its map as it was."""
    with tarfile.open(made.ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    for schema in (LEDGER, VAULT):
        migrate(database.of(tmp_path / "data"), schema)
    return tmp_path / "data"


def audited(home: Path, *more: str) -> str:
    with closing(Ledger.reopen(home)) as ledger:
        ledger.states.export(home / "log/state")
        ledger.export(home / "log/consent")
    logs = [str(home / "log" / name) for name in ("state", "consent")]
    policies = [f"--policy={home / 'state.policy'}", f"--consent-policy={home / 'consent.policy'}"]
    return CliRunner().invoke(app, ["audit-states", *logs, *policies, *more]).stdout


def proof(home: Path) -> StateProof:
    with closing(Ledger.reopen(home)) as ledger:
        return map_proof.parse(str(ledger.state_proof(ME)))


def test_s27_an_unbound_map_is_refused_until_it_is_bound(home: Path) -> None:
    with pytest.raises(CorruptLogError, match="run `sovereign migrate`"):
        Ledger.reopen(home)
    assert [*fsck(home)] == []
    assert not map_key.private(home).exists()


def test_s33_transitions_are_audited_from_the_map_of_before_on(home: Path, tmp_path: Path) -> None:
    """What an earlier version recorded is taken as it is, and the report says so."""
    map_binding.bind(home)
    with closing(Ledger.reopen(home)) as ledger:
        since = ledger.states.labels.trusted.since
        say(ledger, ME, Granted("lead-scoring", ("age",), None))
    ran = CliRunner().invoke(app, ["transitions", str(tmp_path / "given"), f"--data-dir={home}"])
    assert ran.stdout.endswith("given: 3 transitions\n")
    found = audited(home, "--transitions", str(tmp_path / "given"))
    assert "verdict   clean" in found
    taken = f"from entry {since} on; the map of entry {since - 1} was taken as it was"
    assert f"changes   3 checked, {taken}" in found


def test_s27_every_customer_has_a_label_and_everything_verifies(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert map_binding.bind(home) == CUSTOMERS
    assert map_binding.bind(home) is None
    assert [*fsck(home)] == []
    with closing(Ledger.reopen(home)) as ledger:
        trusted = ledger.states.labels.trusted
        assert trusted.since == ledger.states.log.size - 1
        newest = ledger.states.log.entries(trusted.since - 1, trusted.since + 1)
        before, bound = (map_proof.newest([each]) for each in newest)
        assert (bound.size, bound.root) == (before.size, before.root)
        assert (bound.vrf, before.vrf) == (trusted.public, None)
        made_now = build_evidence(ledger, home, ME, 1)
    (home / "evidence").write_text(str(made_now), newline="")
    policies = [f"--policy={home / log}.policy" for log in ("consent", "state")]
    assert main(["--evidence", str(home / "evidence"), *policies]) == 0
    assert "the only one of this customer" in capsys.readouterr().out
    for receipt in (home / "receipts").iterdir():
        assert main([str(receipt), policies[0]]) == 0
    assert "verdict   clean" in audited(home)


def test_s27_it_goes_on_after_the_binding(home: Path) -> None:
    map_binding.bind(home)
    seen = str(home / "state-seen")
    assert "verdict   clean" in audited(home, "--state", seen)
    with closing(Ledger.reopen(home)) as ledger:
        say(ledger, ME, Granted("segmentation", ("age",), None))
        say(ledger, "somebody new", Granted("segmentation", ("age",), None))
    assert "verdict   clean" in (found := audited(home, "--state", seen))
    assert "read      2 entries" in found
    assert [*fsck(home)] == []


def test_s27_a_proof_from_before_says_that_it_rules_out_nothing(home: Path) -> None:
    """Such a proof, made under the rule of that time: its label follows from the receipt."""
    map_binding.bind(home)
    (trusted,) = policy.parse((home / "state.policy").read_bytes()).maps.values()
    now = proof(home)
    earlier = replace(now, entry=replace(now.entry, vrf=None), vrf=None, index=trusted.since - 1)
    label = map_proof.proven_label(earlier, ME, trusted, b"first")
    assert label == map_proof.unbound_label(b"first")
    with pytest.raises(ProofError, match="another key of the map's labels"):
        map_proof.proven_label(replace(earlier, index=trusted.since), ME, trusted, b"first")
    assert "NOT the only one for sure" in history(earlier.entry.vrf)


@pytest.mark.parametrize("where", ["the key", "the policy", "the commit"])
def test_s27_killed_anywhere_the_next_run_ends_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if where == "the key":
            patched.setattr("ledger.keys.map_key.atomic_file.write", killed)
        elif where == "the policy":
            patched.setattr("ledger.keys.log_keys.witnesses", killed)
        else:
            patched.setattr(SqlStore, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            map_binding.bind(home)
    if where != "the policy":
        with pytest.raises((CorruptLogError, ValueError), match=r"map\.vkey"):
            Ledger.reopen(home)
        assert map_binding.bind(home) == CUSTOMERS
    assert map_binding.bind(home) is None
    Ledger.reopen(home).close()
    assert [*fsck(home)] == []


def test_s27_a_map_that_is_not_that_of_the_events_is_not_bound(home: Path) -> None:
    database_file = home / "ledger.sqlite"
    change(database_file, "UPDATE state_bucket SET records = zeroblob(64)")
    with pytest.raises(CorruptLogError, match="not the one in the map"):
        map_binding.bind(home)
    with pytest.raises(CorruptLogError, match="run `sovereign migrate`"):
        Ledger.reopen(home)


def test_s27_a_lost_key_is_not_made_again(home: Path) -> None:
    map_binding.bind(home)
    for path in (map_key.private(home), map_key.public(home)):
        path.unlink()
    (home / "state.policy").unlink()  # else the start names the missing file before
    with pytest.raises(CorruptLogError, match=r"restore keys/map\.key"):
        map_binding.bind(home)
    assert not map_key.private(home).exists()
