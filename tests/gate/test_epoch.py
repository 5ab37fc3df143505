"""How far the ledger has come, and who may rely on it (G51, G52, G53)."""

import asyncio
import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Semaphore
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from gate.factory import build
from gate.http.app import GateApp
from gate.state.ledger_position import REST_S, Epoch, EpochUnavailableError, RemoteEpoch
from ledger.errors import CorruptLogError
from ledger.events.envelope import Granted, Withdrawn, Wording
from ledger.follower import Follower
from ledger.service import Ledger
from ledger.storage.postgres import PostgresHead, PostgresReader
from tests.gate.killing import Tokens
from tests.gate.linearizability import Place
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, options, shipped, source, world
from tests.postgres import fresh

WORDING = Wording("en", bytes(32))
PATIENCE_S = 0.2
MACHINE_S = 180.0  # before a test gives up


@pytest.fixture(scope="module")
def address(address: str) -> str:
    return fresh(address)


def say(ledger: Ledger, who: str, *, granted: bool = True) -> None:
    act = Granted("s", ("a",), None) if granted else Withdrawn("s")
    ledger.record([ledger.draft(who, act, at=NOON, wording=WORDING)])


class Slow:
    """A database that answers when it is let, with how often it was asked."""

    def __init__(self) -> None:
        self.reads = 0
        self.begun, self.go = Event(), Event()

    def __call__(self) -> int:
        self.reads += 1
        read = self.reads
        self.begun.set()
        self.go.wait()
        return read


class Queue:
    """The lock of an epoch, which tells how many have come to it."""

    def __init__(self, epoch: RemoteEpoch) -> None:
        self._lock, self.came = Lock(), Semaphore(0)
        epoch._reading = self  # type: ignore[assignment] # it has what the epoch uses of a lock
        self._ask = epoch.size

    def acquire(self, timeout: float) -> bool:
        self.came.release()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()

    def asked(self, pool: ThreadPoolExecutor, count: int) -> list[Future[int]]:
        """So many questions, each of which has begun to wait when this returns."""
        futures = [pool.submit(self._ask) for _ in range(count)]
        for _ in futures:
            assert self.came.acquire(timeout=MACHINE_S)
        return futures


def test_g52_one_read_serves_all_who_wait_and_nobody_who_asked_after_it_began() -> None:
    slow = Slow()
    queue = Queue(RemoteEpoch(slow, patience_s=MACHINE_S))
    with ThreadPoolExecutor(20) as pool:
        first = queue.asked(pool, 1)
        slow.begun.wait()
        others = queue.asked(pool, 19)
        slow.go.set()
        assert [each.result() for each in first] == [1]
        assert {each.result() for each in others} == {2}
    assert slow.reads == 2


def test_g51_a_read_that_fails_answers_nobody_and_for_a_while_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("gate.state.ledger_position.monotonic", lambda: now)
    answers: list[int | OSError] = [OSError("no route"), 7]

    def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    epoch = RemoteEpoch(read)
    with pytest.raises(EpochUnavailableError, match="cannot read the ledger"):
        epoch.size()
    with pytest.raises(EpochUnavailableError, match="was unreachable within the last"):
        epoch.size()
    now += REST_S
    assert epoch.size() == 7


def test_g51_nobody_waits_for_ever_behind_a_read_that_hangs() -> None:
    slow = Slow()
    epoch = RemoteEpoch(slow, PATIENCE_S)
    with ThreadPoolExecutor(1) as pool:
        hanging = Queue(epoch).asked(pool, 1)
        slow.begun.wait()
        with pytest.raises(EpochUnavailableError, match="no answer within"):
            epoch.size()
        slow.go.set()
        assert hanging[0].result() == 1


def test_g53_nothing_is_shown_before_it_is_published(tmp_path: Path) -> None:
    """The writer is killed between its commit and the epoch: nobody has a receipt yet."""
    epoch = Epoch(tmp_path / "epoch")
    ledger = Ledger.open(tmp_path, origin="t/consent", on_commit=epoch.publish)
    say(ledger, "c1")
    before = ledger.root()
    ledger.close()
    killed = Ledger.open(tmp_path, origin="t/consent", on_commit=lambda _size: None)
    say(killed, "c1", granted=False)
    killed.close()
    follower = Follower(tmp_path, epoch.size)
    assert [each.index for each in follower.follow(0)] == [0]
    assert (follower.size, follower.root()) == (1, before)
    again = Ledger.open(tmp_path, origin="t/consent", on_commit=epoch.publish)
    assert [each.index for each in follower.follow(1)] == [1]
    assert follower.root() == again.root()


WRONG = {
    "it goes back": ([2, 1], "had 2 entries and now has 1"),
    "it is ahead of the database": ([9, 9], "has 2 entries, want the 9"),
}


@pytest.mark.parametrize("why", WRONG)
def test_g53_an_epoch_that_cannot_be_right_answers_nothing(why: str, tmp_path: Path) -> None:
    sizes, message = WRONG[why]
    with Place(tmp_path).ledger() as ledger:
        say(ledger, "c1")
        say(ledger, "c2")
    said = iter(sizes)
    follower = Follower(tmp_path, lambda: next(said))
    with pytest.raises(CorruptLogError, match=message):
        assert follower.root() == follower.root()


@pytest.fixture
def place(address: str, tmp_path: Path) -> Place:
    return Place(tmp_path, address, f"log_{uuid4().hex}")


def test_g52_another_host_sees_what_the_writer_sees(place: Place) -> None:
    with place.ledger() as ledger:
        head = PostgresHead(place.address, place.schema)
        log = PostgresReader(place.address, place.schema)
        follower = Follower(place.home, head.size, log)
        for n in range(30):
            say(ledger, f"c{n % 7}", granted=n % 2 == 0)
            assert follower.size == ledger.size
            assert follower.root() == ledger.root()
        assert [*follower.follow(0)] == [*ledger.follow(0)]
        assert follower.root_at(11) == ledger.root_at(11)
        head.close()
        log.close()


def test_g54_another_host_cannot_write(place: Place) -> None:
    with place.ledger() as ledger:
        say(ledger, "c1")
        log = PostgresReader(place.address, place.schema)
        with pytest.raises(DBAPIError, match="read-only"):
            log.store_cosigned(log.head())  # type: ignore[arg-type] # there is one
        log.close()


def test_g51_a_database_that_hangs_or_hangs_up_answers_nothing_in_time(place: Place) -> None:
    with place.ledger() as ledger:
        say(ledger, "c1")
        head = PostgresHead(place.address, place.schema, MACHINE_S)
        epoch = RemoteEpoch(head.size, rest_s=0)
        assert epoch.size() == 1
        with stopped(head), pytest.raises(EpochUnavailableError):
            epoch.size()
        assert epoch.size() == 1
        end(backend(head))
        with pytest.raises(EpochUnavailableError):
            epoch.size()
        assert epoch.size() == 1
        head.close()


FAILURES: dict[str, Exception] = {
    "the epoch cannot be read": EpochUnavailableError("no answer"),
    "the ledger does not fit together": CorruptLogError("entry bundle 3 is missing"),
    "the database is gone": OperationalError("SELECT", {}, OSError("no route")),
}


@pytest.mark.parametrize("why", FAILURES)
def test_g51_a_gate_that_cannot_follow_the_ledger_answers_nothing(tmp_path: Path, why: str) -> None:
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age",), None))

    def broken() -> int:
        raise FAILURES[why]

    gate = build(
        Follower(tmp_path, broken),
        source(),
        SCENES,
        bank.gate.journal,
        shipped(),
        bytes(32),
        options=options(),
    )
    answers = asyncio.run(asked_of(GateApp(gate, Tokens())))
    assert {each.status_code for each in answers} == {503}
    assert {each.json()["title"] for each in answers} == {"The consent ledger is unreachable"}
    assert bank.gate.journal.log.size == 0


async def asked_of(app: GateApp) -> list[httpx.Response]:
    """What an evaluation and a read are answered."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type] # a plain ASGI callable
    read = {"scene": "segmentation", "customer": "c1", "fields": ["age"]}
    evaluation = {
        "subject": {"type": "service", "id": "analytics"},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": "c1"},
        "context": {"scene": "segmentation", "fields": ["age"]},
    }
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gate", headers={"authorization": "analytics"}
    ) as client:
        return [
            await client.post(path, json=body)
            for path, body in (("/access/v1/evaluation", evaluation), ("/v1/read", read))
        ]


def test_g52_while_the_server_hangs_a_gate_alone_answers_what_needs_no_server(
    tmp_path: Path,
) -> None:
    """An evaluation waits for a query that does not return; the event loop does not."""
    bank = world(tmp_path)
    bank.says("c1", Granted("segmentation", ("age",), None))
    hangs, comes_back = Event(), Event()

    def size() -> int:
        hangs.set()
        assert comes_back.wait(MACHINE_S)
        return bank.ledger.size

    waiting = replace(options(), asks_server=True)
    follower = Follower(tmp_path, RemoteEpoch(size).size)
    journal = bank.gate.journal
    gate = build(follower, source(), SCENES, journal, shipped(), bytes(32), options=waiting)
    app = GateApp(gate, Tokens())

    async def beside() -> list[httpx.Response]:
        asked = asyncio.create_task(asked_of(app))
        assert await asyncio.to_thread(hangs.wait, 60)  # on the loop the query would hang here
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type] # a plain ASGI callable
        async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
            other = await client.get("/.well-known/authzen-configuration")
        assert other.status_code == 200
        assert not asked.done()
        comes_back.set()
        return await asked

    assert {each.status_code for each in asyncio.run(beside())} == {200}


def test_g51_no_ledger_is_no_epoch(place: Place) -> None:
    with pytest.raises(EpochUnavailableError):
        RemoteEpoch(PostgresHead(place.address, "nowhere").size).size()


def backend(head: PostgresHead) -> int:
    assert head._connection is not None
    return head._connection.info.backend_pid


def end(process: int) -> None:
    """Terminate a process of somebody else's, and wait until it is gone."""
    deadline = time.monotonic() + MACHINE_S
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.kill(process, 0)
            time.sleep(0.01)
        raise AssertionError(f"process {process} is still there")


class stopped:  # noqa: N801 - reads as what it is: `with stopped(head):`
    """The process that serves this connection stands still, and is waited for a short time."""

    def __init__(self, head: PostgresHead) -> None:
        self._process, self._head, self._timeout_s = backend(head), head, head._timeout_s

    def __enter__(self) -> None:
        self._head._timeout_s = PATIENCE_S
        os.kill(self._process, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        self._head._timeout_s = self._timeout_s
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGCONT)
