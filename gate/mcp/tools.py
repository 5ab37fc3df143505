"""The tools of the server: each asks the gate's HTTP API once, and decides nothing itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gate.mcp import marking
from gate.mcp.arguments import (
    MAX_CUSTOMERS,
    ExplainDecision,
    ListUses,
    ProposeAction,
    ReadCustomer,
    ReadCustomers,
    ReviewOfAction,
    ToolArguments,
)
from gate.mcp.service_api import ServiceApi, ToolRefusedError

WAITS = "A person reviews it. Do nothing until review_of_action says what was decided."
NO_REVIEW = "Not among the operations that wait for a person. This server did nothing with it."
PENDING = "Not decided yet, or not a proposal of yours about this customer: do nothing."
RELEASED = "Only `text` may be carried out, word for word; if it is null, nothing may."


@dataclass(frozen=True, slots=True)
class AgentTool:
    """A tool: its name, what a model is told of it, its arguments, and what it does."""

    name: str
    description: str
    arguments: type[ToolArguments]
    run: Callable[[ServiceApi, Any], Awaitable[dict[str, Any]]]
    reads_only: bool = True


async def _list_uses(api: ServiceApi, _: ListUses) -> dict[str, Any]:
    return await api.get("/v1/uses")


async def _read_customer(api: ServiceApi, asked: ReadCustomer) -> dict[str, Any]:
    answer = await api.post("/v1/read", asked.model_dump())
    return marking.marked(answer, asked.customer, asked.scene)


async def _read_customers(api: ServiceApi, asked: ReadCustomers) -> dict[str, Any]:
    """One read after the other, each with an entry of its own; ends at the first error."""
    answers: list[dict[str, Any]] = []
    shared = asked.model_dump(exclude={"customers"})
    customers = [*dict.fromkeys(asked.customers)]
    for place, customer in enumerate(customers):
        try:
            answer = await api.post("/v1/read", shared | {"customer": customer})
        except ToolRefusedError as error:
            if not answers:
                raise
            return {"answers": answers, "not_read": customers[place:], "why": error.facts}
        answers.append(marking.marked(answer, customer, asked.scene))
    return {"answers": answers, "not_read": []}


async def _propose_action(api: ServiceApi, asked: ProposeAction) -> dict[str, Any]:
    body = {"subject": asked.customer} | asked.model_dump(exclude={"customer"})
    answer = await api.post("/v1/proposals", body)
    return answer | {"meaning": WAITS if answer["waits"] else NO_REVIEW}


async def _review_of_action(api: ServiceApi, asked: ReviewOfAction) -> dict[str, Any]:
    path = f"/v1/proposals/{asked.number}/ruling"
    answer = await api.post(path, {"subject": asked.customer})
    return answer | {"meaning": RELEASED if answer["decided"] else PENDING}


async def _explain_decision(api: ServiceApi, asked: ExplainDecision) -> dict[str, Any]:
    body = {"subject": asked.customer} | asked.model_dump(exclude={"customer"})
    return await api.post("/v1/decisions", body)


TOOLS = {
    each.name: each
    for each in (
        AgentTool(
            "list_uses",
            "The scenes, fields and purposes that your service may ask for. Begin here.",
            ListUses,
            _list_uses,
        ),
        AgentTool(
            "read_customer",
            "Read fields of one customer in one scene. Each field is marked: personal, generalised,"
            " synthetic (invented) or withheld, with the reason. The customer sees this read, your"
            " service, and on whose behalf you asked.",
            ReadCustomer,
            _read_customer,
        ),
        AgentTool(
            "read_customers",
            f"As read_customer for up to {MAX_CUSTOMERS} customers whose ids you name; each is a"
            " read of its own, which its customer sees and which counts against your quota.",
            ReadCustomers,
            _read_customers,
        ),
        AgentTool(
            "propose_action",
            "Submit what you are about to send or do to a customer, before you do it. Refunds,"
            " terminations, legal threats and giveaways wait until a person decides.",
            ProposeAction,
            _propose_action,
            reads_only=False,
        ),
        AgentTool(
            "review_of_action",
            "What a person decided about a proposal of yours.",
            ReviewOfAction,
            _review_of_action,
        ),
        AgentTool(
            "explain_decision",
            "Record a decision about a customer with its inputs, reasons, model, prompt version and"
            " tokens. The customer reads it next to the read that it rests on.",
            ExplainDecision,
            _explain_decision,
            reads_only=False,
        ),
    )
}
