"""The published AuthZEN payloads pass as sent, and what decides them is confined (G174 ff.).

`python -m tests.features.authzen_payloads` prints the table that stands in docs/integrate.md.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import pytest

from tests.features import authzen_payloads as published
from tests.features.authzen_payloads import EVALUATION, EVALUATIONS, FAMILIES, POINT
from tests.features.conftest import _run, prepared
from tests.features.loopback import PLAIN
from tests.features.served import ROOT, Site, done, sovereign
from tests.features.test_killed_reads import gate_alone

ALICE = {"type": "user", "id": "alice"}
RECORD = {"type": "record", "id": "101"}
EDIT: dict[str, Any] = {"subject": ALICE, "action": {"name": "edit"}, "resource": RECORD}
RECORDS = {"subject": ALICE, "action": {"name": "view"}, "resource": {"type": "record"}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    rows = prepared(_run(tmp_path_factory)) / "customers.duckdb"
    with published.serving(tmp_path_factory.mktemp("authzen"), rows) as served:
        yield served


def asked(site: Site, body: Any, path: str = EVALUATION, by: str = POINT) -> Any:
    answer = site.ask(by, path, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def log_of(answer: Any) -> tuple[str, int]:
    """The read log and the entry that an answer names."""
    sent = answer.headers["sovereign-evidence"]
    return sent.rpartition("/")[2].strip('"'), int(sent.partition("entry=")[2].partition(";")[0])


def test_g179_published_payloads_pass_as_they_are_sent_and_the_documentation_says_so(
    site: Site,
) -> None:
    text = (ROOT / "docs" / "integrate.md").read_text("utf-8")
    for family, (name, _, _) in FAMILIES.items():
        sent = published.payloads(family)
        with published.asking(site) as client:
            failed = [each for each in sent if not published.passed(client, family, each)]
        # A batch that is no list is not understood.
        assert failed == (sent if family in published.SUPERSEDED else []), family
        assert f"| {name} | {len(sent)} | {len(sent) - len(failed)} |" in text


def test_g176_every_decision_is_logged_and_derived_again(site: Site) -> None:
    answer = site.ask(POINT, EVALUATION, EDIT)
    log, entry = log_of(answer)
    assert "alice" not in answer.headers["sovereign-evidence"]
    used = site.ask(POINT, EVALUATION, EDIT)
    assert log_of(used) == (log, entry + 1)
    replayed = sovereign("replay", log, "--data-dir", site.home, "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert json.loads(replayed.stdout)["derived"] > entry


def test_g176_what_was_asked_is_private(site: Site, tmp_path: Path) -> None:
    site.ask(POINT, EVALUATION, EDIT)
    done("named-files", tmp_path / "lists", "--data-dir", site.home)
    given = b"".join(path.read_bytes() for path in (tmp_path / "lists").glob("*"))
    assert b"alice" not in given


def test_g176_policies_and_api_keys_are_restored_from_a_backup(site: Site, tmp_path: Path) -> None:
    """A used key keeps its uses, and a revoked one stays revoked."""

    def keys(word: str, *more: str, home: Path = site.home) -> str:
        return done("keys", word, *more, "--data-dir", home)

    used, revoked = (keys("issue", POINT).strip().split("_") for _ in range(2))
    keys("revoke", revoked[2])
    sent = {"Authorization": f"Bearer {'_'.join(used)}"}
    answer = httpx.post(f"{site.address}{EVALUATION}", json=EDIT, headers=sent, verify=PLAIN)
    log, entry = log_of(answer)
    stored = [*(site.home / "policies" / "decisions").glob("*.json")]
    assert len(stored) == 1
    parts = ("backup", tmp_path / "ledger", "--keys-to", tmp_path / "keys")
    done(*parts, "--data-dir", site.home)
    home = tmp_path / "restored"
    done("restore", parts[1], "--keys", parts[3], "--data-dir", home)
    assert done("fsck", "--data-dir", home) == "clean\n"
    replayed = sovereign("replay", "--data-dir", home)
    assert (replayed.returncode, "left out" in replayed.stderr) == (0, False), replayed.stderr
    assert keys("uses", used[2], home=home).endswith(f"{log}#{entry}\n")
    assert keys("list", home=home) == keys("list")
    (line,) = [each for each in keys("list", home=home).splitlines() if revoked[2] in each]
    assert "revoked 2" in line
    copy = home / "policies" / "decisions" / stored[0].name
    copy.write_text(copy.read_text("utf-8").replace("alice", "alicf", 1), "utf-8")
    found = sovereign("fsck", "--data-dir", home)
    assert (found.returncode, f"policies/decisions/{copy.name}" in found.stdout) == (1, True)


DENIED: dict[str, tuple[Any, str, str]] = {
    "a subject type that it may not ask for": (
        EDIT | {"subject": {"type": "record", "id": "101"}},
        POINT,
        "may-not-ask",
    ),
    "a service that may ask for nobody": (EDIT, "recommender", "may-not-ask"),
    "a type of resource that the schema does not have": (
        EDIT | {"resource": {"type": "planet", "id": "x"}},
        POINT,
        "not-in-schema",
    ),
    "such a type, asked by a service that may ask for nobody": (
        EDIT | {"resource": {"type": "planet", "id": "x"}},
        "recommender",
        "unknown-scene",
    ),
    "an unknown action": (EDIT | {"action": {"name": "burn"}}, POINT, "not-in-schema"),
    "a property of another type": (
        EDIT | {"resource": {"type": "record", "id": "x", "properties": {"department": 7}}},
        POINT,
        "not-in-schema",
    ),
    "an escape of Cedar's JSON": (
        EDIT
        | {
            "resource": {
                "type": "record",
                "id": "x",
                "properties": {"owner": {"__entity": {"type": "user", "id": "alice"}}},
            }
        },
        POINT,
        "not-in-schema",
    ),
    "a property without end": (
        EDIT | {"context": {"ip": json.loads("[" * 50 + "]" * 50)}},
        POINT,
        "not-in-schema",
    ),
    "a property that contradicts the company's": (
        EDIT | {"subject": {"type": "user", "id": "bob", "properties": {"role": "manager"}}},
        POINT,
        "contradicts-entity",
    ),
    "no rule": (EDIT | {"subject": {"type": "user", "id": "bob"}}, POINT, "denied"),
}


@pytest.mark.parametrize("why", DENIED)
def test_g175_what_is_not_understood_or_not_trusted_is_denied(site: Site, why: str) -> None:
    body, by, reason = DENIED[why]
    found = asked(site, body, by=by)
    assert (found["decision"], found["context"]["reason"]) == (False, reason)


def test_g175_an_unknown_type_in_a_batch_is_denied_by_the_same_reason(site: Site) -> None:
    body = {**EDIT, "evaluations": [{}, {"resource": {"type": "planet", "id": "x"}}]}
    answers = asked(site, body, EVALUATIONS)["evaluations"]
    assert [each["context"]["reason"] for each in answers] == ["permitted", "not-in-schema"]


READING = {
    "subject": {"type": "service", "id": "analytics"},
    "action": {"name": "read"},
    "resource": {"type": "customer"},
    "context": {"scene": "segmentation", "fields": ["age"]},
}
ME = READING | {"resource": {"type": "customer", "id": "c00007"}}
SEARCHES: dict[str, tuple[str, str, Any]] = {
    "resources of an unknown type": (POINT, "resource", RECORDS | {"resource": {"type": "planet"}}),
    "subjects about an unknown type": (
        POINT,
        "subject",
        EDIT | {"subject": {"type": "user"}, "resource": {"type": "planet", "id": "x"}},
    ),
    "actions on an unknown type": (
        POINT,
        "action",
        EDIT | {"resource": {"type": "planet", "id": "x"}},
    ),
    "customers, for another service": ("recommender", "resource", READING),
    "customers, in an unknown scene": (
        "analytics",
        "resource",
        READING | {"context": {"scene": "x"}},
    ),
    "customers, in a scene that lists none": (
        "recommender",
        "resource",
        READING
        | {
            "subject": {"type": "service", "id": "recommender"},
            "context": {"scene": "segmentation"},
        },
    ),
    "services, in an unknown scene": (
        "analytics",
        "subject",
        ME | {"subject": {"type": "service"}, "context": {"scene": "x"}},
    ),
    "users, about a customer": ("analytics", "subject", ME | {"subject": {"type": "user"}}),
}


@pytest.mark.parametrize("why", SEARCHES)
def test_g21_a_search_that_finds_nothing_is_logged_and_takes_no_foreign_token(
    site: Site, why: str
) -> None:
    by, kind, body = SEARCHES[why]
    path = f"/access/v1/search/{kind}"
    answer = site.ask(by, path, body)
    assert (answer.status_code, answer.json()["results"]) == (200, []), answer.text
    log, entry = log_of(answer)
    again = site.ask(by, path, body)
    assert log_of(again) == (log, entry + 1)
    foreign = site.ask(by, path, body | {"page": {"token": "AAAA"}})
    assert (foreign.status_code, "is not of this question" in foreign.text) == (400, True)
    replayed = sovereign("replay", log, "--data-dir", site.home, "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def test_g175_properties_count_where_a_trusted_point_sends_them(site: Site) -> None:
    draft = {"type": "record", "id": "new", "properties": {"department": "Sales", "unknown": [1]}}
    assert asked(site, EDIT | {"resource": draft})["decision"]
    assert not asked(site, EDIT | {"resource": {"type": "record", "id": "new"}})["decision"]


def test_g174_a_customers_data_is_never_a_matter_of_that_policy(site: Site) -> None:
    customer = EDIT | {"resource": {"type": "customer", "id": "c00007"}, "action": {"name": "read"}}
    found = asked(site, customer)
    assert (found["decision"], found["context"]["reason"]) == (False, "not-in-schema")
    both = asked(
        site, {**EDIT, "evaluations": [{}, {"resource": customer["resource"]}]}, EVALUATIONS
    )
    assert [each["decision"] for each in both["evaluations"]] == [True, False]
    mixed = {
        "evaluations": [
            EDIT,
            {
                "subject": {"type": "service", "id": POINT},
                "action": {"name": "read"},
                "resource": {"type": "customer", "id": "c00007"},
                "context": {"scene": "recommendation", "fields": ["age"]},
            },
            {"subject": ALICE},
        ]
    }
    answers = asked(site, mixed, EVALUATIONS)["evaluations"]
    assert [each["decision"] for each in answers] == [True, False, False]
    assert answers[2]["context"]["error"]["status"] == 400


REFUSED: dict[str, tuple[str, str, str]] = {
    "a type of the product's": ("decisions.schema.json", '"record":', '"Customer":'),
    "a namespace": ("decisions.schema.json", '"":', '"Bank":'),
    "an unknown action": ("decisions.cedar", '"can_create_todo"', '"can_burn_todo"'),
    "an entity of no type": ("entities.json", '"type": "identity"', '"type": "nobody"'),
    "an attribute of another type": ("entities.json", '"role": "manager"', '"role": 1'),
    "an entity twice": ("entities.json", '"id": "bob"}, "attrs"', '"id": "alice"}, "attrs"'),
}


def test_g174_what_nothing_reads_or_declares_is_named_with_its_place(tmp_path: Path) -> None:
    policy = published.company(tmp_path) / "policy"
    for name, near in {
        "decision.cedar": "decisions.cedar",
        "entities.jsn": "entities.json",
    }.items():
        (policy / name).write_text("")
        ran = sovereign("check", policy.parent)
        assert (ran.returncode, f"{policy / name}: " in ran.stderr) == (1, True), ran.stderr
        assert f"want {near}" in ran.stderr
        (policy / name).unlink()
    path = policy / "entities.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace('"role": "manager"', '"rol": "manager"', 1), "utf-8")
    ran = sovereign("check", policy.parent)
    assert ran.returncode == 1
    assert re.search(r"entities.json: \[\d+\]: user '\w+': unknown attribute 'rol'", ran.stderr)
    assert "want role" in ran.stderr


@pytest.mark.parametrize("why", REFUSED)
def test_g174_a_policy_that_is_not_understood_is_refused(tmp_path: Path, why: str) -> None:
    name, old, new = REFUSED[why]
    folder = published.company(tmp_path)
    path = folder / "policy" / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    ran = sovereign("check", folder)
    assert ran.returncode != 0, ran.stdout


def test_g177_a_question_without_a_scene_is_about_the_services_default(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("default")
    made = published.company(folder)
    register = made / "services.toml"
    text = register.read_text("utf-8")
    wanted = r"(\[recommender\]\n(?:.+\n)*)"
    register.write_text(re.sub(wanted, r'\1default_scene = "recommendation"\n', text, count=1))
    home = folder / "data"
    copytree(prepared(_run(tmp_path_factory)), home)
    with Site(home, folder / "log", words=("--company", str(made))).serving() as site:
        person = site.customer("c00031")
        person.switch("recommendation", "allow")
        question = {
            "subject": {"type": "service", "id": "recommender"},
            "action": {"name": "read"},
            "resource": {"type": "customer", "id": "c00031"},
        }
        assert asked(site, question, by="recommender")["decision"]
        other = question | {"subject": {"type": "service", "id": "fraud-desk"}}
        assert not asked(site, other, by="fraud-desk")["decision"]


def test_g193_a_gate_with_another_policy_than_the_last_start_decides_nothing_by_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = prepared(_run(tmp_path_factory)) / "customers.duckdb"
    with published.serving(tmp_path, rows) as site, gate_alone(site) as (earlier, _):
        folder = tmp_path / "company"
        assert asked(site, EDIT)["decision"]
        assert planned(site, folder) == "unchanged"
        (folder / "policy" / "decisions.cedar").write_text(
            "permit (principal, action, resource) when { principal == resource };"
        )
        assert planned(site, folder) == "changed"
        assert asked(site, EDIT)["decision"], "until a process starts with it"
        with gate_alone(site) as (later, _):
            answers = [decided(each) for each in (site.address, earlier, later)]
            assert answers == [(False, "suspended")] * 2 + [(False, "denied")]
            found = site.ask(POINT, "/access/v1/search/resource", RECORDS)
            assert (found.status_code, found.json()["results"]) == (200, [])
            for each in (site.address, earlier):
                health = httpx.get(f"{each}/healthz", verify=PLAIN).json()
                assert health["suspended"] == ["policy/decisions"]
            assert httpx.get(f"{later}/healthz", verify=PLAIN).json()["suspended"] == []
        assert planned(site, folder) == "unchanged"
        replayed = sovereign("replay", "--data-dir", site.home)
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    for each in ("decisions.cedar", "decisions.schema.json", "entities.json"):
        (folder / "policy" / each).unlink()
    register = folder / "services.toml"
    register.write_text(register.read_text("utf-8").replace(published.REGISTERED, ""), "utf-8")
    assert planned(site, folder) == "removed"
    applied = done("apply", "--company", folder, "--data-dir", site.home)
    assert re.search(r"policy/decisions +removed", applied)
    assert planned(site, folder) is None
    assert done("fsck", "--data-dir", site.home) == "clean\n"


def planned(site: Site, folder: Path) -> Any:
    """What `sovereign plan` says of the policy about the company's own resources."""
    ran = sovereign("plan", "--company", folder, "--data-dir", site.home, "--json")
    found = json.loads(ran.stdout)
    assert ran.returncode == int(found["publishes"]), ran.stderr
    assert found["publishes"] is (found["decisions"] not in {None, "unchanged"})
    return found["decisions"]


def decided(address: str) -> tuple[bool, str]:
    sent = {"Authorization": f"Bearer demo-{POINT}"}
    answer = httpx.post(f"{address}{EVALUATION}", json=EDIT, headers=sent, verify=PLAIN).json()
    return answer["decision"], answer["context"]["reason"]


def test_g178_pages_of_one_question_lead_on_and_no_other_takes_their_token(site: Site) -> None:
    path = "/access/v1/search/resource"
    found, token = list[str](), ""
    while True:
        page = asked(site, RECORDS | {"page": {"limit": 7, "token": token}}, path)
        found += [each["id"] for each in page["results"]]
        if not (token := page["page"]["next_token"]):
            break
        other = RECORDS | {"action": {"name": "edit"}, "page": {"limit": 7, "token": token}}
        refused = site.ask(POINT, path, other)
        assert (refused.status_code, "is not of this question" in refused.text) == (400, True)
    assert found == [str(number) for number in range(101, 121)]
