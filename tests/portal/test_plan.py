"""`sovereign plan` and `apply`, and starts that fail: specs/company.md, C9 to C12."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gate.decision.decide import Reason
from gate.reads.request import ReadRequest
from ledger import clock
from ledger.follower import Follower
from portal.commands import app
from portal.operations.settings import Settings
from portal.operations.wiring import SECRET, Product, open_product
from tests.bank import BANK
from tests.features.loopback import free_port
from tests.portal.conftest import LAST, seed
from tests.portal.test_customer import ALLOWED

SERVICE, POSITION, AREA = "branch-finder", "location", "postcode_area"  # of the scene ALLOWED


@dataclass(frozen=True)
class Bank:
    """A bank whose contracts are published.

    `allowing`: customers who allow an item of the scene ALLOWED. `area_only`: those of them who
    allow nothing but AREA.
    """

    home: Path
    company: Path
    allowing: int = 0
    area_only: int = 0

    def run(self, command: str, *words: str) -> Result:
        named = ["--company", str(self.company), "--data-dir", str(self.home)]
        return CliRunner().invoke(app, [command, *named, *words])

    def scene(self, name: str = ALLOWED) -> dict[str, Any]:
        scenes = json.loads(self.run("plan", "--json").output)["scenes"]
        (found,) = (each for each in scenes if each["scene"] == name)
        return dict(found)

    @property
    def size(self) -> int:
        return Follower(self.home).size

    def edit(self, *changes: tuple[str, str], file: str = f"scenes/{ALLOWED}.odcs.yaml") -> None:
        text = (self.company / file).read_text("utf-8")
        for old, new in changes:
            assert old in text, f"{file} has no {old!r}, so the test would prove nothing"
            text = text.replace(old, new, 1)
        (self.company / file).write_text(text, "utf-8")


@pytest.fixture(scope="module")
def seeded_now(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its grants are three days old by the real clock, which `plan` reads."""
    return seed(tmp_path_factory.mktemp("seeded"), clock.now())


@pytest.fixture
def bank(seeded_now: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
    home, company = copytree(seeded_now, tmp_path / "home"), copytree(BANK, tmp_path / "company")
    (company / "services.toml").unlink()  # the tests edit contracts alone
    monkeypatch.setenv("SOVEREIGN_PORT", str(free_port()))
    product = open_product(Settings(data_dir=home, company=str(company)))
    position, area = granting(product, POSITION), granting(product, AREA)
    product.ledger.close()
    assert len(position) > 1
    return Bank(home, company, len(position | area), len(area - position))


def granting(product: Product, field: str) -> set[str]:
    """The customers whose value the gate would answer."""
    now = clock.now()
    everybody = [f"c{number:05d}" for number in range(1, int(LAST[1:]) + 1)]
    asked = [ReadRequest(SERVICE, ALLOWED, each, (field,), now) for each in everybody]
    return {e.subject for e in asked if product.gate.decide(e).reason is Reason.GRANTED}


def version(number: str) -> tuple[str, str]:
    return "\nversion: 1.0.1", f"\nversion: {number}"


TOP = "\ncustomProperties:\n"
LOCKED = "contract-service"
SINCE_2 = (TOP, f"{TOP}  - {{property: consentSince, value: 2.0.0}}\n")
FIELD_OF_ITS_OWN = """      - name: age
        logicalType: integer
        customProperties:
          - {property: use, value: {en: to guess, zh-CN: 猜测, de: um zu raten}}
          - {property: since, value: 1.1.0}
          - {property: fallback, value: withhold}
slaProperties:
"""
SALES = """partner: false}
      - {id: sales, title: {en: Sales, zh-CN: 销售, de: Verkauf}, partner: true}
"""
ITS_LINES = re.compile(r"      - name: postcode_area\n(?:        .*\n)+")
INTEREST = [
    ("legalBasis, value: consent", "legalBasis, value: legitimate-interest"),
    ("  - {property: longestConsentDays, value: 365}\n", ""),
]
# edits, what the plan says, and whether earlier consents end
CHANGES: dict[str, tuple[list[tuple[str, str]], tuple[str, list[str], list[str]], bool]] = {
    "other words": (
        [version("1.0.2"), ("we cannot suggest", "we cannot show")],
        ("reworded", [], []),
        False,
    ),
    "another purpose": (
        [version("2.0.0"), SINCE_2, ("value: ServicePersonalisation", "value: DirectMarketing")],
        ("widened", ["purpose"], []),
        True,
    ),
    "legitimate interest": (
        [version("2.0.0"), SINCE_2, *INTEREST],
        ("widened", ["legal basis legitimate-interest"], []),
        True,
    ),
    "a partner": (
        [version("2.0.0"), SINCE_2, ("partner: false}\n", SALES)],
        ("widened", ["service sales"], []),
        True,
    ),
    "a field more": (
        [version("1.1.0"), ("slaProperties:\n", FIELD_OF_ITS_OWN)],
        ("widened", ["field age"], []),
        False,
    ),
    "a shorter consent": (
        [version("1.0.2"), ("value: 365", "value: 364")],
        ("narrowed", [], ["longest consent"]),
        False,
    ),
    "a consent that is too short by now": (
        [version("1.0.2"), ("longestConsentDays, value: 365", "longestConsentDays, value: 1")],
        ("narrowed", [], ["longest consent"]),
        True,
    ),
}


@pytest.mark.parametrize("why", CHANGES)
def test_c9_a_plan_names_what_comes_and_leaves_and_counts_who_must_agree_again(
    why: str, bank: Bank
) -> None:
    edits, (change, more, less), ends = CHANGES[why]
    bank.edit(*edits)
    found = bank.scene()
    assert (found["change"], found["more"], found["less"]) == (change, more, less)
    ending = bank.allowing if ends else 0
    assert (found["allowing"], found["must_agree_again"]) == (bank.allowing, ending)


def test_c9_a_field_that_leaves_ends_the_consent_of_who_allowed_nothing_else(bank: Bank) -> None:
    path = bank.company / "scenes" / f"{ALLOWED}.odcs.yaml"
    path.write_text(ITS_LINES.sub("", path.read_text("utf-8")), "utf-8")
    bank.edit(
        version("2.0.0"),
        ("          - {property: substitute, value: postcode_area}\n", ""),
        ("fallback, value: generalise", "fallback, value: withhold"),
    )
    found = bank.scene()
    assert (found["change"], found["less"]) == ("narrowed", [f"field {AREA}"])
    assert (found["allowing"], found["must_agree_again"]) == (bank.allowing, bank.area_only)
    assert 0 < bank.area_only < bank.allowing


def test_c9_a_scene_that_leaves_the_folder_is_retired_and_publishes_nothing(bank: Bank) -> None:
    (bank.company / "scenes" / f"{ALLOWED}.odcs.yaml").unlink()
    assert bank.scene()["change"] == "retired"
    assert bank.scene()["allowing"] == bank.allowing
    assert bank.run("plan").exit_code == 0


def test_c9_everything_is_new_to_a_folder_without_a_log(seeded: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    new = Bank(tmp_path / "new", BANK)
    assert new.scene()["change"] == "new"
    assert new.run("plan").exit_code == 1
    assert [*new.home.iterdir()] == []
    assert "no ledger in" in new.run("apply").output
    assert [*new.home.iterdir()] == []


def test_c9_faults_of_the_folder_are_printed_as_check_prints_them(bank: Bank) -> None:
    bank.edit(("value: ServicePersonalisation", "value: Foo"))
    planned, checked = bank.run("plan"), CliRunner().invoke(app, ["check", str(bank.company)])
    assert (planned.exit_code, planned.output) == (2, checked.output)


def test_c11_a_locked_scene_gets_no_field_silently(bank: Bank) -> None:
    bank.edit(
        ("\nversion: 1.0.1", "\nversion: 1.1.0"),
        ("slaProperties:\n", FIELD_OF_ITS_OWN),
        file=f"scenes/{LOCKED}.odcs.yaml",
    )
    size, found = bank.size, bank.scene(LOCKED)
    assert (found["change"], found["more"]) == ("widened", ["field age"])
    assert found["without_consent"] == "contract"
    assert "contract, used of every customer, whatever they allow" in bank.run("plan").output
    refused = bank.run("serve")
    assert (refused.exit_code, bank.size) == (2, size)
    assert f"data is used without consent: {LOCKED} (contract)" in refused.output
    assert bank.run("apply").exit_code == 0


@pytest.mark.parametrize("basis", ["legitimate-interest", "legal-obligation", "contract"])
def test_c11_no_start_reads_silently_what_no_customer_was_asked_for(basis: str, bank: Bank) -> None:
    text = (bank.company / "scenes" / f"{ALLOWED}.odcs.yaml").read_text("utf-8")
    for old, new in (
        (f"id: {ALLOWED}", "id: more"),
        ("order, value: ", "order, value: 9"),
        (INTEREST[0][0], f"legalBasis, value: {basis}"),
        *(INTEREST[1:] if basis != "contract" else ()),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    (bank.company / "scenes" / "more.odcs.yaml").write_text(text, "utf-8")
    size, found = bank.size, bank.scene("more")
    assert (found["change"], found["without_consent"]) == ("new", basis)
    assert "on for every customer" in bank.run("plan").output
    refused = bank.run("serve")
    assert (refused.exit_code, bank.size) == (2, size)
    assert f"data is used without consent: more ({basis})" in refused.output
    assert bank.run("apply").exit_code == 0
    assert bank.scene("more")["objecting"] == 0


def test_c10_apply_publishes_what_was_planned_and_then_there_is_nothing_to_do(bank: Bank) -> None:
    size = bank.size
    assert bank.run("plan").output.splitlines()[-1] == "nothing to publish"
    bank.edit(*CHANGES["another purpose"][0])
    *lines, digest = bank.run("plan").output.splitlines()
    applied = bank.run("apply", "--plan", digest.removeprefix("plan "))
    assert (applied.exit_code, applied.output.splitlines()) == (0, [*lines, "published"])
    assert bank.size == size + 1
    assert bank.run("plan").exit_code == 0
    assert bank.run("apply").output.splitlines()[-1] == "nothing to publish"
    assert bank.size == size + 1
    assert bank.scene()["allowing"] == 0


def test_c10_a_folder_that_changed_since_the_plan_is_not_applied(bank: Bank) -> None:
    bank.edit(*CHANGES["other words"][0])
    digest = json.loads(bank.run("plan", "--json").output)["plan"]
    bank.edit(("we cannot show", "nobody can show"))
    size = bank.size
    applied = bank.run("apply", "--plan", digest)
    assert (applied.exit_code, bank.size) == (2, size)
    assert "nothing was published" in applied.output


def test_c10_a_changed_policy_is_planned_and_applied(bank: Bank) -> None:
    size = bank.size
    with (bank.company / "policy" / "organisation.cedar").open("a") as file:
        file.write("// one line more\n")
    assert json.loads(bank.run("plan", "--json").output)["policy"] == "changed"
    assert bank.run("apply").exit_code == 0
    assert (bank.run("plan").exit_code, bank.size) == (0, size + 1)


def _policy(bank: Bank) -> None:
    (bank.company / "policy" / "organisation.cedar").write_text("permit (principal")


def _undeclared(bank: Bank) -> None:
    bank.edit(("value: ServicePersonalisation", "value: DirectMarketing"))


def _ending(bank: Bank) -> None:
    bank.edit(*CHANGES["another purpose"][0])


def _source(bank: Bank) -> None:
    (bank.home / "customers.duckdb").unlink()


def _secret(bank: Bank) -> None:
    (bank.home / SECRET).write_bytes(b"too short")


def _origin(bank: Bank) -> None:
    path = bank.company / "company.toml"
    text = path.read_text("utf-8")
    path.write_text(re.sub(r"^origin = .*", 'origin = "other.example/x"', text, flags=re.MULTILINE))


# what is broken, exit status, and what the message names
FAILING: dict[str, tuple[Callable[[Bank], None], int, str]] = {
    "a policy that does not parse": (_policy, 2, "policy"),
    "an undeclared change": (_undeclared, 2, "want version 2.0.0"),
    "a change that ends consents": (_ending, 2, "sovereign plan"),
    "a source that is missing": (_source, 2, "customers.duckdb"),
    "a damaged secret": (_secret, 1, "restore it"),
    "another origin": (_origin, 2, "other.example/x"),
}


@pytest.mark.parametrize("why", FAILING)
def test_c12_a_start_that_fails_announces_nothing(why: str, bank: Bank) -> None:
    broken, status, named = FAILING[why]
    broken(bank)
    size = bank.size
    served = bank.run("serve")
    assert (served.exit_code, named in served.output) == (status, True), served.output
    assert bank.size == size


@pytest.mark.parametrize("why", ["a policy that does not parse", "an undeclared change"])
def test_c12_apply_announces_nothing_of_what_no_start_accepts(why: str, bank: Bank) -> None:
    broken, _, named = FAILING[why]
    broken(bank)
    size = bank.size
    applied = bank.run("apply")
    assert (applied.exit_code, named in applied.output, bank.size) == (2, True, size)


def test_c2_a_plan_over_a_log_of_another_origin_is_refused(bank: Bank) -> None:
    _origin(bank)
    for command in ("plan", "apply"):
        refused = bank.run(command)
        assert (refused.exit_code, "other.example/x" in refused.output) == (2, True)


KEPT = "SOVEREIGN_READS_KEPT_DAYS"
SETTINGS: dict[str, tuple[dict[str, str], tuple[str, str], str]] = {
    "how long reads are kept": ({KEPT: "365"}, ("", ""), "reads_kept_days"),
    "how long sessions last": ({"SOVEREIGN_SESSION_HOURS": "3"}, ("", ""), "session_hours"),
    "who is responsible": ({}, ('email = "', 'email = "new.'), "controller_email"),
    "what greets": (
        {},
        ("greeting = ", "# greeting = "),
        "roles.greeting",
    ),
    "what a browser's signal stops": (
        {},
        ('global_privacy_control = ["', 'global_privacy_control = ["direct-marketing", "'),
        "roles.global_privacy_control",
    ),
}


@pytest.mark.parametrize("why", SETTINGS)
def test_c9_a_setting_that_customers_notice_is_named(
    why: str, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, edit, name = SETTINGS[why]
    assert bank.run("plan").exit_code == 0
    first = json.loads(bank.run("plan", "--json").output)
    assert first["settings"] == []
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    if edit[0]:
        bank.edit(edit, file="company.toml")
    planned = bank.run("plan")
    assert (planned.exit_code, f"setting {name}  changed from " in planned.output) == (1, True)
    found = json.loads(bank.run("plan", "--json").output)
    ((changed, before, after),) = (tuple(each.values()) for each in found["settings"])
    assert (changed, before != after) == (name, True)
    assert found["plan"] != first["plan"]
    size = bank.size
    assert bank.run("apply", "--plan", found["plan"]).exit_code == 0
    assert bank.size - size == (KEPT in variables), "only what the log declares is published"
    assert (bank.run("plan").exit_code, bank.run("apply").exit_code) == (0, 0)


def test_c9_what_an_earlier_version_left_unsaid_is_not_compared(bank: Bank) -> None:
    (bank.home / "company.json").write_text(json.dumps({"folder": str(bank.company)}))
    bank.edit(('email = "', 'email = "new.'), file="company.toml")
    assert bank.run("plan").exit_code == 0


def test_c11_no_start_counts_silently_for_a_use_whom_it_did_not_count_before(bank: Bank) -> None:
    """Its tables rest on everybody who does not object, whatever the words say."""
    scene, mode = "scenes/lead-scoring.odcs.yaml", "{mode: release-anchored}}\n"
    population = "  - {property: population, value: not-objecting}\n"
    bank.edit((population, ""), ("\nversion: 1.0.2", "\nversion: 1.0.3"), file=scene)
    assert bank.run("apply").exit_code == 0
    bank.edit((mode, f"{mode}{population}"), file=scene)
    assert "population reworded: want a new version" in bank.run("plan").output
    bank.edit(("\nversion: 1.0.3", "\nversion: 1.0.4"), file=scene)
    size = bank.size
    assert "its tables rest on counts of everybody who does not object" in bank.run("plan").output
    refused = bank.run("serve")
    assert (refused.exit_code, bank.size) == (2, size)
    assert "data is used without consent: lead-scoring (its tables rest on" in refused.output
    assert bank.run("apply").exit_code == 0
