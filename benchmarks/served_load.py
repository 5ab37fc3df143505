"""Load for `benchmarks.served`, in a process of its own: keep-alive connections to one server.

Closed: each connection asks again as soon as it is answered. Open: requests are due at a steady
rate, however slowly the server answers, and their time counts from when they were due.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TICK_S = 0.001  # between looks at what is due


@dataclass(frozen=True, slots=True)
class Load:
    """`per_s`: None: as fast as it is answered. `bodies`: sent one after the other."""

    port: int
    path: str
    bodies: Sequence[Mapping[str, Any]]
    token: str
    connections: int = 64
    seconds: float = 4.0
    per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """Requests of one status, and their times in milliseconds."""

    count: int
    p50: float
    p99: float
    worst: float


class Running:
    """A load that runs in another process."""

    def __init__(self, load: Load) -> None:
        self._seconds = load.seconds
        asked = json.dumps({name: getattr(load, name) for name in Load.__slots__})
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from benchmarks.served_load import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdin is None:
            raise AssertionError("it was opened with a pipe")
        self._process.stdin.write(asked)
        self._process.stdin.close()
        self._process.stdin = None

    def done(self) -> dict[int, Answered]:
        """By status; raises CalledProcessError."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise subprocess.CalledProcessError(self._process.returncode, "the load")
        return {int(status): Answered(**each) for status, each in json.loads(output).items()}


def main() -> None:
    load = Load(**json.load(sys.stdin))
    times = asyncio.run(_Driver(load).driven())
    print(json.dumps({status: _summed(sorted(each)) for status, each in times.items()}))


def _summed(times: list[float]) -> dict[str, float]:
    at = {
        name: times[int(len(times) * share)] * 1e3 for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return {"count": len(times), **at, "worst": times[-1] * 1e3}


class _Driver:
    """Runs one load. Times are those of requests that were answered before its end."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.requests = [_request(load, each) for each in load.bodies]
        self.sent = 0
        self.times: dict[int, list[float]] = {}
        self.free: deque[_Client] = deque()
        self.due: deque[float] = deque()  # when requests were due for which no connection is free
        self.is_over = False

    async def driven(self) -> dict[int, list[float]]:
        loop = asyncio.get_running_loop()
        for _ in range(self.load.connections):
            await loop.create_connection(lambda: _Client(self), "127.0.0.1", self.load.port)
        if self.load.per_s is None:
            for each in [*self.free]:
                each.ask(time.perf_counter())
            await asyncio.sleep(self.load.seconds)
        else:
            await self._open(self.load.per_s)
        self.is_over = True
        return self.times

    async def _open(self, per_s: float) -> None:
        start, begun = time.perf_counter(), 0
        while (now := time.perf_counter()) < start + self.load.seconds:
            while begun < (now - start) * per_s:
                self.due.append(start + begun / per_s)
                begun += 1
            while self.due and self.free:
                self.free.popleft().ask(self.due.popleft())
            await asyncio.sleep(TICK_S)

    def next(self) -> bytes:
        self.sent += 1
        return self.requests[self.sent % len(self.requests)]

    def answered(self, client: "_Client", status: int, took: float) -> None:
        if self.is_over:
            return
        self.times.setdefault(status, []).append(took)
        if self.load.per_s is None:
            client.ask(time.perf_counter())
        elif self.due:
            client.ask(self.due.popleft())
        else:
            self.free.append(client)


class _Client(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, driver: _Driver) -> None:
        self._driver, self._got = driver, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write: Callable[[bytes], None] = transport.write  # type: ignore[attr-defined] # of a stream
        self._driver.free.append(self)

    def ask(self, due: float) -> None:
        self._due = due
        self._write(self._driver.next())

    def data_received(self, data: bytes) -> None:
        got = self._got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        place = got.lower().find(b"content-length:", 0, end)
        if len(got) < end + 4 + int(got[place + 15 : got.find(b"\r\n", place)]):
            return
        self._got = b""
        self._driver.answered(self, int(got[9:12]), time.perf_counter() - self._due)


def _request(load: Load, body: Mapping[str, Any]) -> bytes:
    sent = json.dumps(body).encode()
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {load.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
    )
    return head.encode() + sent
