"""G209: a source that is down holds up nobody for long."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gate.reads.sources import breaker, postgres
from gate.reads.sources.breaker import SourceBreaker
from gate.reads.sources.interface import (
    Row,
    SourceDownError,
    SourceUnavailableError,
    each_row,
)
from gate.reads.sources.postgres import PostgresSource
from tests.postgres import fresh

DOWN = SourceDownError("no connection")
TWO_ROWS = SourceUnavailableError("a customer has several rows")


class Scripted:
    """A source that fails as long as it is told to."""

    key = "id"

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        self.asked += 1
        assert self.goes_on.wait(60)
        if self.error is not None:
            raise self.error
        return dict.fromkeys(columns, subject)

    def each_row(
        self, subjects: Sequence[str], columns: Sequence[str]
    ) -> Mapping[str, Row | SourceUnavailableError]:
        return {each: dict.fromkeys(columns, self.row(each, columns)) for each in subjects}

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        return [self.row(each, columns) for each in subjects]

    def everybody(self, columns: Sequence[str]) -> Any:
        return self.rows(["c1"], columns)

    def count(self) -> int:
        return len(self.everybody(["id"]))


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def source() -> Scripted:
    return Scripted()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _fails(guarded: SourceBreaker) -> None:
    with pytest.raises(SourceDownError):
        guarded.row("c1", ["age"])


def _broken(source: Scripted, clock: Clock) -> SourceBreaker:
    guarded = SourceBreaker(source, clock)
    source.error = DOWN
    for _ in range(breaker.FAILURES):
        _fails(guarded)
    assert source.asked == breaker.FAILURES
    return guarded


def test_a_source_that_is_down_is_asked_once_in_a_while(source: Scripted, clock: Clock) -> None:
    guarded = _broken(source, clock)
    for _ in range(100):
        _fails(guarded)
    assert source.asked == breaker.FAILURES
    clock.at += breaker.PAUSE_S
    for _ in range(100):
        _fails(guarded)
    assert source.asked == breaker.FAILURES + 1


def test_after_a_good_answer_everybody_is_answered(source: Scripted, clock: Clock) -> None:
    guarded = _broken(source, clock)
    source.error = None
    _fails(guarded)
    clock.at += breaker.PAUSE_S
    for _ in range(10):
        assert guarded.row("c1", ["age"]) == {"age": "c1"}
    assert guarded.count() == 1


def test_only_one_at_a_time_tries_it(source: Scripted, clock: Clock) -> None:
    guarded = _broken(source, clock)
    clock.at += breaker.PAUSE_S
    source.goes_on.clear()
    probe = threading.Thread(target=_fails, args=[guarded])
    probe.start()
    try:
        while source.asked == breaker.FAILURES:
            time.sleep(0.001)
        clock.at += 1000 * breaker.PAUSE_S
        for _ in range(50):
            _fails(guarded)
        assert source.asked == breaker.FAILURES + 1
    finally:
        source.goes_on.set()
        probe.join()
    _fails(guarded)  # it failed just now
    assert source.asked == breaker.FAILURES + 1


def test_every_way_to_ask_is_counted_and_refused(source: Scripted, clock: Clock) -> None:
    ways: dict[str, Callable[[SourceBreaker], object]] = {
        "row": lambda guarded: guarded.row("c1", ["age"]),
        "each_row": lambda guarded: guarded.each_row(["c1", "c2"], ["age"]),
        "rows": lambda guarded: guarded.rows(["c1"], ["age"]),
        "everybody": lambda guarded: guarded.everybody(["age"]),
        "count": lambda guarded: guarded.count(),
    }
    for name, ask in ways.items():
        guarded = SourceBreaker(source, clock)
        source.error = DOWN
        before = source.asked
        for _ in range(10):
            with pytest.raises(SourceDownError):
                ask(guarded)
        assert source.asked == before + breaker.FAILURES, name
    found = each_row(guarded, ["c1", "c2"], ["age"])
    assert all(isinstance(each, SourceDownError) for each in found.values())


def test_what_is_wrong_with_one_customer_is_no_source_that_is_down(
    source: Scripted, clock: Clock
) -> None:
    guarded = SourceBreaker(source, clock)
    for error in [TWO_ROWS, DOWN, DOWN, TWO_ROWS] * 20:
        source.error = error
        with pytest.raises(type(error)):
            guarded.row("c1", ["age"])
    assert source.asked == 80


# PostgreSQL behind a line that goes dead


class Line:
    """A TCP port that leads to a server, until it is cut or goes silent."""

    def __init__(self, address: str) -> None:
        given = conninfo_to_dict(address)
        self._unix = Path(str(given["host"])) / f".s.PGSQL.{given.get('port', 5432)}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.address = make_conninfo(address, host="127.0.0.1", port=str(self.port))
        self.speaks = threading.Event()
        self.speaks.set()
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._unix))
                self._ends += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                self.speaks.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.speaks.set()
        self._listening.close()
        for each in self._ends:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextmanager
def _behind_a_line(address: str) -> Iterator[tuple[Line, SourceBreaker]]:
    own = fresh(address)
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute("CREATE TABLE customer AS SELECT 'c1' AS id, 31 AS age")
    line = Line(own)
    inner = PostgresSource(line.address)
    try:
        yield line, SourceBreaker(inner)
    finally:
        line.close()
        inner.close()


def test_a_database_that_falls_silent_is_given_up_and_found_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "WAIT_S", 1)
    with _behind_a_line(address) as (line, guarded):
        assert guarded.row("c1", ["age"]) == {"age": 31}
        line.speaks.clear()
        began = time.monotonic()
        for _ in range(breaker.FAILURES):
            _fails(guarded)
        assert time.monotonic() - began < 60  # a few seconds each
        began = time.monotonic()
        with pytest.raises(SourceDownError, match="tried again"):
            guarded.row("c1", ["age"])
        assert time.monotonic() - began < 1
        line.speaks.set()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(SourceDownError):
                assert guarded.row("c1", ["age"]) == {"age": 31}
                break
            time.sleep(0.1)
        assert guarded.row("c1", ["age"]) == {"age": 31}
