"""Decisions and reads of the served product, beside an echo on the same server.

`sovereign serve` and `sovereign gate serve` run over one data directory of real rows, with durable
entries; 64 keep-alive connections ask from another process of the same machine. The echo is a bare
ASGI application on the product's own server. `CPU` is the rate per second of processor time of the
process that answers. Then three times as many requests as it can answer are due.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks import growth_directory
from benchmarks.served_load import Answered, Load, Running
from tests.features.loopback import free_port
from tests.features.served import INSTALLED, Site, wait_for

CUSTOMERS = 2000
SECONDS = float(os.environ.get("SECONDS", "4"))
TOKEN = f"demo-{growth_directory.SERVICE}"
EVALUATION, READ = "/access/v1/evaluation", "/v1/read"
OVER = 3  # times capacity
OPEN_CONNECTIONS = 512


def main() -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder) / "served"
        copytree(growth_directory.directory(Path(folder), CUSTOMERS), home)
        with _served(home) as (portal, gate), _echo() as bare:
            echo = _shown("echo, on the same server", bare, "/", EVALUATIONS, None)
            for name, server in (("gate", gate), ("portal", portal)):
                evaluation = _shown(f"{name}: evaluation", server, EVALUATION, EVALUATIONS, echo)
                read = _shown(f"{name}: read of one", server, READ, READS, echo)
                _over(f"{name}: evaluation", server, EVALUATION, EVALUATIONS, evaluation)
                _over(f"{name}: read of one", server, READ, READS, read)
                _beside(name, server)


def _evaluation(number: int) -> dict[str, Any]:
    return {
        "subject": {"type": "service", "id": growth_directory.SERVICE},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": growth_directory.name(number)},
        "context": {"scene": growth_directory.SCENE, "fields": [growth_directory.FIELD]},
    }


def _read(number: int) -> dict[str, Any]:
    return {
        "scene": growth_directory.SCENE,
        "customer": growth_directory.name(number),
        "fields": [growth_directory.FIELD],
    }


EVALUATIONS = [_evaluation(number) for number in range(CUSTOMERS)]
READS = [_read(number) for number in range(CUSTOMERS)]


CARE = [
    _evaluation(number)
    | {
        "subject": {"type": "service", "id": "customer-care"},
        "context": {"scene": "contract-service", "fields": ["balance"]},
    }
    for number in range(CUSTOMERS)
]
_MANY = [{"resource": each["resource"]} for each in EVALUATIONS] * 5
_NOBODY = [{"resource": {"type": "customer", "id": f"nobody-{n}"}} for n in range(5 * CUSTOMERS)]
HOSTILE = {
    f"batches of {len(_MANY):,}": (
        "/access/v1/evaluations",
        [EVALUATIONS[0] | {"evaluations": _MANY}],
    ),
    f"permit_on_first_permit of {len(_NOBODY):,}": (
        "/access/v1/evaluations",
        [
            EVALUATIONS[0]
            | {
                "evaluations": _NOBODY,
                "options": {"evaluations_semantic": "permit_on_first_permit"},
            }
        ],
    ),
    "searches": (
        "/access/v1/search/resource",
        [EVALUATIONS[0] | {"resource": {"type": "customer"}, "page": {"limit": 1000}}],
    ),
}


class _Server:
    """A process that serves."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def spent_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _shown(
    name: str, server: _Server, path: str, bodies: list[dict[str, Any]], echo: float | None
) -> float:
    """Measure with 64 connections and print; returns requests a second."""
    Running(Load(server.port, path, bodies, TOKEN, seconds=1)).done()  # once that does not count
    before = server.spent_s()
    found = Running(Load(server.port, path, bodies, TOKEN, seconds=SECONDS)).done()
    spent = server.spent_s() - before
    if set(found) != {200}:
        raise AssertionError(f"{name}: {found}")
    each = found[200]
    rate = each.count / SECONDS
    share = "" if echo is None else f", {rate / echo:.0%} of the echo"
    print(
        f"  {name:<28} {rate:>8,.0f}/s, CPU {each.count / spent:>7,.0f}/s,"
        f" p50 {each.p50:.1f} ms, p99 {each.p99:.1f} ms{share}"
    )
    return rate


def _over(
    name: str, server: _Server, path: str, bodies: list[dict[str, Any]], capacity: float
) -> None:
    """As many requests as it can answer, times OVER, and what becomes of them."""
    load = Load(server.port, path, bodies, TOKEN, OPEN_CONNECTIONS, SECONDS, per_s=OVER * capacity)
    found = Running(load).done()
    due = OVER * capacity * SECONDS
    taken, told = found.get(200, _NONE), found.get(503, _NONE)
    print(
        f"    at {OVER} x: {taken.count / SECONDS:,.0f}/s answered, p50 {taken.p50:.1f} ms, p99"
        f" {taken.p99:.1f} ms; {told.count / SECONDS:,.0f}/s told to come again, p50"
        f" {told.p50:.1f} ms, p99 {told.p99:.1f} ms; {(taken.count + told.count) / due:.0%} of"
        " what was due"
    )
    if unknown := set(found) - {200, 503}:
        raise AssertionError(f"{name}: statuses {unknown}")


def _beside(name: str, server: _Server) -> None:
    """How long a neighbour with four connections waits beside a service that asks for much."""
    neighbour = Load(server.port, EVALUATION, CARE, "demo-customer-care", 4, SECONDS)
    alone = Running(neighbour).done()[200]
    print(f"  {name}: a neighbour alone: p50 {alone.p50:.1f} ms, p99 {alone.p99:.1f} ms")
    for what, (path, bodies) in HOSTILE.items():
        hostile = Running(Load(server.port, path, bodies, TOKEN, 8, SECONDS + 2))
        time.sleep(1)
        beside = Running(neighbour).done()[200]
        hostile.done()
        print(
            f"    beside {what}: p50 {beside.p50:.1f} ms, p99 {beside.p99:.1f} ms,"
            f" {beside.p99 / alone.p99:.1f} x"
        )


_NONE = Answered(0, 0.0, 0.0, 0.0)


@contextmanager
def _served(home: Path) -> Iterator[tuple[_Server, _Server]]:
    """The portal and a gate of its own."""
    log = home.with_suffix(".log")
    site = Site(home, log, INSTALLED)
    with site.serving():
        if site.process is None:
            raise AssertionError("it serves")
        portal = _Server(int(site.address.rpartition(":")[2]), site.process.pid)
        port = free_port()
        gate = INSTALLED.begin(
            *("gate", "serve", "--data-dir", home, "--port", str(port)),
            log=log,
            SOVEREIGN_DEMO="true",
        )
        try:
            wait_for(lambda: _answers(port, "/healthz"), "answer of the gate")
            yield portal, _Server(port, gate.pid)
        finally:
            gate.send_signal(signal.SIGTERM)
            gate.wait()


@contextmanager
def _echo() -> Iterator[_Server]:
    port = free_port()
    served = f"from benchmarks.served import echo; echo({port})"
    with subprocess.Popen([sys.executable, "-c", served]) as process:
        try:
            wait_for(lambda: _answers(port, "/"), "answer of the echo")
            yield _Server(port, process.pid)
        finally:
            process.terminate()


def echo(port: int) -> None:
    """Serve an application that answers with what it was sent."""
    import gc

    from gate.http.serving import server
    from gate.http.serving.bounds import Limits

    gc.collect()
    gc.freeze()
    server.run(_echoing, "127.0.0.1", port, Limits(), lifespan="off")


async def _echoing(
    _scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200
    except httpx.TransportError:
        time.sleep(0.1)
        return False
