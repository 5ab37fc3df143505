"""A request says once who asks (RFC 9110, section 5.3): a proxy may look at the other header."""

import asyncio
from collections.abc import MutableSequence
from pathlib import Path
from typing import Any

import pytest

from gate.http.app import GateApp
from tests.gate.world import world

BODY = b'{"scene":"segmentation","customer":"c1","fields":["age"]}'
JSON = (b"content-type", b"application/json")


class AsSent:
    """The service that the last header names, as a dictionary of headers has it."""

    def service(self, headers: Any) -> str | None:
        return str(headers.get(b"authorization", b"").decode()) or None


def status(app: GateApp, *headers: tuple[bytes, bytes]) -> int:
    sent: MutableSequence[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/read", "headers": [JSON, *headers]}
    asyncio.run(app(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize("name", [b"authorization", b"dpop"])
def test_a_header_that_says_who_asks_is_sent_once(tmp_path: Path, name: bytes) -> None:
    app = GateApp(world(tmp_path).gate, AsSent())
    who = (b"authorization", b"analytics")
    assert status(app, who) == 200
    assert status(app, who, (b"x-forwarded-for", b"a"), (b"x-forwarded-for", b"b")) == 200
    assert status(app, who, (name, b"crm"), (name, b"analytics")) == 400
