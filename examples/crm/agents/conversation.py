"""One answer of an agent to one customer's message: read, ask, check, hand in, explain.

Nothing is sent here. A text whose prices are not those of the table is handed in as a giveaway, so
that it waits for a person whatever words it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from examples.crm.agents import prices
from examples.crm.agents.gate_tools import CustomerScope, GateTools
from examples.crm.agents.model import AgentTask, Exchange, Model, ModelError, ModelStep, ToolCall
from examples.crm.agents.roles import MESSAGE, PROMPT_VERSION, AgentRole

MAX_STEPS = 8  # of the model for one answer
MAX_CALLS = 8  # tools of one step
MAX_TEXT = 20_000  # characters of an answer, as the gate takes it
MAX_REASON = 2_000  # characters of a reason and of an input
MAX_REASONS = 20
OWN = frozenset({"personal", "generalised"})


@dataclass(frozen=True, slots=True)
class CallRecord:
    """`refused`: why nothing was answered. `entry`: of the read log, if the gate wrote one."""

    tool: str
    arguments: Mapping[str, Any]
    refused: str | None
    entry: int | None


@dataclass(slots=True)
class AgentAnswer:
    """`text`: what the agent would send. `proposal`: where it waits; None: nothing waits.

    `faults`: of its prices. `decision`: the explained decision. `tokens`: that the model used.
    """

    text: str = ""
    faults: tuple[str, ...] = ()
    proposal: int | None = None
    decision: int | None = None
    tokens: int = 0
    calls: list[CallRecord] = field(default_factory=list)


async def answer(gate: GateTools, model: Model, role: AgentRole, customer: str) -> AgentAnswer:
    """Without a text if the customer's message may not be read, or is not there.

    Raises ModelError and AgentGateError.
    """
    done, scope = AgentAnswer(), CustomerScope(customer, role.person)
    use = {"scene": role.scene, "fields": [*role.fields], "purpose": role.purpose}
    first = await gate.required("read_customer", use | scope.bound)
    done.calls.append(CallRecord("read_customer", use, None, first["entry"]))
    if not _own(first).get(MESSAGE):
        return done
    task = AgentTask(f"{role.prompt}\n{prices.listed()}", first["fields"], await gate.offers())
    done.text = await _written(gate, model, task, scope, done)
    await _hand_in(gate, scope, done)
    done.decision = await _explain(gate, model, scope, first, done)
    return done


async def _written(
    gate: GateTools, model: Model, task: AgentTask, scope: CustomerScope, done: AgentAnswer
) -> str:
    """The model's text, after the tools that it asked for."""
    exchanges: list[Exchange] = []
    for _ in range(MAX_STEPS):
        step = await model.step(task, exchanges)
        done.tokens += step.tokens
        if not step.calls:
            return _bounded(step)
        answers = [await _called(gate, scope, each, done) for each in step.calls[:MAX_CALLS]]
        answers += [{"error": "too-many-calls"} for _ in step.calls[MAX_CALLS:]]
        exchanges.append(Exchange(step, tuple(answers)))
    raise ModelError(f"{model.name}: no text after {MAX_STEPS} steps")


async def _called(
    gate: GateTools, scope: CustomerScope, call: ToolCall, done: AgentAnswer
) -> Mapping[str, Any]:
    refused = scope.refusal(call)
    if refused is not None:
        facts: dict[str, Any] = {"error": "outside-conversation", "detail": refused}
    else:
        facts = await gate.call(call.name, scope.arguments(call))
        if "error" in facts:
            refused = f"{facts['error']}: {facts.get('detail', '')}"
    done.calls.append(CallRecord(call.name, call.arguments, refused, facts.get("entry")))
    return facts


async def _hand_in(gate: GateTools, scope: CustomerScope, done: AgentAnswer) -> None:
    done.faults = prices.faults(done.text)
    operations = ["giveaway"] if done.faults else []
    proposed = await gate.required(
        "propose_action", {"text": done.text, "operations": operations} | scope.bound
    )
    done.proposal = proposed["number"] if proposed["waits"] else None


async def _explain(
    gate: GateTools, model: Model, scope: CustomerScope, first: Mapping[str, Any], done: AgentAnswer
) -> int:
    inputs = {name: _scalar(value) for name, value in _own(first).items()}
    about = {
        "outcome": "an answer was drafted; nothing is sent before a person decides",
        "inputs": inputs,
        "reasons": _path(done),
        "model": model.name,
        "model_version": model.version,
        "prompt_version": PROMPT_VERSION,
        "tokens": done.tokens,
        "read_log": first["read_log"],
        "entry": first["entry"],
    }
    explained = await gate.required("explain_decision", about | scope.bound)
    return int(explained["number"])


def _path(done: AgentAnswer) -> list[str]:
    """How the agent came to its text, in order."""
    path = []
    for each in done.calls:
        happened = f"refused: {each.refused}" if each.refused else f"read-log entry {each.entry}"
        path.append(f"{each.tool}: {happened}"[:MAX_REASON])
    more = len(path) - (MAX_REASONS - 2)
    path = path[: MAX_REASONS - 2] + ([f"and {more} more calls"] if more > 0 else [])
    waits = "waits for a person" if done.proposal is not None else "kept as a draft"
    why = f", prices: {'; '.join(done.faults)}" if done.faults else ""
    return [*path, f"text: {waits}{why}"[:MAX_REASON]]


def _own(read: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the customer allows, by field."""
    return {n: each["value"] for n, each in read["fields"].items() if each["view"] in OWN}


def _scalar(value: Any) -> str | int | bool | None:
    """An explanation takes no fractions: they go as text."""
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)[:MAX_REASON]


def _bounded(step: ModelStep) -> str:
    if not 0 < len(step.text.strip()) <= MAX_TEXT:
        raise ModelError(f"want a text of 1 to {MAX_TEXT} characters, got {len(step.text)}")
    return step.text
