"""AuthZEN decisions with a durable read log over real sockets, for several HTTP servers.

The server runs in its own process, with 64 keep-alive connections and one request at a time on
each. `CPU` counts the time of the server's process only. Servers that are not installed are skipped
with a message: `uv pip install httptools uvloop granian`.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gate_http import NOW, PEOPLE, Anybody, one
from benchmarks.table import Row, show
from gate.http.app import GateApp
from ledger.events.envelope import Granted
from tests.gate.world import world

CONNECTIONS = 64
REQUESTS = int(os.environ.get("REQUESTS", "30000"))
SERVERS = {
    "uvicorn, h11, asyncio": ("uvicorn", "h11", "asyncio"),
    "uvicorn, httptools, asyncio": ("uvicorn", "httptools", "asyncio"),
    "uvicorn, httptools, uvloop": ("uvicorn", "httptools", "uvloop"),
    "granian, uvloop": ("granian", "", "uvloop"),
}


def main() -> None:
    rows = []
    for name, chosen in SERVERS.items():
        if (row := measured(name, *chosen)) is not None:
            rows.append(row)
    rows.sort(key=lambda row: -row.per_s)
    show("AuthZEN over sockets, durable read log, one process", "requests", rows)


def measured(name: str, server: str, http: str, loop: str) -> Row | None:
    try:
        for each in (server, http, loop):
            __import__(each or server)
    except ImportError as error:
        print(f"  skipped: {name}: {error}")
        return None
    with TemporaryDirectory() as home, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, "-c", _SERVE, server, http, loop, str(port), home]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
            try:
                asyncio.run(_ready(port))
                asyncio.run(_driven(port, REQUESTS // 10))
                before = _cpu_s(serving.pid)
                took, times = asyncio.run(_driven(port, REQUESTS))
                spent = _cpu_s(serving.pid) - before
            finally:
                serving.terminate()
    p50, p99 = (sorted(times)[int(len(times) * q)] * 1e3 for q in (0.5, 0.99))
    note = f"CPU {REQUESTS / spent:,.0f}/s, p50 {p50:.3g} ms, p99 {p99:.3g} ms"
    return Row(name, REQUESTS / took, note)


_SERVE = """
import sys
from benchmarks import gate_socket
gate_socket.serve(*sys.argv[1:])
"""


def serve(server: str, http: str, loop: str, port: str, home: str) -> None:
    bank = world(Path(home))
    for n in range(PEOPLE):
        bank.says(f"c{n}", Granted("segmentation", ("age",), None))
    app = GateApp(bank.gate, Anybody(), clock=lambda: NOW)
    if server == "granian":
        from granian.server.embed import Server

        asyncio.run(Server(app, port=int(port), interface="asginl").serve())
        return
    import uvicorn

    uvicorn.run(app, port=int(port), http=http, loop=loop, log_level="critical", lifespan="off")


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _ready(port: int) -> None:
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise AssertionError("the server does not start")


class _Client(asyncio.Protocol):
    """One connection: the next request when the answer is there."""

    def __init__(self, left: list[bytes], times: list[float], idle: Callable[[], None]) -> None:
        self._left, self._times, self._idle = left, times, idle
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # it is one
        self._next()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise AssertionError(head)
        self._times.append(time.perf_counter() - self._start)
        self._got = b""
        self._next()

    def _next(self) -> None:
        if not self._left:
            self._idle()
            return
        self._start = time.perf_counter()
        self._transport.write(self._left.pop())


async def _driven(port: int, count: int) -> tuple[float, list[float]]:
    requests = []
    for n in range(PEOPLE):
        body = json.dumps(one(n)).encode()
        head = (
            "POST /access/v1/evaluation HTTP/1.1\r\n"
            "Host: gate\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    left = [requests[n % PEOPLE] for n in range(count)]
    times: list[float] = []
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    working = CONNECTIONS

    def idle() -> None:
        nonlocal working
        working -= 1
        if not working:
            done.set()

    start = time.perf_counter()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Client(left, times, idle), "127.0.0.1", port)
    await done.wait()
    return time.perf_counter() - start, times
