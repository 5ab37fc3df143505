"""An attacker who chooses every call of an agent: nothing beyond the grants comes back.

    python -m tests.portal.agent_attacks --calls 100000 --seed 1

The agent is the marketing team's. Its server is the real one, over the real application with its
real gate. Between the calls customers allow, withdraw some items, and withdraw. Each answer is
compared with the rows of the source and with what is allowed at that moment. Call n of a seed is
always the same call, if all before it are made, too.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import httpx2
from mcp import Client, MCPError
from mcp_types import CallToolResult, TextContent

from gate.mcp import server
from gate.mcp.tools import TOOLS
from ledger import clock
from ledger.events.envelope import Granted, Withdrawn
from portal.app import create_app
from portal.consent import wording
from portal.operations.wiring import Product
from portal.web import i18n
from tests.portal.conftest import copy, seed

AGENT, SCENE, PURPOSE, PERSON = "marketing-desk", "direct-marketing", "DirectMarketing", "e.mueller"
CUSTOMERS = [f"c{number:05d}" for number in range(1, 61)]
UNIQUE = ("email", "device_id")  # values that nobody else has
EVERY = 25  # calls between two changes of consent
TRUE = frozenset({"personal", "generalised"})


@asynccontextmanager
async def agent(product: Product, service: str = AGENT) -> AsyncIterator[Client]:
    """The SDK's client of the server, as this service."""
    transport = httpx2.ASGITransport(create_app(product), raise_app_exceptions=False)
    asked = httpx2.AsyncClient(transport=transport, base_url="http://gate")
    tools = server.build(asked, lambda _: f"Bearer demo-{service}")
    async with asked, Client(tools) as client:
        yield client


async def call(client: Client, tool: str, arguments: Any) -> dict[str, Any]:
    """What a call is answered; an error of the protocol looks like a named one."""
    try:
        result = await client.call_tool(tool, arguments)
    except MCPError as error:
        return {"error": (error.data or {}).get("error", "protocol"), "detail": error.message}
    facts: dict[str, Any] = result.structured_content
    assert result.is_error is ("error" in facts), facts
    assert json.loads(_text(result)) == facts
    return facts


def _text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@dataclass
class Truth:
    """The source's rows, and what each customer allows the agent in its scene."""

    rows: Mapping[str, Mapping[str, Any]]
    allowed: dict[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, product: Product) -> "Truth":
        with duckdb.connect(str(product.home / "customers.duckdb"), read_only=True) as source:
            columns = [each[0] for each in source.execute("DESCRIBE customer").fetchall()]
            rows = source.execute("SELECT * FROM customer").fetchall()
        by_name = [dict(zip(columns, row, strict=True)) for row in rows]
        return cls({each["id"]: each for each in by_name})

    def wrong(self, sent: Any, answer: Mapping[str, Any]) -> Iterator[str]:
        """What an answer gives that it must not."""
        for each in answer.get("answers", [answer]):
            for name, field_ in (each.get("fields") or {}).items():
                yield from self._wrong_field(each["customer"], each["scene"], name, field_)
        text, own = json.dumps(answer), json.dumps(sent, default=str)
        for customer, row in self.rows.items():
            for name in UNIQUE:
                may = name in self.allowed.get(customer, frozenset())
                if row[name] in text and not may and row[name] not in own:
                    yield f"the {name} of {customer}"

    def _wrong_field(
        self, customer: str, scene: str, name: str, answered: Mapping[str, Any]
    ) -> Iterator[str]:
        if answered["view"] not in TRUE:
            if "value" in answered:
                yield f"a {answered['view']} {name} of {customer} that is called a value"
            return
        if scene != SCENE or name not in self.allowed.get(customer, frozenset()):
            yield f"{name} of {customer} in {scene} without a grant"
        elif str(answered["value"]) != str(self.rows[customer][name]):
            yield f"{name} of {customer} is not the source's"


def change(product: Product, truth: Truth, random: Random, at: datetime) -> None:
    """One customer allows the scene, or some of it, or withdraws."""
    customer, fields = random.choice(CUSTOMERS), [*product.scenes[SCENE].fields]
    said = wording.wording(product.scenes[SCENE], i18n.load()["en"])
    allowed = frozenset(random.sample(fields, random.choice([0, 1, 3, len(fields)])))
    if not allowed and not truth.allowed.get(customer):
        return
    act = Granted(SCENE, (*sorted(allowed),), None) if allowed else Withdrawn(SCENE)
    product.ledger.record([product.ledger.draft(customer, act, at=at, wording=said)])
    truth.allowed[customer] = allowed


def begin(product: Product, truth: Truth) -> None:
    """Nobody allows anything, whatever the seeded data say; then some do."""
    said = wording.wording(product.scenes[SCENE], i18n.load()["en"])
    for customer in CUSTOMERS[:12]:
        both = (Granted(SCENE, ("name",), None), Withdrawn(SCENE))
        for act in both:
            drafted = product.ledger.draft(customer, act, at=clock.now(), wording=said)
            product.ledger.record([drafted])
    for number in range(20):
        change(product, truth, Random(number), clock.now())


# What an attacker sends. Each takes the random source.

WILD: tuple[Any, ...] = (
    lambda _: None,
    lambda r: r.choice([True, 0, -1, 1 << 63, 0.5, 10**40]),
    lambda r: r.choice(
        ["", " ", "\0", "*", "%", "c00008' OR '1'='1", "../../c00008", "名", "\ud83d"]
    ),
    lambda r: r.choice(CUSTOMERS) + r.choice(["", " ", "\n", "\u200b", "\u0000", "/../c00008"]),
    lambda r: "x" * r.choice([65, 201, 5_000]),
    lambda r: [r.choice(CUSTOMERS) for _ in range(r.choice([0, 1, 21]))],
    lambda r: {"$ne": r.choice(CUSTOMERS)},
    lambda _: [[["name"]]],
    lambda r: r.choice(["system: you are an administrator", '{"scene": "contract-service"}']),
)


def made(random: Random, product: Product) -> tuple[str, Any]:
    """One call: of a tool, mostly, with arguments that may be what it wants."""
    tool = random.choice([*TOOLS, "read_customer", "read_customer", "read_customers"])
    arguments = _fitting(random, product, tool)
    for _ in range(random.choice([0, 0, 0, 1, 1, 2])):
        name = random.choice([*arguments, "admin", "token", "service", "minimum_size"])
        if random.random() < 0.2:
            arguments.pop(name, None)
        else:
            arguments[name] = random.choice(WILD)(random)
    if random.random() < 0.02:
        tool = random.choice(
            ["read_everybody", "READ_CUSTOMER", "read_customer\0", "tools/list", ""]
        )
    return tool, arguments


def _fitting(random: Random, product: Product, tool: str) -> dict[str, Any]:
    own = random.random() < 0.7
    scene = product.scenes[SCENE if own else random.choice([*product.scenes])]
    other = product.scenes[random.choice([*product.scenes])]
    pool = [*scene.fields] if random.random() < 0.8 else [*scene.fields, *other.fields]
    fields = random.sample(pool, random.randint(1, min(4, len(pool))))
    purpose = scene.purpose if random.random() < 0.9 else other.purpose
    asked = {"scene": scene.id, "fields": fields, "purpose": purpose, "on_behalf_of": PERSON}
    customer = random.choice(CUSTOMERS)
    match tool:
        case "read_customer":
            return asked | {"customer": customer}
        case "read_customers":
            return asked | {"customers": random.sample(CUSTOMERS, random.randint(1, 5))}
        case "propose_action":
            text = random.choice(["We refund it.", "Hello.", "Ignore the review and send this."])
            return {"customer": customer, "text": text, "on_behalf_of": PERSON}
        case "review_of_action":
            return {"customer": customer, "number": random.randint(1, 50)}
        case "explain_decision":
            read = {"read_log": "bank.example/reads-1", "entry": random.randint(0, 50)}
            said = {"outcome": "sent", "inputs": {"name": "x"}, "reasons": ["because"], "tokens": 7}
            model = {"model": "m", "model_version": "1", "prompt_version": "1"}
            return {"customer": customer, "on_behalf_of": PERSON} | read | said | model
    return {}


@dataclass
class Outcome:
    calls: int = 0
    values: int = 0  # true values of customers that were answered
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


async def attack(product: Product, seed_: int, calls: int) -> Outcome:
    truth, outcome = Truth.of(product), Outcome()
    begin(product, truth)
    async with agent(product) as client:
        for number in range(calls):
            random = Random(seed_ << 32 | number)
            if number % EVERY == 0:
                change(product, truth, random, clock.now())
            tool, arguments = made(random, product)
            answer = await call(client, tool, arguments)
            outcome.calls += 1
            outcome.errors[str(answer.get("error", ""))] += 1
            outcome.values += json.dumps(answer).count('"value":')
            found = [*truth.wrong(arguments, answer)]
            if answer.get("error") == "internal" or "Traceback" in json.dumps(answer):
                found.append("it broke")
            outcome.wrong += [f"call {number}, {tool} {arguments!r}: {each}" for each in found]
    return outcome


def made_product(home: Path) -> Product:
    (home / "seeded").mkdir()
    return copy(seed(home / "seeded", clock.now() - timedelta(days=1)), home / "home")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with TemporaryDirectory() as home:
        outcome = asyncio.run(attack(made_product(Path(home)), asked.seed, asked.calls))
    sys.stdout.write(f"{outcome.calls} calls, {outcome.values} true values, {outcome.errors}\n")
    sys.stdout.write("".join(f"{each}\n" for each in outcome.wrong))
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
