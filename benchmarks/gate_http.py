"""AuthZEN decisions with a durable Merkle read log, beside a FastAPI application that does nothing.

Both are driven as ASGI applications by the same loop of concurrent requests, without sockets: what
is compared is what each does per request on one core. Durable means: no answer before its fsync.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.table import Row, show
from gate.http import GateApp
from ledger.event import Granted
from tests.gate.world import world

REQUESTS = 20_000
BATCHES = 200
TOGETHER = 512  # requests under way at once
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
App = Callable[[Mapping[str, Any], Any, Any], Awaitable[None]]


class Anybody:
    def service(self, _headers: Mapping[bytes, bytes]) -> str:
        return "analytics"


def main() -> None:
    question = {
        "subject": {"type": "service", "id": "analytics"},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": "c1"},
        "context": {"scene": "segmentation", "fields": ["age"]},
    }
    batch = question | {"evaluations": [{}] * 100}
    with TemporaryDirectory() as home:
        bank = world(Path(home))
        bank.says("c1", Granted("segmentation", ("age",), None))
        gate = GateApp(bank.gate, Anybody(), clock=lambda: NOW)
        before = bank.gate.journal.log.size
        one = asyncio.run(drive(gate, "/access/v1/evaluation", question, REQUESTS))
        hundred = asyncio.run(drive(gate, "/access/v1/evaluations", batch, BATCHES))
        written = bank.gate.journal.log.size - before
    if written != REQUESTS + 100 * BATCHES:
        raise AssertionError(f"{written} entries in the read log, want one per decision")
    rows = [
        Row("evaluation, journalled", one[0], f"p99 {one[1] * 1e3:.3g} ms with {TOGETHER} waiting"),
        Row("FastAPI that echoes", asyncio.run(drive(echo(), "/echo", question, REQUESTS))[0]),
    ]
    show("AuthZEN over ASGI, durable read log, one core", "requests", rows)
    show(
        "Batches of 100 evaluations, journalled",
        "decisions",
        [Row("decisions in batches", hundred[0] * 100)],
    )


def echo() -> App:
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/echo")
    async def _echo(asked: dict[str, Any]) -> dict[str, Any]:
        return asked

    return app  # type: ignore[return-value] # an ASGI application all the same


async def drive(app: App, path: str, asked: object, count: int) -> tuple[float, float]:
    """Requests a second, and the 99th percentile of their times in seconds."""
    body = json.dumps(asked).encode()
    headers = [(b"content-type", b"application/json"), (b"host", b"gate")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    left = iter(range(count))
    times: list[float] = []

    async def worker() -> None:
        for _ in left:
            start = time.perf_counter()
            if await request(app, dict(scope), body) != 200:
                raise AssertionError("a request failed")
            times.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(min(TOGETHER, count))))
    return count / (time.perf_counter() - start), sorted(times)[int(len(times) * 0.99)]


async def request(app: App, scope: Mapping[str, Any], body: bytes) -> int:
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    await app(scope, receive, send)
    return status[0]
