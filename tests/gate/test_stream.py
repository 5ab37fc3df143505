"""Answers that leave piece by piece: what is read, what is held, and how they end (G28)."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from gate.http import reads as data
from gate.http.app import GateApp
from gate.http.reads import BrokenStreamError
from gate.http.response import HttpError, Stream
from gate.reads.bulk import formats, record_batches
from gate.reads.bulk.recheck import ScenePausedError
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.sources import data_keys
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import SourceUnavailableError
from ledger.events.envelope import Granted, Withdrawn
from ledger.service import Ledger
from tests.gate.world import NOON, WORDING, World, world

PEOPLE, ROWS = 10_000, 2_048  # in batches of a quarter of what the product sends
ASKED: dict[str, Any] = {"scene": "contract-service", "fields": ["name"]}
Message = Mapping[str, Any]


class Anybody:
    def service(self, _headers: Mapping[bytes, bytes]) -> str | None:
        return "analytics"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_batches, "ROWS", ROWS)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> DuckDBSource:
    path = tmp_path_factory.mktemp("crowd") / "people.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(
            "CREATE TABLE customer AS SELECT 'c' || i AS id, 20 + i % 60 AS age,"
            f" 'admin' AS job, 'n' || i AS name FROM range({PEOPLE}) people(i)"
        )
    return DuckDBSource(path)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, crowd: DuckDBSource) -> Path:
    """A data directory in which everybody of the crowd has a key, to be copied for each test."""
    home = tmp_path_factory.mktemp("known")
    with closing(Ledger.open(home, origin="test.example/consent")) as ledger:
        data_keys.create(ledger, crowd)
    return home


@pytest.fixture
def bank(tmp_path: Path, crowd: DuckDBSource, known: Path) -> World:
    shutil.copytree(known, tmp_path, dirs_exist_ok=True)
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
        if message.get("more_body") and not message["body"]:
            return  # the application waits until more can be sent
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


CONSENTING: dict[str, Any] = {"scene": "segmentation", "fields": ["age"]}
GRANTING = 2_500  # more than one batch


@pytest.fixture(scope="module")
def granting(
    tmp_path_factory: pytest.TempPathFactory, crowd: DuckDBSource
) -> tuple[Path, DuckDBSource]:
    """A ledger in which a quarter of the crowd allows their age."""
    home = tmp_path_factory.mktemp("granting")
    with closing(Ledger.open(home, origin="test.example/consent")) as ledger:
        act = Granted("segmentation", ("age",), None)
        drafts = [ledger.draft(f"c{n}", act, at=NOON, wording=WORDING) for n in range(GRANTING)]
        ledger.record(drafts)
    return home, crowd


@pytest.fixture
def reading(granting: tuple[Path, DuckDBSource], tmp_path: Path) -> World:
    home, source = granting
    shutil.copytree(home, tmp_path / "home")
    bank = world(tmp_path / "home")
    bank.gate.source = source
    return bank


def come_back(bank: World, who: str) -> None:
    bank.ledger.erase(who, NOON)
    bank.says(who, Granted("direct-marketing", ("email",), None))


MEANWHILE: dict[str, Callable[[World, str], object]] = {
    "they withdraw": lambda bank, who: bank.says(who, Withdrawn("segmentation")),
    "they withdraw the item": lambda bank, who: bank.says(who, Withdrawn("segmentation", ("age",))),
    "they are erased": lambda bank, who: bank.ledger.erase(who, NOON),
    "they are erased and come back": come_back,
}


def _ask(bank: World) -> TableRequest:
    return TableRequest("analytics", "segmentation", ("age",), NOON)


@pytest.mark.parametrize("why", MEANWHILE)
def test_no_row_leaves_after_the_receipt_of_a_withdrawal(reading: World, why: str) -> None:
    answer = read_rows(reading.gate, _ask(reading))
    assert answer.batches is not None
    sent = next(answer.batches)["customer"].to_pylist()
    last, first = f"c{GRANTING - 1}", sent[0]
    assert last not in sent
    for each in (last, first):
        MEANWHILE[why](reading, each)
    rest = [each for batch in answer.batches for each in batch["customer"].to_pylist()]
    assert last not in rest
    assert sorted([*sent, *rest, last]) == sorted(f"c{n}" for n in range(GRANTING))


def test_who_allows_again_meanwhile_is_still_in_the_answer(reading: World) -> None:
    answer = read_rows(reading.gate, _ask(reading))
    assert answer.batches is not None
    sent = next(answer.batches)["customer"].to_pylist()
    last = f"c{GRANTING - 1}"
    reading.says(last, Withdrawn("segmentation"))
    reading.says(last, Granted("segmentation", ("age",), None))
    assert last in [each for batch in answer.batches for each in batch["customer"].to_pylist()]
    assert len(sent) < GRANTING


def test_a_table_has_no_personal_row_after_everybody_withdrew(reading: World) -> None:
    answer = read_table(reading.gate, _ask(reading))
    assert answer.batches is not None
    before = sum(view == "personal" for view in next(answer.batches)["age.view"].to_pylist())
    act = Withdrawn("segmentation")
    drafts = [reading.ledger.draft(f"c{n}", act, at=NOON, wording=WORDING) for n in range(GRANTING)]
    reading.ledger.record(drafts)
    rows = [row for batch in answer.batches for row in batch.to_pylist()]
    after = [row["age.view"] for row in rows]
    withheld = [row for row in rows if row["age.view"] == "withheld"]
    assert all(row["age"] is None for row in withheld)
    assert len(withheld) == GRANTING - before
    assert before + after.count("synthetic") + len(withheld) <= PEOPLE
    assert before <= record_batches.ROWS
    assert "personal" not in after


def test_nothing_more_leaves_once_the_scene_is_suspended(reading: World) -> None:
    answer = read_rows(reading.gate, _ask(reading))
    assert answer.batches is not None
    next(answer.batches)
    reading.gate.suspend("segmentation")
    with pytest.raises(ScenePausedError):
        next(answer.batches)


def test_a_grant_that_expires_while_its_row_waits_ends(
    reading: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = f"c{GRANTING - 1}"
    reading.says(last, Granted("segmentation", ("age",), NOON + timedelta(minutes=2)))
    answer = read_rows(reading.gate, _ask(reading))
    assert answer.batches is not None
    next(answer.batches)
    later = monotonic() + 180
    monkeypatch.setattr("gate.reads.bulk.recheck.monotonic", lambda: later)
    assert last not in [each for batch in answer.batches for each in batch["customer"].to_pylist()]


def test_a_batch_is_decided_only_when_the_client_can_take_it(reading: World) -> None:
    """Who withdraws while the client takes nothing is in no batch that it takes afterwards."""
    last = f"c{GRANTING - 1}"

    class Slow(Client):
        async def send(self, message: Message) -> None:
            full = message.get("more_body") and not message["body"]
            if full and len(self.messages) == 2:  # the head and one batch were taken
                reading.says(last, Withdrawn("segmentation"))
            await super().send(message)

    client = Slow()
    client._body = json.dumps(CONSENTING).encode()
    play(reading, client)
    names = pa.ipc.open_stream(BytesIO(client.body)).read_all()["customer"].to_pylist()
    assert client.ended
    assert last not in names
    assert len(names) == GRANTING - 1


def test_an_answer_has_an_end_in_time(reading: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "STREAM_TIMEOUT_S", 0.0)
    client = Client()
    with pytest.raises(BrokenStreamError, match="did not end"):
        play(reading, client)
    assert not client.ended
