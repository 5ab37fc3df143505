"""A client of the gate's HTTP API for services. Needs httpx and msgspec, nothing of the product.

    from sovereign_client import Client, Personal, Synthetic

    with Client("https://gate.example", "sovereign_sk_…") as gate:
        answer = gate.read("segmentation", "c00007", ["age"])
        match answer["age"]:
            case Personal(value): ...          # the customer's own value
            case Synthetic(drawn): ...         # never tell it to the customer as theirs

`client` and `async_client` send what `calls` describes and decode what arrives by `answers` and
`rows`; neither of these does I/O. `errors` lists what can go wrong: any error means no data.
`retries` decides whether to ask again, `tokens` gets access tokens from an OAuth issuer.
"""

from sovereign_client.answers import (
    Answer,
    Change,
    Decision,
    Entity,
    Question,
    Use,
    UsedField,
    Uses,
    may_read,
)
from sovereign_client.async_client import AsyncClient, AsyncRowStream
from sovereign_client.calls import Condition
from sovereign_client.client import Client, RowStream
from sovereign_client.errors import (
    DroppedError,
    GateError,
    IncompleteError,
    MalformedError,
    NoAnswerError,
    NotPersonalError,
    ProblemError,
    QuotaError,
    RefusedError,
    TokenError,
    UnauthenticatedError,
    UnavailableError,
    UnknownAnswerError,
)
from sovereign_client.retries import Retries
from sovereign_client.rows import Completion, CustomerRow, Evidence, NamedRow, TableRow
from sovereign_client.session import Credentials
from sovereign_client.tokens import AsyncClientCredentials, ClientCredentials
from sovereign_client.values import Generalised, Personal, Synthetic, Value, Withheld

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncClientCredentials",
    "AsyncRowStream",
    "Change",
    "Client",
    "ClientCredentials",
    "Completion",
    "Condition",
    "Credentials",
    "CustomerRow",
    "Decision",
    "DroppedError",
    "Entity",
    "Evidence",
    "GateError",
    "Generalised",
    "IncompleteError",
    "MalformedError",
    "NamedRow",
    "NoAnswerError",
    "NotPersonalError",
    "Personal",
    "ProblemError",
    "Question",
    "QuotaError",
    "RefusedError",
    "Retries",
    "RowStream",
    "Synthetic",
    "TableRow",
    "TokenError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnknownAnswerError",
    "Use",
    "UsedField",
    "Uses",
    "Value",
    "Withheld",
    "may_read",
]
