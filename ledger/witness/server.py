"""An HTTP server for a witness: an ASGI application for submissions and for monitors.

POST /add-checkpoint                           a submission
GET  /<SHA-256 of an origin, hex>/checkpoint   the newest checkpoint of that log it cosigned
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ledger.witness.witness import MAX_BYTES, TEXT, Reply, Witness

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]
_MONITORED = re.compile(r"/([0-9a-f]{64})/checkpoint\Z")


def app(witness: Witness) -> Asgi:
    """An ASGI application that serves `witness` under any prefix."""

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _answer(send, await _reply(witness, scope, receive))

    return serve


async def _reply(witness: Witness, scope: Message, receive: Receive) -> Reply:
    if (monitored := _MONITORED.search(scope["path"])) is not None:
        if scope["method"] not in {"GET", "HEAD"}:
            return Reply(405, "want GET\n")
        return await asyncio.to_thread(witness.recent, monitored[1])
    if not scope["path"].endswith("/add-checkpoint"):
        return Reply(404, "want POST /add-checkpoint\n")
    if scope["method"] != "POST":
        return Reply(405, "want POST\n")
    body = await _body(receive)
    if body is None:
        return Reply(413, f"want at most {MAX_BYTES} bytes\n")
    return await asyncio.to_thread(witness.add_checkpoint, body)


async def _body(receive: Receive) -> bytes | None:
    """The request's body, or None if it is too long to be a submission."""
    parts, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        more, size = message.get("more_body", False), size + len(part)
        if size > MAX_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


async def _answer(send: Send, reply: Reply) -> None:
    headers = [(b"content-type", (reply.content_type or TEXT).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body.encode()})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
