"""M35, M17: agents of the reference CRM answer through `sovereign mcp`, and nothing leaves alone.

Clauses R17 to R20 of specs/crm.md. The messages of agent_tricks.toml, sixty in `make prove`, are
delivered to a served CRM and answered by a model that obeys every one of them.
"""

import asyncio
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.crm.agents import answering, conversation
from examples.crm.agents.gate_tools import connected
from examples.crm.agents.model import AgentTask, Exchange, ModelStep, ToolCall
from examples.crm.agents.roles import ROLES, SALES, SUPPORT, AgentRole
from tests.campaign import sized
from tests.features.catalogue import feature
from tests.features.crm import Crm, gate_has, running
from tests.features.served import Site, sovereign, wait_for

ALL: Sequence[Mapping[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "agent_tricks.toml").read_text("utf-8")
)["message"]
LOOKED_AT = "another customer's number by id"
PRICES = ("a wrong price", "a wrong price in words")
TRICKS = [
    each
    for number, each in enumerate(ALL)
    if number % sized(6, 1) == 0 or each["trick"] in {LOOKED_AT, *PRICES}
]
CUSTOMERS = len(TRICKS) + 6
NOT_ALLOWED = (
    "replies",
    "links_clicked",
    "meetings",
)  # of every second customer of the sales agent
OWN = {"personal", "generalised"}


@dataclass(slots=True)
class Obeying:
    """A model that does what the customer's message wants. `seen`: all that it was answered."""

    calls: Sequence[Mapping[str, Any]]
    says: str
    role: AgentRole
    seen: list[Mapping[str, Any]] = field(default_factory=list)
    name: str = "obeys every message"
    version: str = "1"

    async def step(self, task: AgentTask, exchanges: Sequence[Exchange]) -> ModelStep:
        if self.calls and not exchanges:
            calls = [self._call(number, each) for number, each in enumerate(self.calls)]
            return ModelStep((*calls,), "", 100)
        self.seen += [task.fields, *(each for e in exchanges for each in e.answers)]
        results = json.dumps([each for e in exchanges for each in e.answers], ensure_ascii=False)
        return ModelStep((), self.says.replace("RESULTS", results)[:19_000], 11)

    def _call(self, number: int, wanted: Mapping[str, Any]) -> ToolCall:
        tool, arguments = wanted["tool"], {k: v for k, v in wanted.items() if k != "tool"}
        if tool == "read":
            use = {"scene": self.role.scene, "purpose": self.role.purpose}
            return ToolCall(str(number), "read_customer", use | arguments)
        return ToolCall(str(number), tool, arguments)


@dataclass(slots=True)
class Played:
    """One trick: who wrote it, under which delivery, and the model that obeyed."""

    trick: Mapping[str, Any]
    customer: str
    event: str
    model: Obeying


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Crm]]:
    folder, home = tmp_path_factory.mktemp("crm"), tmp_path_factory.mktemp("data")
    with running(folder, home, CUSTOMERS) as both:
        yield both


@pytest.fixture(scope="module")
def site(served: tuple[Site, Crm]) -> Site:
    return served[0]


@pytest.fixture(scope="module")
def crm(served: tuple[Site, Crm]) -> Crm:
    return served[1]


@pytest.fixture(scope="module")
def played(site: Site, crm: Crm) -> list[Played]:
    """All tricks, delivered, answered and handed in; no person has decided anything."""
    made = [_delivered(site, crm, number, trick) for number, trick in enumerate(TRICKS)]
    crm.worked(*(each.event for each in made))
    for role in ROLES.values():
        last = [each for each in made if each.model.role is role][-1]
        has_message(site, role, last.customer)
        asyncio.run(_answered(site, crm, role, [e for e in made if e.model.role is role]))
    return made


def _delivered(site: Site, crm: Crm, number: int, trick: Mapping[str, Any]) -> Played:
    customer, other = crm.ids[number], crm.ids[-1 - number % 6]
    filled = json.dumps(trick).replace("MYSELF", customer).replace("OTHER", other)
    own = json.loads(filled)
    role = ROLES[own["role"]]
    if role is SALES:
        person = site.customer(customer)
        person.switch(SALES.scene, "allow")
        for each in NOT_ALLOWED if number % 2 else ():
            person.switch_item(SALES.scene, each, "withdraw")
    kind = "replied" if role is SALES else "message"
    event = crm.tell(customer, kind, text=own["text"])
    return Played(own, customer, event, Obeying(own["calls"], own["says"], role))


def has_message(site: Site, role: AgentRole, customer: str) -> None:
    """Wait until the gate has read what the CRM stored last."""

    def there() -> bool:
        read = site.read(role.service, role.scene, customer, "last_message")
        return bool(read["fields"]["last_message"].get("value"))

    wait_for(there, f"message of {customer} at the gate")


async def _answered(site: Site, crm: Crm, role: AgentRole, tricks: Sequence[Played]) -> None:
    async with connected(site.address, f"demo-{role.service}") as gate:
        for each in tricks:
            done = await conversation.answer(gate, each.model, role, each.customer)
            answering.store(crm.folder, each.event, each.model, done)


def allowed(crm: Crm, each: Played) -> set[str]:
    """Fields of the writer that the agent's service may know, by what the customer switched."""
    if each.model.role is SUPPORT:
        return {*SUPPORT.fields, "name", "email", "phone", "postcode", "monthlycharges"}
    refused = NOT_ALLOWED if crm.ids.index(each.customer) % 2 else ()
    return {"mails_opened", "last_message", *NOT_ALLOWED} - {*refused}


def true_fields(seen: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every field in what a model was answered that is marked as true, wherever it stands."""
    if isinstance(seen, list):
        for each in seen:
            yield from true_fields(each)
    elif isinstance(seen, dict):
        for name, each in seen.items():
            if isinstance(each, dict) and each.get("view") in OWN:
                yield name, each
            yield from true_fields(each)


def test_the_tricks_are_sixty_in_three_languages() -> None:
    assert len({each["trick"] for each in ALL}) == len(ALL) == 60
    for some in (ALL, TRICKS):
        assert {each["language"] for each in some} == {"en", "zh", "de"}
        assert {each["role"] for each in some} == {*ROLES}


@pytest.mark.campaign
@feature("M35")
def test_r17_no_message_gets_an_obeying_model_more_than_the_grant(
    crm: Crm, played: list[Played]
) -> None:
    unique = {n: a for a, n in crm.rows("SELECT email, subscriber FROM contact")}
    wider = []
    for each in played:
        seen = json.loads(json.dumps(each.model.seen))
        assert seen, each.trick["trick"]
        found = {name for name, _ in true_fields(seen)}
        wider += [(each.trick["trick"], name) for name in found - allowed(crm, each)]
        written = json.dumps(seen) + each.model.says
        foreign = [a for n, a in unique.items() if n != each.customer and a in written]
        wider += [(each.trick["trick"], a) for a in foreign]
        others = [s["customer"] for s in seen if s.get("customer", each.customer) != each.customer]
        wider += [(each.trick["trick"], customer) for customer in others]
    assert wider == []


@pytest.mark.campaign
@feature("M35")
def test_r18_no_message_has_an_obeying_model_send_anything(crm: Crm, played: list[Played]) -> None:
    sent = {customer for (customer,) in crm.rows("SELECT customer FROM outbox")}
    assert sent & {each.customer for each in played} == set()
    states = dict(crm.rows("SELECT event, state FROM conversation"))
    assert {states[each.event] for each in played} == {"waiting", "draft"}


@pytest.mark.campaign
@feature("M35")
def test_r19_every_trick_and_every_call_is_logged(
    site: Site, crm: Crm, played: list[Played]
) -> None:
    for each in played:
        query = "SELECT refused, entry FROM agent_call WHERE event = ? ORDER BY number"
        calls = crm.rows(query, each.event)
        assert len(calls) == 1 + len(each.model.calls), each.trick["trick"]
        assert [c for c in calls if c == (None, None)] == [] or "list_uses" in str(each.model.calls)
    assert sovereign("replay", "--data-dir", site.home).returncode == 0
    one = next(e for e in played if e.trick["trick"] == LOOKED_AT)
    page = site.customer(one.customer).page("/customer/reads").html
    for part in ("obeys every message", "111 tokens", "this conversation has its own"):
        assert part in page


@feature("M17")
def test_r20_a_wrong_price_waits_for_a_person_with_the_fault(
    site: Site, crm: Crm, played: list[Played]
) -> None:
    for trick in PRICES:
        one = next(e for e in played if e.trick["trick"] == trick)
        query = "SELECT state FROM conversation WHERE event = ?"
        assert crm.rows(query, one.event) == [("waiting",)]
        assert "prices: " in site.customer(one.customer).page("/customer/reads").html


@feature("M35")
def test_r18_what_a_person_approved_leaves_once_and_what_is_refused_never(
    site: Site, crm: Crm
) -> None:
    writer, asker = crm.ids[len(TRICKS) : len(TRICKS) + 2]
    asked = "请问光纤多少钱？"
    event = crm.tell(writer, "message", text="Die Rechnung ist falsch, ich möchte a refund.")
    calm = crm.tell(asker, "message", text=asked)
    crm.worked(event, calm)
    gate_has(site, SUPPORT.service, SUPPORT.scene, asker, last_message=asked)
    crm.run("agent", "support")
    query = "SELECT state, text, proposal FROM conversation WHERE event = ?"
    ((state, text, number),) = crm.rows(query, event)
    assert (state, text) == ("waiting", "We will refund the charge that you wrote about.")
    assert crm.rows(query, calm) == [("draft", "感谢您的来信。光纤100每月49.90美元。", None)]
    place = f"/desk/reviews/{number}/approve"
    assert site.steward().client.post(place, data={"reason": "checked"}).status_code == 200
    for _ in range(2):
        crm.run("agent", "support")
        assert crm.rows("SELECT customer, text FROM outbox") == [(writer, text)]
