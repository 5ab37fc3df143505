"""The arguments of each tool. What is not understood is refused: unknown names, other types."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ledger.verify.masked_persons import PERSON_SIZE

MAX_CUSTOMERS = 20  # of one `read_customers`

Name = Annotated[str, Field(min_length=1, max_length=64)]
CustomerId = Annotated[str, Field(min_length=1, max_length=200, description="The customer's id.")]
FieldNames = Annotated[
    list[Name],
    Field(min_length=1, max_length=64, description="Fields of the scene: see list_uses."),
]
SceneName = Annotated[Name, Field(description="One of list_uses.")]
Purpose = Annotated[Name, Field(description="The scene's purpose, a DPV term: see list_uses.")]
Person = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$",
        max_length=PERSON_SIZE,
        description="Id or work address of the employee for whom you ask. The customer sees it.",
    ),
]
Scalar = Annotated[str, Field(max_length=2_000)] | bool | int | None


class ToolArguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class ListUses(ToolArguments):
    pass


class ReadCustomer(ToolArguments):
    scene: SceneName
    customer: CustomerId
    fields: FieldNames
    purpose: Purpose
    on_behalf_of: Person


class ReadCustomers(ToolArguments):
    scene: SceneName
    customers: Annotated[list[CustomerId], Field(min_length=1, max_length=MAX_CUSTOMERS)]
    fields: FieldNames
    purpose: Purpose
    on_behalf_of: Person


class ProposeAction(ToolArguments):
    customer: CustomerId
    text: Annotated[
        str,
        Field(
            min_length=1, max_length=20_000, description="The exact words that you would send or do"
        ),
    ]
    operations: Annotated[
        list[Name],
        Field(max_length=16, description="What it is, if you know: refund, termination, …"),
    ] = []
    on_behalf_of: Person


class ReviewOfAction(ToolArguments):
    customer: CustomerId
    number: Annotated[int, Field(ge=1, le=10**9, description="As propose_action gave it.")]


class ExplainDecision(ToolArguments):
    """An explanation rests on one read: `read_log` and `entry` are those of its answer."""

    customer: CustomerId
    outcome: Annotated[str, Field(min_length=1, max_length=2_000)]
    inputs: Annotated[
        dict[Name, Scalar],
        Field(max_length=64, description="Field and value, as the read answered them."),
    ]
    reasons: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=2_000)]],
        Field(min_length=1, max_length=20),
    ]
    model: Annotated[str, Field(min_length=1, max_length=200)]
    model_version: Annotated[str, Field(min_length=1, max_length=200)]
    prompt_version: Annotated[str, Field(max_length=200)]
    tokens: Annotated[int, Field(ge=0, le=10**9, description="Tokens that the model used.")]
    read_log: Annotated[str, Field(min_length=1, max_length=300)]
    entry: Annotated[int, Field(ge=0, le=(1 << 53) - 1)]
    on_behalf_of: Person
