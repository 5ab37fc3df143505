"""What a model is to an agent: it reads a task, asks for tools, and ends with a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class ModelError(RuntimeError):
    """The model gave no answer, or one that is not understood. Nothing was handed in."""


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """A tool that the model may ask for. `schema`: JSON schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelStep:
    """`calls`: tools to call before the next step; without any, `text` is the answer.

    `tokens`: read and written for this step.
    """

    calls: tuple[ToolCall, ...]
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A step that asked for tools, and what each call was answered, in order."""

    step: ModelStep
    answers: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class AgentTask:
    """`fields`: the customer's, as the gate marked them. The customer's text is among them."""

    prompt: str
    fields: Mapping[str, Mapping[str, Any]]
    tools: Sequence[ToolOffer]


class Model(Protocol):
    """Keeps nothing from one task to the next; `step` is called again with all exchanges so far."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    async def step(self, task: AgentTask, exchanges: Sequence[Exchange]) -> ModelStep:
        """Raises ModelError."""
