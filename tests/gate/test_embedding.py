"""The gate as a dependency of FastAPI, and its health (G75, G76)."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from gate.decision.quota import Quota, Quotas
from gate.http.app import GateApp
from gate.readlog.writer import JournalError
from gate.reads.request import Answer
from gate.sdk.fastapi import reads
from ledger.events.envelope import Granted
from portal.operations.gate_process import Healthy
from tests.gate.world import NOON, World, with_options, world


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age",), None))
    return bank


def client(bank: World, service: str = "analytics") -> TestClient:
    app = FastAPI()
    entered = reads(bank.gate, service, "segmentation", ["age", "job"], "who", lambda: NOON)

    @app.get("/segments/{who}")
    def show(answer: Annotated[Answer, Depends(entered)]) -> dict[str, Any]:
        return {"values": answer.values, "views": answer.views}

    return TestClient(app)


def test_a_route_is_given_the_answer_marked(bank: World) -> None:
    assert client(bank).get("/segments/c1").json() == {
        "values": {"age": 31, "job": "synthetic"},
        "views": {"age": "personal", "job": "synthetic"},
    }


def test_a_refusal_never_enters_the_route(bank: World) -> None:
    answer = client(bank, "stranger").get("/segments/c1")
    assert (answer.status_code, answer.json()["detail"]) == (403, "unknown-service")
    bank = with_options(bank, quotas=Quotas(default=Quota(points_per_minute=0)))
    answer = client(bank).get("/segments/c1")
    assert (answer.status_code, answer.json()["detail"]) == (429, "quota-exceeded")


def test_a_gate_that_cannot_answer_is_503(bank: World) -> None:
    def unreadable(*_: Any) -> None:
        raise JournalError("the disk is full")

    bank.gate.journal.record_all = unreadable  # type: ignore[assignment] # a disk that is full
    answer = client(bank).get("/segments/c1")
    assert answer.status_code == 503
    assert "treat it as no data" in answer.json()["detail"]


class Nobody:
    def service(self, _headers: Mapping[bytes, bytes]) -> str | None:
        return None


def test_health_names_the_scenes_that_were_stopped(bank: World) -> None:
    alone = TestClient(Healthy(bank.gate, GateApp(bank.gate, Nobody())))  # type: ignore[arg-type] # an ASGI application all the same
    assert alone.get("/healthz").json() == {"status": "ok", "suspended": []}
    bank.gate.suspend("segmentation")
    found = alone.get("/healthz").json()
    assert found == {"status": "suspended", "suspended": ["segmentation"]}
    assert alone.post("/v1/read", json={}).status_code == 401


def test_what_is_no_request_of_http_is_left_alone(bank: World) -> None:
    async def never() -> Mapping[str, Any]:
        raise AssertionError("nothing is to be received")

    async def silent(_message: Mapping[str, Any]) -> None:
        raise AssertionError("nothing is to be sent")

    healthy = Healthy(bank.gate, GateApp(bank.gate, Nobody()))
    asyncio.run(healthy({"type": "websocket", "path": "/healthz"}, never, silent))
