"""Answers that leave piece by piece: what is read, what is held, and how they end (G28)."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from gate.http import reads as data
from gate.http.app import GateApp
from gate.http.reads import BrokenStreamError
from gate.http.response import HttpError, Stream
from gate.reads import formats, record_batches
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import SourceUnavailableError
from gate.reads.table import TableRequest, read_rows, read_table
from ledger.events.envelope import Granted
from tests.gate.world import NOON, World, world

PEOPLE = 40_000
ASKED: dict[str, Any] = {"scene": "contract-service", "fields": ["name"]}
Message = Mapping[str, Any]


class Anybody:
    def service(self, _headers: Mapping[bytes, bytes]) -> str | None:
        return "analytics"


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> DuckDBSource:
    path = tmp_path_factory.mktemp("crowd") / "people.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(
            "CREATE TABLE customer AS SELECT 'c' || i AS id, 20 + i % 60 AS age,"
            f" 'admin' AS job, 'n' || i AS name FROM range({PEOPLE}) people(i)"
        )
    return DuckDBSource(path)


@pytest.fixture
def bank(tmp_path: Path, crowd: DuckDBSource) -> World:
    bank = world(tmp_path)
    bank.gate.source = crowd
    return bank


class Client:
    """Takes what an application sends; may leave after some pieces, or stop reading."""

    def __init__(self, *, leaves_after: int | None = None, stops_after: int | None = None) -> None:
        self.messages: list[Message] = []
        self._leaves, self._stops = leaves_after, stops_after
        self._left = asyncio.Event()
        self._asked = False
        self._body = json.dumps(ASKED).encode()

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        pieces = len(self.messages) - 1
        if pieces == self._leaves:
            self._left.set()
        if pieces == self._stops:
            await asyncio.Event().wait()

    @property
    def body(self) -> bytes:
        return b"".join(each["body"] for each in self.messages[1:])

    @property
    def ended(self) -> bool:
        return not self.messages[-1].get("more_body", False)


def play(bank: World, client: Client, path: str = "/v1/rows", accept: str = formats.ARROW) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "scheme": "http",
        "headers": [(b"accept", accept.encode()), (b"host", b"gate")],
    }
    asyncio.run(GateApp(bank.gate, Anybody(), lambda: NOON)(scope, client.receive, client.send))


@pytest.mark.parametrize("path", ["/v1/rows", "/v1/table"])
def test_a_long_answer_leaves_in_pieces_and_is_whole(bank: World, path: str) -> None:
    client = Client()
    play(bank, client, path)
    names = pa.ipc.open_stream(BytesIO(client.body)).read_all()["name"].to_pylist()
    assert sorted(map(str, names)) == sorted(f"n{n}" for n in range(PEOPLE))
    assert client.ended
    assert len(client.messages) > PEOPLE / record_batches.ROWS


@pytest.mark.parametrize("form", [formats.JSON_LINES, formats.CSV])
def test_every_form_leaves_in_pieces(bank: World, form: str) -> None:
    client = Client()
    play(bank, client, accept=form)
    assert len(client.body.splitlines()) == PEOPLE + (form == formats.CSV)
    assert len(client.messages) > PEOPLE / record_batches.ROWS


def test_a_table_does_not_keep_the_order_of_the_source(bank: World) -> None:
    request = TableRequest("analytics", "contract-service", ("name",), NOON)
    names = read_table(bank.gate, request).table["name"].to_pylist()
    assert names[:100] != [f"n{n}" for n in range(100)]


def test_nothing_leaves_before_the_entry_is_durable(bank: World) -> None:
    sizes: list[int] = []

    class Watching(Client):
        async def send(self, message: Message) -> None:
            sizes.append(bank.gate.journal.log.size)
            await super().send(message)

    before = bank.gate.journal.log.size
    play(bank, Watching())
    assert {*sizes} == {before + 1}


def test_a_client_who_left_gets_no_more_pieces(bank: World) -> None:
    client = Client(leaves_after=2)
    play(bank, client)
    assert len(client.messages) <= 4
    assert not client.ended


def test_a_client_who_stops_reading_is_dropped(
    bank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "SEND_TIMEOUT_S", 0.05)
    client = Client(stops_after=1)
    with pytest.raises(BrokenStreamError, match="reads too slowly"):
        play(bank, client)
    assert not client.ended


def test_a_stream_that_breaks_off_has_no_end_and_quotes_nothing(bank: World) -> None:
    request = TableRequest("analytics", "contract-service", ("name",), NOON)
    answer = read_rows(bank.gate, request)
    assert answer.batches is not None

    def failing(batches: Iterator[Any]) -> Iterator[Any]:
        yield next(batches)
        raise ValueError("Conversion error near 'Ada Lovelace'")

    object.__setattr__(answer, "batches", record_batches.reporting(failing(answer.batches)))
    chunks = formats.chunks(answer, formats.ARROW)
    next(chunks)
    with pytest.raises(SourceUnavailableError):
        next(chunks)
    client = Client()
    object.__setattr__(
        answer, "batches", failing(read_rows(bank.gate, request).batches or iter(()))
    )
    sent = Stream(formats.chunks(answer, formats.ARROW), b"")
    with pytest.raises(BrokenStreamError) as broken:
        asyncio.run(data.stream(sent, [], Client().receive, client.send))
    assert "Ada" not in f"{broken.value} {broken.value.__cause__}"
    assert not client.ended


def test_there_are_only_so_many_streams_at_once_and_each_gives_its_place_back(
    bank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "MAX_STREAMS", 1)
    reads = data.DataReads(bank.gate, lambda: NOON)
    body = json.dumps(ASKED).encode()
    first = reads.rows("analytics", body, {})
    with pytest.raises(HttpError) as busy:
        reads.table("analytics", body, {})
    assert (busy.value.problem.status, busy.value.retry_after) == (503, 1)
    asyncio.run(data.stream(first, [], Client(leaves_after=1).receive, Client().send))
    with pytest.raises(HttpError) as refused:
        reads.rows("analytics", json.dumps(ASKED | {"fields": ["shoe"]}).encode(), {})
    assert refused.value.problem.status == 403
    second = reads.rows("analytics", body, {})  # a refusal took no place either
    asyncio.run(data.stream(second, [], Client(leaves_after=0).receive, Client().send))
    reads.rows("analytics", body, {})


def test_two_readers_do_not_disturb_each_other(bank: World) -> None:
    request = TableRequest("analytics", "contract-service", ("name",), NOON)
    first, second = read_rows(bank.gate, request), read_rows(bank.gate, request)
    assert first.batches is not None
    next(first.batches)
    assert second.table.num_rows == PEOPLE
    assert sum(each.num_rows for each in first.batches) == PEOPLE - record_batches.ROWS


def test_no_more_rows_leave_than_were_counted() -> None:
    batches = [pa.record_batch({"n": [1, 2, 3]}), pa.record_batch({"n": [4, 5]})]
    for most in range(7):
        kept = sum(each.num_rows for each in record_batches.at_most(most, iter(batches)))
        assert kept == min(most, 5)


def test_synthetic_rows_are_drawn_piece_by_piece(bank: World) -> None:
    bank.says("c1", Granted("segmentation", ("age",), None))
    request = TableRequest("analytics", "segmentation", ("age",), NOON)
    answer = read_table(bank.gate, request)
    assert (answer.authorised, answer.synthetic) == (1, PEOPLE - 1)
    assert answer.table.num_rows == PEOPLE
    assert max(each.num_rows for each in answer.table.to_batches()) <= record_batches.ROWS
