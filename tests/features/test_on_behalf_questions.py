"""A user or an agent asks about a customer through an enforcement point (G233–G236).

Two have to permit it: the company's policy, that the subject acts for the service, and the
customer, that the service uses the data.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.events.envelope import DecisionPolicyPublished
from ledger.follower import Follower
from tests.bank import BANK
from tests.features.catalogue import feature
from tests.features.conftest import _run, prepared
from tests.features.served import Person, Site, done, sovereign

EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
POINT, SCENE = "recommender", "recommendation"
USER, AGENT = {"type": "user", "id": "e.mueller"}, {"type": "agent", "id": "helper-7"}
STRANGER, ROBOT = {"type": "user", "id": "intruder"}, {"type": "robot", "id": "r1"}
RULES = """
permit(principal is user, action == Action::"act_for", resource)
  when { principal has department && principal.department == resource.department };
permit(principal is agent, action == Action::"act_for", resource)
  when { context.scene == "recommendation" && principal.runs < 9223372036854775807 - 1
         && principal.runs + 9223372036854775807 - 9223372036854775807 >= 0 };
"""
STRING = {"type": "String"}
SCHEMA = {
    "": {
        "entityTypes": {
            "user": {
                "shape": {
                    "type": "Record",
                    "attributes": {"department": STRING | {"required": False}},
                }
            },
            "agent": {"shape": {"type": "Record", "attributes": {"runs": {"type": "Long"}}}},
            "robot": {},
            "enforcement_point": {
                "shape": {"type": "Record", "attributes": {"department": STRING}}
            },
        },
        "actions": {
            "act_for": {
                "appliesTo": {
                    "principalTypes": ["user", "agent"],
                    "resourceTypes": ["enforcement_point"],
                    "context": {"type": "Record", "attributes": {"scene": STRING}},
                }
            }
        },
    }
}
ENTITIES = [
    {
        "uid": {"type": "enforcement_point", "id": POINT},
        "attrs": {"department": "sales"},
        "parents": [],
    },
    {"uid": USER, "attrs": {"department": "sales"}, "parents": []},
    {"uid": AGENT, "attrs": {"runs": 0}, "parents": []},
    {"uid": {"type": "agent", "id": "worn"}, "attrs": {"runs": 7}, "parents": []},
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("behalf")
    company = Path(shutil.copytree(BANK, folder / "company"))
    services = company / "services.toml"
    text = services.read_text("utf-8")
    before = f'scenes = ["{SCENE}"]\n'
    assert text.count(before) == 1
    asks = before + 'may_ask_for = ["agent", "user"]\n'
    services.write_text(text.replace(before, asks), "utf-8")
    (company / "policy" / "decisions.cedar").write_text(RULES, "utf-8")
    (company / "policy" / "decisions.schema.json").write_text(json.dumps(SCHEMA), "utf-8")
    (company / "policy" / "entities.json").write_text(json.dumps(ENTITIES), "utf-8")
    done("check", company)
    home = folder / "data"
    home.mkdir()
    shutil.copy(prepared(_run(tmp_path_factory)) / "customers.duckdb", home)
    words = ("--company", str(company))
    with Site(home, folder / "log", words=words).serving() as served:
        yield served


def question(customer: str, subject: Any, **more: Any) -> dict[str, Any]:
    asked = {
        "subject": subject,
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": customer},
        "context": {"scene": SCENE, "fields": ["age"]},
    }
    return asked | more


def answered(site: Site, body: Any, path: str = EVALUATION, by: str = POINT) -> Any:
    answer = site.ask(by, path, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def decided(site: Site, customer: Person, subject: Any, **more: Any) -> tuple[bool, str]:
    answer = answered(site, question(customer.subject, subject, **more))
    return answer["decision"], answer["context"]["reason"]


@feature("M16", "M35")
def test_g233_policy_and_grant_permit_together_and_neither_alone(
    site: Site, customer: Person
) -> None:
    """Granted and permitted, granted alone, permitted alone, and neither."""
    customer.switch(SCENE, "allow")
    assert decided(site, customer, USER) == (True, "granted")
    assert decided(site, customer, AGENT) == (True, "granted")
    assert decided(site, customer, STRANGER) == (False, "denied")
    customer.switch(SCENE, "withdraw")
    assert decided(site, customer, USER) == (False, "withdrawn")
    assert decided(site, customer, STRANGER) == (False, "denied")


def test_g234_the_customer_sees_for_whom_the_service_asked_and_it_is_derived_again(
    site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")
    answer = site.ask(POINT, EVALUATION, question(customer.subject, USER))
    decided(site, customer, STRANGER)
    assert b"e.mueller" not in answer.content
    assert "e.mueller" not in answer.headers["sovereign-evidence"]
    page = customer.page("/customer/reads").html
    assert page.count("on behalf of e.mueller, as the service states") == 1
    assert page.count("on behalf of intruder, as the service states") == 1
    replayed = sovereign("replay", "--data-dir", site.home)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


REFUSED: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "a type that the policy knows and the service may not ask for": (
        ROBOT,
        {},
        POINT,
        "may-not-ask",
    ),
    "a type that nobody knows": ({"type": "ghost", "id": "g"}, {}, POINT, "may-not-ask"),
    "a service that may ask for nobody": (USER, {}, "analytics", "may-not-ask"),
    "another action": (USER, {"action": {"name": "erase"}}, POINT, "not-in-schema"),
    "a property that contradicts": (
        USER | {"properties": {"department": "risk"}},
        {},
        POINT,
        "contradicts-entity",
    ),
    "a scene that the policy does not permit": (
        AGENT,
        {"context": {"scene": "lead-scoring", "fields": ["age"]}},
        POINT,
        "denied",
    ),
    "a rule that cannot be evaluated": (
        {"type": "agent", "id": "worn"},
        {},
        POINT,
        "evaluation-error",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_g235_a_refusal_names_its_reason(why: str, site: Site, customer: Person) -> None:
    customer.switch(SCENE, "allow")
    subject, more, by, reason = REFUSED[why]
    answer = answered(site, question(customer.subject, subject, **more), by=by)
    assert answer == {"context": {"reason": reason}, "decision": False}


def test_g233_properties_and_context_open_nothing(site: Site, customer: Person) -> None:
    """What the enforcement point states fills gaps of the company's own entities, no more."""
    helped = STRANGER | {"properties": {"department": "sales"}}
    context = {"scene": SCENE, "fields": ["age"], "department": "sales"}
    assert decided(site, customer, helped, context=context) == (False, "never-granted")
    customer.switch(SCENE, "allow")
    assert decided(site, customer, STRANGER, context=context) == (False, "denied")
    assert decided(site, customer, helped) == (True, "granted")


def test_g234_whatever_action_was_asked_is_derived_again_and_said_truly(
    site: Site, customer: Person
) -> None:
    customer.switch(SCENE, "allow")
    for action in ("READ", "act_for", "evaluate", "delete"):
        for subject in (USER, STRANGER):
            asked = question(customer.subject, subject, action={"name": action})
            assert answered(site, asked)["context"]["reason"] == "not-in-schema"
            answered(site, {"evaluations": [asked, asked]}, EVALUATIONS)
    page = customer.page("/customer/reads").html
    assert "this service is not named for this use" not in page
    assert page.count("the company&#39;s rules do not let it") == 4 * 2 * 3
    replayed = sovereign("replay", "--data-dir", site.home)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def test_g237_the_policy_is_announced_in_the_consent_log(site: Site) -> None:
    """A missing file of what was announced is a finding."""
    announced = [each.event for each in Follower(site.home).announced()]
    digests = [each.digest for each in announced if isinstance(each, DecisionPolicyPublished)]
    (stored,) = (site.home / "policies" / "decisions").glob("*.json")
    assert digests == [stored.stem]
    kept = stored.read_bytes()
    stored.unlink()
    found = sovereign("fsck", "--data-dir", site.home)
    stored.write_bytes(kept)
    assert (found.returncode, f"policies/decisions/{stored.name}" in found.stdout) == (1, True)


def test_g236_a_batch_answers_each_as_alone(site: Site, customer: Person) -> None:
    customer.switch(SCENE, "allow")
    own = {"type": "service", "id": POINT}
    subjects = [USER, own, STRANGER, ROBOT, own]
    whole = question(customer.subject, USER)
    del whole["subject"]
    body = whole | {"evaluations": [{"subject": each} for each in subjects]}
    alone = [answered(site, question(customer.subject, each)) for each in subjects]
    assert answered(site, body, EVALUATIONS)["evaluations"] == alone
    first = body | {"options": {"evaluations_semantic": "deny_on_first_deny"}}
    assert answered(site, first, EVALUATIONS)["evaluations"] == alone[:3]
    page = customer.page("/customer/reads").html
    assert page.count("on behalf of e.mueller, as the service states") == 3


def test_g234_an_id_that_no_entry_can_have_is_refused(site: Site, customer: Person) -> None:
    answer = site.ask(
        POINT, EVALUATION, question(customer.subject, {"type": "user", "id": "e mueller"})
    )
    assert answer.status_code == 400
    assert "subject.id" in answer.text
