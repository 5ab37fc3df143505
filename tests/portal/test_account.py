"""A regulator recomputes budgets from the public log, and finds whatever a record misstates."""

import json
from base64 import b64decode
from copy import deepcopy
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ledger.events.envelope import BudgetReserved, ScenePublished, SyntheticReleased
from ledger.service import Ledger
from ledger.tlog.fetcher import DirectorySource
from portal.commands.log.budget import app
from portal.configuration import privacy_limits
from portal.operations import release_service
from portal.regulator.budget_account import Recomputed, recompute
from synthetic.fitting.fit import fit
from synthetic.fitting.release import MalformedReleaseError, Release
from synthetic.model import domain as domains
from synthetic.model.domain import Categories, Domain
from synthetic.privacy.budget import PrivacyLoss
from tests.synthetic.material import Seeded, table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCENE, DIGEST = "segmentation", "ab" * 32
ANSWER = Domain({"answer": Categories(("no", "yes"), "no"), "mood": Categories(("a", "b"), "a")})
Body = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Body, Body]:
    """A reservation and its release, made on a ledger whose first entry is a contract."""
    ledger = begun(tmp_path_factory.mktemp("made"))
    size, root = ledger.root()
    kinds = {"answer": "string", "mood": "string"}
    rows = table({"answer": ["yes", "no"] * 40, "mood": ["a", "b", "b", "a"] * 20}, kinds)
    release = fit(
        rows,
        scene=SCENE,
        domain=ANSWER,
        workload=[("answer", "mood")],
        loss=PrivacyLoss(Fraction(1, 50)),
        at=NOON,
        ledger_size=size,
        ledger_root=b64decode(root).hex(),
        contract=f"{SCENE} 1.0.0 {DIGEST}",
        period="2026",
        reserve=lambda body: release_service.reserve(ledger, SCENE, body, NOON),
        noise=Seeded(1),
    )
    (reserved,) = release_service.bodies(ledger.announced())
    return dict(reserved), dict(release.body())


def begun(home: Path) -> Ledger:
    ledger = Ledger.open(home, origin="test.example/consent")
    ledger.announce([ScenePublished(SCENE, "1.0.0", DIGEST, NOON)])
    return ledger


def published(home: Path, reserved: Body, body: Body, name: str) -> Recomputed:
    """The log with these two records."""
    ledger = begun(home)
    ledger.announce([BudgetReserved(SCENE, reserved, NOON)])
    ledger.announce([SyntheticReleased(name, SCENE, body, NOON)])
    ledger.export(home / "tiles")
    return recompute(DirectorySource(home / "tiles"))


def test_what_the_product_records_is_recomputed_without_a_finding(
    tmp_path: Path, made: tuple[Body, Body]
) -> None:
    reserved, body = made
    found = published(tmp_path, reserved, body, Release.from_body(body).id)
    assert found.findings == []
    assert found.records == 2
    account = found.spending.accounts[SCENE, "2026"]
    assert body["account"]["spent"]["rho"] == "1/50"
    assert account.left.rho == privacy_limits.SCENE.rho - Fraction(1, 50)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every leaf of a body."""
    if isinstance(value, dict) and value:
        return [p for key in value for p in paths(value[key], (*at, key))]
    if isinstance(value, list) and value:
        return [p for index in (0, -1) for p in paths(value[index], (*at, index))]
    return [at]


def altered(body: Body, path: tuple[Any, ...], value: Any = None) -> Body:
    copy = deepcopy(body)
    within = copy
    for key in path[:-1]:
        within = within[key]
    old = within[path[-1]]
    other = old + 1 if isinstance(old, int) and not isinstance(old, bool) else f"{old}0"
    within[path[-1]] = other if value is None else value
    return copy


def test_each_field_that_is_altered_under_the_same_name_is_found(made: tuple[Body, Body]) -> None:
    """The name is a digest of all of them, so one look at the body is enough."""
    _, body = made
    leaves = {*paths(body)}
    assert len(leaves) > 40
    for path in leaves:
        try:
            found = Release.from_body(altered(body, path))
        except MalformedReleaseError:
            continue
        assert found.id != Release.from_body(body).id, path


OTHER = "77" * 32
RENAMED: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "a smaller rho": (("statement", "rho"), "1/100", "rho is stated as"),
    "a smaller epsilon": (("statement", "epsilon"), "1/2", "epsilon"),
    "an epsilon a millionth smaller": (("statement", "epsilon"), "less", "epsilon"),
    "a larger delta": (("statement", "delta"), "1/1000", "epsilon"),
    "more rows of a customer": (("statement", "contribution"), 2, "covers 1 rows"),
    "another unit": (("statement", "unit"), "row", "the statement is per 'row'"),
    "other neighbours": (
        ("statement", "neighbours"),
        "replace one",
        "with neighbours 'replace one'",
    ),
    "finer noise": (("measurements", 0, "scale"), "1/1", "rho is stated as"),
    "a smaller reach": (("measurements", 0, "sensitivity"), 0, "sensitivity 0"),
    "another noise": (("measurements", 0, "noise"), "discrete laplace", "noise only"),
    "a measurement of another column": (("measurements", 0, "clique"), ["phone"], "no column"),
    "an earlier state of the log": (("ledger_size",), 0, "names the root"),
    "a later state of the log": (("ledger_size",), 9, "entries, but is entry"),
    "another root": (("ledger_root",), OTHER, "names the root"),
    "no root": (("ledger_root",), "", "names the root"),
    "another contract": (("contract",), f"{SCENE} 1.0.0 {OTHER}", "was not published"),
    "no contract": (("contract",), "", "was not published"),
    "another domain": (
        ("domain",),
        domains.Domain({**ANSWER.columns, "answer": Categories(("no", "si"), "no")}).declaration(),
        "domain_digest is",
    ),
    "another digest of the domain": (("domain_digest",), OTHER, "domain_digest is"),
    "another period": (("period",), "2027", "reserved for"),
    "another scene": (("scene",), "lead-scoring", "reserved for"),
    "another reservation": (("reservation",), OTHER, "without a reservation"),
    "no account": (("account",), "null", "states the account as None"),
    "less spent": (("account", "spent", "rho"), "1/100", "account"),
    "less spent, as epsilon": (("account", "spent", "epsilon"), "1/100", "account"),
    "more left": (("account", "left", "rho"), "1/1", "account"),
    "more left, as epsilon": (("account", "left", "epsilon"), "1/1", "account"),
    "an account at another delta": (("account", "delta"), "1/10", "account"),
    "a digest of code that is none": (("code",), "newest", "want 64 hex digits"),
    "a digest of versions that is none": (("lock",), "AB" * 32, "want 64 hex digits"),
    "a format of before, which says less": (("format",), "synthetic-release/v1", "earlier format"),
    "a format that there is not": (("format",), "synthetic-release/v9", "format is"),
}


@pytest.mark.parametrize(("path", "value", "said"), RENAMED.values(), ids=RENAMED.keys())
def test_a_publisher_who_misstates_and_renames_is_found(
    tmp_path: Path, made: tuple[Body, Body], path: tuple[Any, ...], value: Any, said: str
) -> None:
    reserved, body = made
    if value == "less":
        value = str(Fraction(body["statement"]["epsilon"]) - Fraction(1, 10**6))
    forged = altered(body, path, value)
    if value == "null":
        forged["account"] = None
    try:
        name = Release.from_body(forged).id
    except MalformedReleaseError:
        name = "whatever"
    findings = published(tmp_path, reserved, forged, name).findings
    assert [each for each in findings if said in each], findings


def test_an_account_that_adds_up_but_is_not_the_scenes_is_found(
    tmp_path: Path, made: tuple[Body, Body]
) -> None:
    from synthetic.privacy import budget_ledger
    from synthetic.privacy.budget import Account

    reserved, body = made
    false = Account(PrivacyLoss(Fraction(1)), PrivacyLoss(Fraction(1, 50)))
    forged = {**body, "account": budget_ledger.stated(false, Fraction(body["statement"]["delta"]))}
    found = published(tmp_path, reserved, forged, Release.from_body(forged).id)
    assert any("states the account as" in each for each in found.findings)


RESERVED: dict[str, tuple[str, Any, str]] = {
    "another root": ("ledger_root", OTHER, "names the root"),
    "a later state of the log": ("ledger_size", 5, "entries, but is entry"),
    "a smaller rho": ("rho", "1/1000", "without a reservation"),
    "more than the limit": ("rho", "1/1", "is exceeded"),
    "another scene": ("scene", "lead-scoring", "without a reservation"),
    "another period": ("period", "2025", "without a reservation"),
    "another time": ("at", "2026-01-01T11:00:00Z", "without a reservation"),
    "another nonce": ("nonce", "00", "without a reservation"),
}


@pytest.mark.parametrize(("name", "value", "said"), RESERVED.values(), ids=RESERVED.keys())
def test_an_altered_reservation_is_found(
    tmp_path: Path, made: tuple[Body, Body], name: str, value: Any, said: str
) -> None:
    reserved, body = made
    found = published(tmp_path, {**reserved, name: value}, body, Release.from_body(body).id)
    assert any(said in each for each in found.findings), found.findings


def test_the_command_prints_accounts_and_findings(tmp_path: Path, made: tuple[Body, Body]) -> None:
    reserved, body = made
    published(tmp_path, reserved, body, "segmentation-under-another-name")
    shown = CliRunner().invoke(app, ["verify", str(tmp_path / "tiles"), "--json"])
    assert shown.exit_code == 1
    found = json.loads(shown.stdout)
    assert found["accounts"][0]["spent"] == "1/50"
    assert "has the name segmentation-under-another-name" in found["findings"][0]
    assert (
        "2 records, 1 findings"
        in CliRunner().invoke(app, ["verify", str(tmp_path / "tiles")]).output
    )
