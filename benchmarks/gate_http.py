"""AuthZEN decisions with a durable Merkle read log, compared with an empty FastAPI application.

Both run as ASGI applications under the same loop of concurrent requests, without sockets, so the
comparison is the work per request on one core. Durable means: no answer before its fsync. `CPU` is
the rate of one core without other load and with an instant disk; the difference to the measured
rate is waiting for the disk and for other programs.
"""

import asyncio
import gc
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.table import Row, show
from gate.http.app import GateApp
from gate.storage.journal import JournalStore
from ledger.events.envelope import Granted
from tests.gate.world import World, world

REQUESTS = 20_000
BATCHES = 500
PEOPLE = 1000
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
App = Callable[[Mapping[str, Any], Any, Any], Awaitable[None]]


class Anybody:
    def service(self, _headers: Mapping[bytes, bytes]) -> str:
        return "analytics"


def main() -> None:
    with TemporaryDirectory() as home:
        bank = world(Path(home))
        for n in range(PEOPLE):
            bank.says(f"c{n}", Granted("segmentation", ("age",), None))
        gate = GateApp(bank.gate, Anybody(), clock=lambda: NOW)
        gc.collect()
        gc.freeze()  # as a served gate does: one full collection would halve a figure
        before = bank.gate.journal.log.size
        rows = [
            Driven("evaluation, 64 at once", gate, "/access/v1/evaluation", one, 64, REQUESTS),
            Driven("evaluation, 512 at once", gate, "/access/v1/evaluation", one, 512, REQUESTS),
            Driven("FastAPI that echoes, 64 at once", echo(), "/echo", one, 64, REQUESTS),
        ]
        show("AuthZEN over ASGI, durable read log, one core", "requests", [r.row(1) for r in rows])
        batches = [
            Driven("100 decisions, 8 at once", gate, "/access/v1/evaluations", many, 8, BATCHES),
            Driven("100 decisions, 64 at once", gate, "/access/v1/evaluations", many, 64, BATCHES),
        ]
        show(
            "Batches of 100, each decision in the list of an entry",
            "decisions",
            [r.row(100) for r in batches],
        )
        require_journalled(bank, before)
    print(f"  one fdatasync of 4 KiB here, now: {fsync_ms():.2f} ms (median of 200)")


def one(n: int) -> dict[str, Any]:
    return {
        "subject": {"type": "service", "id": "analytics"},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": f"c{n % PEOPLE}"},
        "context": {"scene": "segmentation", "fields": ["age"]},
    }


def many(n: int) -> dict[str, Any]:
    people = ({"type": "customer", "id": f"c{(n + k) % PEOPLE}"} for k in range(100))
    return one(n) | {"evaluations": [{"resource": each} for each in people]}


def require_journalled(bank: World, before: int) -> None:
    """One entry an answer, and one place in its list for each decision of a batch."""
    written = bank.gate.journal.log.size - before
    warm, batches = 4 * (64 + 512), 2 * BATCHES + 4 * (8 + 64)
    listed = JournalStore(bank.gate.journal.reads, bank.gate.journal.log.size).members.size
    if (written, listed) != (want := (2 * REQUESTS + warm + batches, 100 * batches)):
        raise AssertionError(f"entries and listed decisions: {(written, listed)}, want {want}")


def fsync_ms() -> float:
    times = []
    with TemporaryDirectory() as home, (Path(home) / "file").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return sorted(times)[100] * 1e3


class Driven:
    """An application under so many concurrent requests, and what came of it."""

    def __init__(
        self,
        name: str,
        app: App,
        path: str,
        ask: Callable[[int], object],
        together: int,
        count: int,
    ) -> None:
        self.name = name
        bodies = [json.dumps(ask(n)).encode() for n in range(PEOPLE)]
        asyncio.run(drive(app, path, bodies, together, 4 * together))  # once that does not count
        cpu = time.process_time()
        self.per_s, times = asyncio.run(drive(app, path, bodies, together, count))
        self.per_cpu_s = count / (time.process_time() - cpu)
        self.p50, self.p99 = (sorted(times)[int(len(times) * q)] * 1e3 for q in (0.5, 0.99))

    def row(self, decisions: int) -> Row:
        times = f"p50 {self.p50:.3g} ms, p99 {self.p99:.3g} ms"
        cpu = f"CPU {self.per_cpu_s * decisions:,.0f}/s"
        return Row(self.name, self.per_s * decisions, f"{cpu}, {times}")


def echo() -> App:
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/echo")
    async def _echo(asked: dict[str, Any]) -> dict[str, Any]:
        return asked

    return app  # type: ignore[return-value] # an ASGI application all the same


async def drive(
    app: App, path: str, bodies: list[bytes], together: int, count: int
) -> tuple[float, list[float]]:
    """Requests a second, and the seconds that each took."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"host", b"gate")],
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    left = iter(range(count))
    times: list[float] = []

    async def worker() -> None:
        for n in left:
            start = time.perf_counter()
            if await request(app, dict(scope), bodies[n % len(bodies)]) != 200:
                raise AssertionError("a request failed")
            times.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(min(together, count))))
    return count / (time.perf_counter() - start), times


async def request(app: App, scope: Mapping[str, Any], body: bytes) -> int:
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    await app(scope, receive, send)
    return status[0]
