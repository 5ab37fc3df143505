"""G210: long batches of one service leave others room."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate_http import request
from gate.http.app import GateApp
from gate.http.evaluations import SLICE
from gate.http.serving.turns import LONG, ServiceTurns
from ledger.events.envelope import Granted
from tests.gate.world import NOON, World, world

EVALUATION, BATCH = "/access/v1/evaluation", "/access/v1/evaluations"
ONE: dict[str, Any] = {
    "action": {"name": "read"},
    "resource": {"type": "customer", "id": "c1"},
    "context": {"scene": "segmentation", "fields": ["age"]},
}


class ByName:
    """Takes the header for the service's name."""

    def service(self, headers: Mapping[bytes, bytes]) -> str:
        return headers[b"authorization"].decode()


@pytest.fixture
def app(tmp_path: Path) -> GateApp:
    return GateApp(_granted(tmp_path).gate, ByName(), clock=lambda: NOON)


def _granted(home: Path) -> World:
    bank = world(home)
    bank.says("c1", Granted("segmentation", ("age",), None))
    return bank


async def _ask(app: GateApp, service: str, path: str, body: Mapping[str, Any]) -> int:
    by = {"subject": {"type": "service", "id": service}}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"authorization", service.encode()), (b"host", b"gate")],
        "http_version": "1.1",
    }
    return await request(app, scope, json.dumps(by | dict(body)).encode())


def _batch(number: int, semantic: str) -> dict[str, Any]:
    """As many evaluations, none of which ends the batch."""
    who = "c1" if semantic == "deny_on_first_deny" else "c2"
    each = {"resource": {"type": "customer", "id": who}}
    return ONE | {"evaluations": [each] * number, "options": {"evaluations_semantic": semantic}}


@pytest.mark.parametrize("semantic", ["permit_on_first_permit", "deny_on_first_deny"])
def test_others_are_answered_while_a_batch_is_worked(app: GateApp, semantic: str) -> None:
    async def ask() -> None:
        batch = asyncio.create_task(_ask(app, "analytics", BATCH, _batch(150 * SLICE, semantic)))
        answered = 0
        while not batch.done():
            assert await _ask(app, "crm", EVALUATION, ONE) == 200
            answered += not batch.done()
        assert await batch == 200
        assert answered >= 10

    asyncio.run(ask())


def test_a_batch_with_malformed_elements_is_worked_in_slices_too(app: GateApp) -> None:
    async def ask() -> None:
        body = _batch(150 * SLICE, "execute_all")
        body["evaluations"][-1] = {"resource": "none"}
        batch = asyncio.create_task(_ask(app, "analytics", BATCH, body))
        answered = 0
        while not batch.done():
            assert await _ask(app, "crm", EVALUATION, ONE) == 200
            answered += not batch.done()
        assert await batch == 200
        assert answered >= 10

    asyncio.run(ask())


def test_a_batch_is_one_entry_although_others_ask_in_between(tmp_path: Path) -> None:
    """G45: nothing that the decisions rest on has changed."""
    bank = _granted(tmp_path)
    seconds = iter(range(10**6))
    app = GateApp(bank.gate, ByName(), clock=lambda: NOON.replace(second=next(seconds) % 60))

    async def ask() -> None:
        body = _batch(20 * SLICE, "permit_on_first_permit")
        batch = asyncio.create_task(_ask(app, "analytics", BATCH, body))
        others = 0
        while not batch.done():
            await _ask(app, "crm", EVALUATION, ONE)
            others += 1
        assert bank.gate.journal.log.size == others + 1

    asyncio.run(ask())


def test_services_take_turns_with_long_batches() -> None:
    async def ask() -> None:
        turns, order = ServiceTurns(), list[str]()

        async def work(service: str) -> None:
            async with turns.turn(service, LONG):
                order.append(service)
                await asyncio.sleep(0)

        hostile = [asyncio.create_task(work("hostile")) for _ in range(50)]
        await asyncio.sleep(0)
        await asyncio.gather(work("one"), work("other"))
        assert order[:4].count("hostile") <= 2
        async with turns.turn("short", LONG - 1):  # waits for nobody
            assert len(order) < 50
        await asyncio.gather(*hostile)
        assert sorted(set(order)) == ["hostile", "one", "other"]

    asyncio.run(ask())
