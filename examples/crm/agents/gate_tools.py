"""The gate as an agent reaches it: `sovereign mcp`, by the MCP SDK's client.

The program says which customer a conversation is about and who asks, never the model. A call that
says otherwise, or for another tool than OPEN, does not reach the gate.
"""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters

from examples.crm.agents.model import ToolCall, ToolOffer

OPEN = ("list_uses", "read_customer")  # what a model may ask for; the program does the rest
BOUND = ("customer", "on_behalf_of")
TIMEOUT_S = 60.0


class AgentGateError(RuntimeError):
    """The gate refused what the program itself asked, or did not answer."""


@dataclass(frozen=True, slots=True)
class GateTools:
    client: Client

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What a tool answers; a refusal has a member `error`."""
        try:
            result = await self.client.call_tool(tool, dict(arguments))
        except MCPError as error:
            return {"error": "protocol", "detail": error.message}
        facts: dict[str, Any] = result.structured_content or {}
        if result.is_error and "error" not in facts:
            return {"error": "tool", "detail": str(result.content)[:500]}
        return facts

    async def required(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Raises AgentGateError for a refusal."""
        facts = await self.call(tool, arguments)
        if "error" in facts:
            raise AgentGateError(f"{tool}: {facts['error']}: {facts.get('detail', '')}")
        return facts

    async def offers(self) -> tuple[ToolOffer, ...]:
        """The tools of OPEN, without the arguments that the program sets."""
        listed = (await self.client.list_tools()).tools
        return tuple(
            ToolOffer(each.name, each.description or "", _unbound(each.input_schema))
            for each in listed
            if each.name in OPEN
        )


@dataclass(frozen=True, slots=True)
class CustomerScope:
    """The customer that a conversation is about, and the person on whose behalf it asks."""

    customer: str
    person: str

    def refusal(self, call: ToolCall) -> str | None:
        """Why a model's call does not reach the gate; None: it may."""
        if call.name not in OPEN:
            return f"a model may call {', '.join(OPEN)}, not {call.name[:100]!r}"
        for name, own in self.bound.items():
            if (given := call.arguments.get(name, own)) != own:
                return f"{name}: this conversation has its own, got {str(given)[:100]!r}"
        return None

    def arguments(self, call: ToolCall) -> dict[str, Any]:
        """Those that go to the gate."""
        return {**call.arguments} | (self.bound if call.name == "read_customer" else {})

    @property
    def bound(self) -> dict[str, str]:
        return dict(zip(BOUND, (self.customer, self.person), strict=True))


@asynccontextmanager
async def connected(gate: str, token: str) -> AsyncIterator[GateTools]:
    """A process `sovereign mcp` for one service. `gate`: URL. `token`: the service's."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "portal.cli", "mcp", "--gate", gate],
        env={**os.environ, "SOVEREIGN_GATE_TOKEN": token},
    )
    async with Client(command, read_timeout_seconds=TIMEOUT_S) as client:
        yield GateTools(client)


def _unbound(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = {k: v for k, v in schema.get("properties", {}).items() if k not in BOUND}
    required = [each for each in schema.get("required", []) if each not in BOUND]
    return {**schema, "properties": properties, "required": required}
