"""G210, G288 to G292: long batches of one service leave others room."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate_http import request
from gate.http.app import GateApp
from gate.http.evaluations.batch import SLICE
from gate.http.evaluations.batch_text import PIECE
from gate.http.response import HttpError
from gate.http.serving.shares import ServiceShares
from gate.http.serving.turns import LONG, ServiceTurns, ShortRequests
from ledger.events.envelope import Granted, Withdrawn
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


@pytest.mark.parametrize(("services", "each"), [(1, 102), (2, 56), (8, 15), (200, 1)])
def test_g292_a_service_leaves_places_to_others(services: int, each: int) -> None:
    shares, taken = ServiceShares(128), dict.fromkeys(map(str, range(services)), 0)
    while True:
        before = sum(taken.values())
        for service in taken:
            with suppress(HttpError):
                shares.enter(service)
                taken[service] += 1
        if sum(taken.values()) == before:
            break
    assert abs(max(taken.values()) - each) <= 1
    assert min(taken.values()) >= 1
    shares.enter("somebody new")


def test_g292_places_that_are_left_are_free_again() -> None:
    shares = ServiceShares(10)
    for _ in range(100):
        for _ in range(8):
            shares.enter("crm")
        with pytest.raises(HttpError) as refused:
            shares.enter("crm")
        assert (refused.value.problem.status, refused.value.retry_after) == (503, 1)
        for _ in range(8):
            shares.leave("crm")


def test_g292_who_asks_for_much_at_once_is_refused_and_another_service_is_answered(
    tmp_path: Path,
) -> None:
    app = GateApp(_granted(tmp_path).gate, ByName(), clock=lambda: NOON, places=10)

    async def ask() -> None:
        hostile = [asyncio.create_task(_ask(app, "analytics", EVALUATION, ONE)) for _ in range(30)]
        await asyncio.sleep(0)
        assert await _ask(app, "crm", EVALUATION, ONE) == 200
        statuses = await asyncio.gather(*hostile)
        assert (statuses.count(200), statuses.count(503)) == (8, 22)
        assert await _ask(app, "analytics", EVALUATION, ONE) == 200

    asyncio.run(ask())


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


SEMANTICS = ["execute_all", "permit_on_first_permit", "deny_on_first_deny"]


@pytest.mark.parametrize("semantic", SEMANTICS)
def test_g288_others_are_answered_while_a_batch_is_worked(app: GateApp, semantic: str) -> None:
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


def test_g289_each_piece_of_a_batch_is_one_entry_although_others_ask_in_between(
    tmp_path: Path,
) -> None:
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
        assert bank.gate.journal.log.size == others + -(-20 * SLICE // PIECE)

    asyncio.run(ask())


def _answered(app: GateApp, batch: Mapping[str, Any]) -> tuple[list[bool], list[str]]:
    """The decisions of a batch of `analytics`, and what the header says of each piece."""
    body = json.dumps({"subject": {"type": "service", "id": "analytics"}} | dict(batch)).encode()
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": BATCH,
        "headers": [(b"authorization", b"analytics"), (b"host", b"gate")],
    }
    asyncio.run(app(scope, receive, send))
    found = json.loads(sent[1]["body"])["evaluations"]
    header = dict(sent[0]["headers"])[b"sovereign-evidence"].decode()
    return [each["decision"] for each in found], header.split(", ")


def test_g289_the_header_names_the_entry_of_each_piece(tmp_path: Path) -> None:
    bank = _granted(tmp_path)
    app = GateApp(bank.gate, ByName(), clock=lambda: NOON)
    number = 2 * PIECE + 1
    decisions, parts = _answered(app, ONE | {"evaluations": [{}] * number})
    assert decisions == [True] * number
    entries = [json.loads(each) for each in bank.gate.journal.log.entries(0, 3)]
    assert [each.get("decisions", 1) for each in entries] == [PIECE, PIECE, 1]
    assert [each.partition(";")[0] for each in parts] == ["entry=0", "entry=1", "entry=2"]


@pytest.mark.parametrize("semantic", SEMANTICS)
def test_g290_no_answer_rests_on_a_grant_withdrawn_while_the_batch_was_worked(
    tmp_path: Path, semantic: str
) -> None:
    bank = _granted(tmp_path)
    customer = "c2" if semantic == "permit_on_first_permit" else "c1"
    looks = 0

    def clock() -> datetime:  # asked once for each piece
        nonlocal looks
        looks += 1
        if looks == 3:
            bank.says("c1", Withdrawn("segmentation", ("age",)))
        return NOON

    app = GateApp(bank.gate, ByName(), clock=clock)
    elements = [{"resource": {"type": "customer", "id": customer}}] * (3 * PIECE)
    batch = ONE | {"evaluations": elements, "options": {"evaluations_semantic": semantic}}
    decisions, _ = _answered(app, batch)
    assert looks > 3
    wanted = 1 if semantic == "deny_on_first_deny" else 3 * PIECE
    assert decisions == [False] * wanted


def test_g290_a_denial_that_ended_a_batch_stays_one(tmp_path: Path) -> None:
    bank = _granted(tmp_path)
    looks = 0

    def clock() -> datetime:
        nonlocal looks
        looks += 1
        if looks == 4:  # both pieces were decided
            bank.says("c2", Granted("segmentation", ("age",), None))
        return NOON

    app = GateApp(bank.gate, ByName(), clock=clock)
    ids = ["c1"] * PIECE + ["c2"] * 2
    elements = [{"resource": {"type": "customer", "id": each}} for each in ids]
    batch = ONE | {
        "evaluations": elements,
        "options": {"evaluations_semantic": "deny_on_first_deny"},
    }
    decisions, _ = _answered(app, batch)
    assert looks >= 4
    assert decisions == [True] * PIECE + [False]


def test_g288_a_long_request_waits_for_short_ones_and_then_goes_on() -> None:
    async def ask() -> None:
        short, order = ShortRequests(), list[str]()

        async def answer(number: int) -> None:
            with short:
                for _ in range(20):
                    await asyncio.sleep(0)
                order.append(f"short {number}")

        waiting = [asyncio.create_task(answer(number)) for number in range(5)]
        await short.first()
        order.append("long")
        await asyncio.gather(*waiting)
        assert order[-1] == "long"
        with short:  # one that never ends
            await short.first()

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
