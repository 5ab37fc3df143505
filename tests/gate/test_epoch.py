"""How far the ledger has come, and who may rely on it (G51, G52, G53)."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from gate.factory import build
from gate.http.app import GateApp
from gate.state.ledger_position import Epoch, EpochUnavailableError, RemoteEpoch
from ledger.errors import CorruptLogError
from ledger.events.envelope import Granted, Withdrawn, Wording
from ledger.follower import Follower
from ledger.service import Ledger
from ledger.storage.postgres import PostgresHead, PostgresReader
from tests.gate.killing import Tokens
from tests.gate.linearizability import Place
from tests.gate.postgres import server
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, options, shipped, source, world

WORDING = Wording("en", bytes(32))
PATIENCE_S = 0.2


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with server() as address:
        yield address


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


def asked(pool: ThreadPoolExecutor, epoch: RemoteEpoch, count: int) -> list[Future[int]]:
    """So many questions, each of which has begun to wait when this returns."""
    futures = []
    for _ in range(count):
        begins = Event()
        futures.append(pool.submit(ask, epoch, begins))
        begins.wait()
    time.sleep(0.05)
    return futures


def ask(epoch: RemoteEpoch, begins: Event) -> int:
    begins.set()
    return epoch.size()


def test_g52_one_read_serves_all_who_wait_and_nobody_who_asked_after_it_began() -> None:
    slow = Slow()
    epoch = RemoteEpoch(slow)
    with ThreadPoolExecutor(20) as pool:
        first = asked(pool, epoch, 1)
        slow.begun.wait()
        others = asked(pool, epoch, 19)
        slow.go.set()
        assert [each.result() for each in first] == [1]
        assert {each.result() for each in others} == {2}
    assert slow.reads == 2


def test_g51_a_read_that_fails_answers_nobody_and_for_a_while_nobody_waits() -> None:
    answers: list[int | OSError] = [OSError("no route"), 7]

    def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    epoch = RemoteEpoch(read, rest_s=PATIENCE_S)
    with pytest.raises(EpochUnavailableError, match="cannot read the ledger"):
        epoch.size()
    with pytest.raises(EpochUnavailableError, match="was unreachable within the last"):
        epoch.size()
    time.sleep(PATIENCE_S)
    assert epoch.size() == 7


def test_g51_nobody_waits_for_ever_behind_a_read_that_hangs() -> None:
    slow = Slow()
    epoch = RemoteEpoch(slow, PATIENCE_S)
    with ThreadPoolExecutor(1) as pool:
        hanging = asked(pool, epoch, 1)
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
        head = PostgresHead(place.address, place.schema, PATIENCE_S)
        epoch = RemoteEpoch(head.size, rest_s=0)
        assert epoch.size() == 1
        with stopped(head), pytest.raises(EpochUnavailableError):
            epoch.size()
        assert epoch.size() == 1
        os.kill(backend(head), signal.SIGTERM)
        time.sleep(0.1)
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


def test_g51_no_ledger_is_no_epoch(place: Place) -> None:
    with pytest.raises(EpochUnavailableError):
        RemoteEpoch(PostgresHead(place.address, "nowhere").size).size()


def backend(head: PostgresHead) -> int:
    assert head._connection is not None
    return head._connection.info.backend_pid


class stopped:  # noqa: N801 - reads as what it is: `with stopped(head):`
    """The process that serves this connection stands still."""

    def __init__(self, head: PostgresHead) -> None:
        self._process = backend(head)

    def __enter__(self) -> None:
        os.kill(self._process, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGCONT)
