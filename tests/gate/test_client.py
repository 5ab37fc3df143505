"""The client for services, against a real gate on loopback."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import uvicorn

from gate.changes import departing
from gate.changes.feed import ChangeFeed
from gate.http.app import GateApp
from gate.reads.bulk import formats
from ledger.events.envelope import Granted, Withdrawn
from sovereign_client import (
    Client,
    Completion,
    CustomerRow,
    IncompleteError,
    MalformedError,
    NoAnswerError,
    Personal,
    RefusedError,
    Retries,
    UnavailableError,
    may_read,
)
from tests.gate.world import NOON, World, world


class Everybody:
    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        token = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return token.decode() or None


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age",), None))
    return bank


@pytest.fixture
def address(bank: World, tmp_path: Path) -> Iterator[str]:
    feed = ChangeFeed(bank.gate, bank.ledger, tmp_path, bytes(32), NOON)
    app = GateApp(bank.gate, Everybody(), clock=lambda: NOON, feed=feed)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, "analytics") as client:
        yield client


def test_a_service_reads_and_sees_what_each_value_is(client: Client, bank: World) -> None:
    answer = client.read("segmentation", "c1", ["age"])
    assert answer.allowed
    assert answer["age"] == Personal(31)
    mixed = client.read("segmentation", "c1", ["age", "job"], minimum_size=bank.ledger.size)
    assert not mixed.allowed
    assert mixed.views == {"age": "personal", "job": "synthetic"}
    assert client.decide(may_read("analytics", "segmentation", "c1", ["age"])).allowed
    assert not client.decide(may_read("analytics", "segmentation", "c2", ["age"])).allowed
    assert client.table_arrow("segmentation", ["age"]).num_rows == 3


def test_the_client_follows_the_changes_of_what_it_read(
    client: Client, bank: World, tmp_path: Path
) -> None:
    assert [*client.changes()] == []
    client.read("segmentation", "c1", ["age"])
    bank.says("c1", Withdrawn("segmentation"))
    (forget,) = client.changes(wait_s=30)
    assert (forget.do, forget.customer, forget.fields) == ("forget", "c1", ["age"])
    assert (forget.concerns("c1"), forget.concerns("c2")) == (True, False)
    assert client.read("segmentation", "c1", ["age"], minimum_size=forget.ledger_size).views == {
        "age": "synthetic"
    }
    assert [*client.changes(forget.token)] == []
    departing.note(tmp_path, bank.ledger, bytes(32), "c1")
    bank.ledger.erase("c1", NOON)
    (erased,) = client.changes(forget.token)
    assert (erased.customer, erased.fields, erased.reason) == (None, None, "erased")
    assert (erased.concerns("c1"), erased.concerns("c2")) == (True, False)
    with pytest.raises(MalformedError, match="leave it out"):
        next(client.changes("made up"))


def test_refusals_and_outages_are_told_apart(address: str) -> None:
    once = Retries(attempts=1)
    with Client(address, "stranger") as stranger, pytest.raises(RefusedError) as refused:
        stranger.read("segmentation", "c1", ["age"])
    assert refused.value.reason == "unknown-service"
    with Client(address, "analytics", retries=once) as ahead, pytest.raises(UnavailableError):
        ahead.read("segmentation", "c1", ["age"], minimum_size=10**6)
    with Client("http://127.0.0.1:9", "x", retries=once) as lost, pytest.raises(NoAnswerError):
        lost.read("segmentation", "c1", ["age"])
    with pytest.raises(ValueError, match="not an http or https URL"):
        Client("ftp://gate", "analytics")


def test_rows_and_tables_arrive_row_by_row(client: Client) -> None:
    with client.rows("segmentation", ["age"]) as rows:
        assert [*rows] == [CustomerRow({"age": Personal(31)}, "c1")]
        assert rows.whole
    with client.rows("segmentation", ["age"], where=[("age", "gt", 40)]) as none:
        assert [*none] == []
    with client.table("segmentation", ["age"]) as table:
        views = [each["age"].view for each in table]
    assert sorted(views) == ["personal", "synthetic", "synthetic"]
    with (
        pytest.raises(MalformedError, match="malformed"),
        client.rows("segmentation", ["age"], where=[("age", "like", 40)]),
    ):
        pass


def test_g112_a_table_says_how_it_was_completed(client: Client) -> None:
    naive = Completion("naive", "release-constant", covers="who withdrew is not corrected for")
    with client.table("segmentation", ["age"]) as arriving:
        assert len([*arriving]) == 3
        assert arriving.completion == naive


SAID = {
    "none": Completion("none"),
    'release-anchored;release="segmentation-9f";mean=1.412;p95=4.873;covers="noise; of \\"it\\""': (
        Completion("release-anchored", "segmentation-9f", 0.01412, 0.04873, 'noise; of "it"')
    ),
    'naive;release="a"': Completion("naive", "a"),
}


@pytest.mark.parametrize("header", SAID)
def test_g112_the_client_reads_what_the_header_says(header: str) -> None:
    found = Completion.parse(header)
    said = SAID[header]
    assert (found.mode, found.release, found.covers) == (said.mode, said.release, said.covers)
    assert [found.mean, found.p95] == pytest.approx([said.mean, said.p95])


def test_an_answer_that_breaks_off_is_no_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(answer: object, form: str) -> Iterator[bytes]:
        yield b'{"customer":"c1","age":31,"age.view":"personal"}\n'
        raise OSError("the source is gone")

    monkeypatch.setattr(formats, "chunks", breaking)
    with client.rows("segmentation", ["age"]) as rows:
        arriving = iter(rows)
        assert next(arriving).customer == "c1"
        with pytest.raises(IncompleteError):
            next(arriving)
        assert not rows.whole
    with pytest.raises(IncompleteError):
        client.table_arrow("segmentation", ["age"])


class Closing(BaseHTTPRequestHandler):
    """A proxy that speaks HTTP/1.0: only the closed connection ends its answers."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"customer":"c1","age":31,"age.view":"personal"}\n')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Print nothing."""


def test_an_answer_without_an_end_mark_is_incomplete() -> None:
    with HTTPServer(("127.0.0.1", 0), Closing) as proxy:
        threading.Thread(target=proxy.handle_request).start()
        with (
            Client(f"http://127.0.0.1:{proxy.server_port}", "analytics") as client,
            pytest.raises(IncompleteError, match="ends with the connection"),
            client.rows("segmentation", ["age"]),
        ):
            pass
