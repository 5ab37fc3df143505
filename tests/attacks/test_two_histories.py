"""The company, with all its keys and the product's code, shows two histories of one customer.

It makes a second data key and a second chain for an id it already has: one withdrawn, one granted.
Each attack ends with what a verifier or an auditor says, and with a verifier that lacks the check.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger import evidence_builder
from ledger.errors import CorruptLogError
from ledger.events.envelope import Withdrawn
from ledger.evidence_builder import build_evidence
from ledger.latest_state import LatestStates
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.statemap.labels import Labels
from ledger.statemap.map_proof import StateProof
from ledger.statemap.vrf_key import VrfKey
from ledger.vault.vault import Vault
from ledger.verify.cli import main
from ledger.verify.evidence import Evidence, EvidenceError
from portal.commands.log.audit import app
from tests.ledger.worlds import AGE, opened, say

ME, OTHER = "c00001", "c00002"
WITHDRAWN = Withdrawn("segmentation")


class Company:
    """A ledger with one honest history of each customer, and a second key store."""

    def __init__(self, home: Path) -> None:
        self.home = home / "data"
        self.ledger = opened(self.home)
        say(self.ledger, OTHER, AGE)
        say(self.ledger, ME, AGE)
        self.honest = self.ledger._vault
        self.second = Vault(home / "second/keys")
        self.second.complete_index(self.ledger._store.tags)

    def use(self, vault: Vault) -> None:
        """Answer from now on with the data keys of this key store."""
        self.ledger._use(vault)

    def restart(self) -> None:
        """Record a second history of the customer, from its first instruction."""
        self.use(self.second)
        say(self.ledger, ME, WITHDRAWN)

    def evidence(self, vault: Vault) -> Evidence:
        """What the product makes with this key store, without looking whether it verifies."""
        self.use(vault)
        made = evidence_builder._at_once(self.ledger, self.home, ME, 1)
        assert made is not None
        return made

    def verdict(self, made: Evidence, capsys: pytest.CaptureFixture[str]) -> str:
        """What `sovereign verify --evidence` prints."""
        (self.home / "evidence").write_text(str(made), newline="")
        policies = [f"--policy={self.home / log}.policy" for log in ("consent", "state")]
        status = main(["--evidence", str(self.home / "evidence"), *policies])
        out, err = capsys.readouterr()
        assert status == (0 if out else 1)
        return out or err

    def publish(self) -> None:
        self.ledger.states.export(self.home / "log/state")
        self.ledger.export(self.home / "log/consent")

    def audited(self, *more: str) -> str:
        """What `sovereign audit-states` prints of what was published."""
        logs = [str(self.home / "log" / name) for name in ("state", "consent")]
        policies = [f"--policy={self.home / 'state.policy'}"]
        policies.append(f"--consent-policy={self.home / 'consent.policy'}")
        ran = CliRunner().invoke(app, ["audit-states", *logs, *policies, *more])
        assert ran.exit_code == (0 if "verdict   clean" in ran.stdout else 1), ran.output
        return ran.stdout


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    made = Company(tmp_path)
    yield made
    made.second.close()
    made.honest.close()
    made.ledger.log.close()


def relabelled(company: Company, labels: Labels, *, second: Callable[[str], bytes]) -> None:
    """The second history gets a label of its own, beside the honest one."""
    honest = labels.of

    def label(subject: str) -> bytes:
        return (second if company.ledger._vault is company.second else honest)(subject)

    labels.of = label


def unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier without the check: it takes whatever label the map proof is about."""

    def trusting(proof: StateProof, *_: object) -> bytes:
        assert proof.in_map.leaf is not None
        return proof.in_map.leaf[0]

    monkeypatch.setattr(map_proof, "proven_label", trusting)


def both(company: Company, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The verdicts on the honest evidence and on the second one, under one checkpoint."""
    made = [company.evidence(vault) for vault in (company.honest, company.second)]
    assert str(made[0].checkpoint) == str(made[1].checkpoint)
    assert made[0].state.entry == made[1].state.entry
    return company.verdict(made[0], capsys), company.verdict(made[1], capsys)


def random_label(_subject: str) -> bytes:
    return sha256(b"second").digest()


def test_two_histories_under_one_label_are_one(
    company: Company, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    company.restart()
    company.use(company.honest)
    with pytest.raises(CorruptLogError):
        company.ledger.state_proof(ME)  # the product itself refuses
    monkeypatch.setattr(LatestStates, "matches_map", lambda *_: True)
    first, second = both(company, capsys)
    assert first == "NOT VERIFIED: the proof is for another label or value\n"
    assert "none missing" in second
    company.use(company.honest)
    with pytest.raises(EvidenceError, match="another label or value"):
        build_evidence(company.ledger, company.home, ME, 1)


PROOFS: dict[str, Callable[[Company, StateProof], StateProof]] = {
    "the customer's own": lambda _, proof: proof,
    "of another customer": lambda company, proof: replace(
        proof, vrf=company.ledger.states.labels.prove(OTHER)
    ),
    "under a key of its own": lambda _, proof: replace(
        proof, vrf=Labels(VrfKey(bytes(32)), "x").prove(ME)
    ),
    "none": lambda _, proof: replace(proof, vrf=None),
}


@pytest.mark.parametrize("why", PROOFS)
def test_a_second_history_has_no_label_of_its_own(
    company: Company,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    why: str,
) -> None:
    relabelled(company, company.ledger.states.labels, second=random_label)
    company.restart()
    first, second = both(company, capsys)
    assert "none missing" in first
    assert f"the only one of this customer, under the map's key {_key(company)}" in first
    if why == "the customer's own":
        assert second == "NOT VERIFIED: the proof is for another label or value\n"
    forged = company.evidence(company.second)
    forged = replace(forged, state=PROOFS[why](company, forged.state))
    assert "NOT VERIFIED" in (told := company.verdict(forged, capsys))
    assert why == "the customer's own" or "the map's label is not" in told
    unbound(monkeypatch)  # the attack of the issue
    first, second = both(company, capsys)
    assert ("none missing" in first, "granted" in first) == (True, True)
    assert ("none missing" in second, "withdrawn" in second) == (True, True)
    assert "none missing" in company.verdict(forged, capsys)


def _key(company: Company) -> str:
    return company.ledger.states.labels.public.hex()


def test_another_key_of_the_labels_is_found_by_verify_and_by_the_audit(
    company: Company, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another key the customer has another label, which the first history does not have."""
    company.publish()
    assert "verdict   clean" in company.audited()
    before = company.evidence(company.honest)
    company.ledger.states.labels = Labels(VrfKey(bytes(32)), f"{company.ledger.origin}/state")
    company.restart()
    after = company.evidence(company.second)
    assert "none missing" in company.verdict(before, capsys)
    assert "entry 2 names another key of the map's labels" in company.verdict(after, capsys)
    company.publish()
    found = company.audited()
    assert "entry 2: it names the key of the map's labels" in found
    assert "a customer may have two histories" in found
    unbound(monkeypatch)
    assert "none missing" in company.verdict(after, capsys)
    company.ledger.close()
    with pytest.raises(CorruptLogError, match="another key of the map's labels"):
        Ledger.reopen(company.home)


def test_a_map_that_is_no_longer_bound_is_found_by_verify_and_by_the_audit(
    company: Company, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels of earlier versions, which two histories of one customer could have."""
    monkeypatch.setattr(Labels, "public", None)
    monkeypatch.setattr(Labels, "prove", lambda *_: None)
    relabelled(company, company.ledger.states.labels, second=random_label)
    company.restart()
    second = company.evidence(company.second)
    assert "names another key of the map's labels than the policy, or none" in company.verdict(
        second, capsys
    )
    company.publish()
    assert "it names the key of the map's labels none" in company.audited()


def test_a_state_log_that_is_rolled_back_and_extended_is_found(
    company: Company, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    company.ledger.close()
    earlier = shutil.copytree(company.home, tmp_path / "earlier")
    with ExitStack() as stack:
        stack.enter_context(closing(ledger := opened(company.home)))
        say(ledger, ME, WITHDRAWN)
        company.ledger = ledger
        company.publish()
        assert "verdict   clean" in company.audited("--state", str(tmp_path / "seen"))
    with closing(forked := opened(earlier)):
        say(forked, OTHER, AGE, AGE)
        company.home, company.ledger = earlier, forked
        company.publish()
    assert "verdict   clean" in company.audited()  # nobody remembers anything
    found = company.audited("--state", str(tmp_path / "seen"))
    assert "split-view" in found
