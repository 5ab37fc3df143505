"""Both clients have the same methods, which send the same requests (G184)."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sovereign_client import (
    AsyncClient,
    Client,
    Entity,
    GateError,
    Question,
    RefusedError,
    UnknownAnswerError,
    may_read,
)
from tests.clients.answering import Asked, Reply, answering

QUESTION = may_read("analytics", "segmentation", "c1", ["age"])
FOUND = Question(QUESTION.subject, QUESTION.action, Entity("customer"), QUESTION.context)
ABOUT = {"purpose": "ServiceUsageAnalytics", "minimum_size": 7}
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "read": (("s", "c1", ["age"]), {**ABOUT, "on_behalf_of": "e.mueller"}),
    "rows": (("s", ["age"]), {**ABOUT, "where": [("age", "lt", 25)]}),
    "table": (("s", ["age"]), {**ABOUT, "where": [("job", "in", ["retired"])]}),
    "named": (("s", ["c1", "c2"], ["age"]), ABOUT),
    "rows_arrow": (("s", ["age"]), {"where": [("age", "ge", 2)]}),
    "table_arrow": (("s", ["age"]), {}),
    "decide": ((QUESTION,), {}),
    "decide_all": (([QUESTION, QUESTION], "deny_on_first_deny"), {}),
    "search": (("resource", FOUND), {}),
    "changes": (("token",), {"wait_s": 3}),
    "follow": (("token",), {}),
    "uses": ((), {}),
}


def methods(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(each)
        for name, each in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_g184_both_have_the_same_methods_with_the_same_parameters() -> None:
    plain, with_asyncio = methods(Client), methods(AsyncClient)
    assert plain.pop("close").parameters == with_asyncio.pop("aclose").parameters
    assert {name: each.parameters for name, each in plain.items()} == {
        name: each.parameters for name, each in with_asyncio.items()
    }
    assert plain.keys() == CALLS.keys()


def sent(asked: Asked) -> tuple[list[str], list[bytes], list[dict[str, str]]]:
    known = ("authorization", "accept", "accept-encoding", "content-type")
    return asked.paths, asked.bodies, [{k: h.get(k, "") for k in known} for h in asked.headers]


def _call(client: Client, name: str) -> None:
    words, options = CALLS[name]
    found = getattr(client, name)(*words, **options)
    if isinstance(found, Iterator):
        next(found)
    with found:
        pass


async def _call_with_asyncio(client: AsyncClient, name: str) -> None:
    words, options = CALLS[name]
    found = getattr(client, name)(*words, **options)
    if isinstance(found, AsyncIterator):
        await anext(found)
    if inspect.isawaitable(found):
        await found
    async with found:
        pass


def _plain(address: str, name: str) -> GateError:
    with Client(address, "key") as client, pytest.raises(GateError) as raised:
        _call(client, name)
    return raised.value


async def _with_asyncio(address: str, name: str) -> GateError:
    async with AsyncClient(address, "key") as client:
        with pytest.raises(GateError) as raised:
            await _call_with_asyncio(client, name)
    return raised.value


@pytest.mark.parametrize("name", CALLS)
def test_g184_both_send_the_same_request(name: str) -> None:
    refusal = Reply(403, b'{"title": "no", "reason": "unknown-service"}')
    with answering(lambda _: refusal) as first, answering(lambda _: refusal) as second:
        error = _plain(first.address, name)
        other = asyncio.run(_with_asyncio(second.address, name))
    assert sent(first) == sent(second)
    assert len(first.paths) == 1
    assert first.headers[0]["authorization"] == "Bearer key"
    assert (type(error), str(error)) == (type(other), str(other))
    assert isinstance(error, RefusedError)


PAGES: dict[str, tuple[str, bytes]] = {
    "a search": ("search", b'{"results": [{"id": "c1"}], "page": {"next_token": "again"}}'),
    "the feed": ("changes", b'{"changes": [], "token": "t", "more": true, "hash_key": ""}'),
}


@pytest.mark.parametrize("why", PAGES)
def test_pages_that_do_not_lead_on_are_no_end(why: str) -> None:
    name, body = PAGES[why]
    words, options = CALLS[name]

    async def with_asyncio(address: str) -> list[Any]:
        async with AsyncClient(address, "key") as client:
            return [each async for each in getattr(client, name)(*words, **options)]

    with answering(lambda _: Reply(body=body)) as server:
        with (
            Client(server.address, "key") as client,
            pytest.raises(UnknownAnswerError, match="lead on"),
        ):
            [*getattr(client, name)(*words, **options)]
        with pytest.raises(UnknownAnswerError, match="lead on"):
            asyncio.run(with_asyncio(server.address))
        assert len(server.paths) == 4
