"""A model behind an OpenAI-compatible endpoint: POST <url>/chat/completions with tools.

CRM_MODEL_URL    e.g. http://localhost:11434/v1
CRM_MODEL        the model's name there
CRM_MODEL_KEY    a bearer token, if the endpoint wants one
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from examples.crm.agents.model import AgentTask, Exchange, ModelError, ModelStep, ToolCall

TIMEOUT_S = 120.0


class _Function(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class _Call(msgspec.Struct, frozen=True):
    id: str
    function: _Function


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message


class _Usage(msgspec.Struct, frozen=True):
    total_tokens: int


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    usage: _Usage
    model: str


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """`url`: without /chat/completions. `key`: sent as a bearer token, if there is one."""

    url: str
    name: str
    key: str | None = field(default=None, repr=False)

    @property
    def version(self) -> str:
        """The endpoint states none: which weights answer under the name is its own affair."""
        return f"as served at {self.url}"[:200]

    async def step(self, task: AgentTask, exchanges: Sequence[Exchange]) -> ModelStep:
        tools = [
            {
                "type": "function",
                "function": {
                    "name": each.name,
                    "description": each.description,
                    "parameters": dict(each.schema),
                },
            }
            for each in task.tools
        ]
        messages = [*_messages(task, exchanges)]
        return await self._asked({"model": self.name, "messages": messages, "tools": tools})

    async def _asked(self, body: Mapping[str, Any]) -> ModelStep:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        place = f"{self.url.rstrip('/')}/chat/completions"
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, headers=headers) as client:
                answer = await client.post(place, json=dict(body))
        except httpx.HTTPError as error:
            raise ModelError(f"{place}: no answer: {type(error).__name__}") from error
        if answer.status_code != 200:  # noqa: PLR2004
            raise ModelError(f"{place}: want status 200, got {answer.status_code}")
        return _step(place, answer.content)


def _messages(task: AgentTask, exchanges: Sequence[Exchange]) -> Iterator[dict[str, Any]]:
    yield {"role": "system", "content": task.prompt}
    yield {"role": "user", "content": json.dumps(dict(task.fields), ensure_ascii=False)}
    for each in exchanges:
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for call in each.step.calls
        ]
        yield {"role": "assistant", "content": each.step.text or None, "tool_calls": calls}
        for call, facts in zip(each.step.calls, each.answers, strict=True):
            content = json.dumps(dict(facts), ensure_ascii=False)
            yield {"role": "tool", "tool_call_id": call.id, "content": content}


def _step(place: str, body: bytes) -> ModelStep:
    try:
        found = msgspec.json.decode(body, type=_Completion)
        (choice,) = found.choices
        calls = [
            ToolCall(
                each.id,
                each.function.name,
                msgspec.json.decode(each.function.arguments or "{}", type=dict[str, Any]),
            )
            for each in choice.message.tool_calls or []
        ]
    except (msgspec.DecodeError, ValueError) as error:
        raise ModelError(f"{place}: want one chat completion: {error}") from error
    return ModelStep(tuple(calls), choice.message.content or "", found.usage.total_tokens)
