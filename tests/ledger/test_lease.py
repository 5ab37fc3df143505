"""Clauses L104, L106, L108 and L109 of specs/ledger.md: who writes, and who may answer."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from ledger.service import Ledger
from ledger.storage import database, lease, writer_lock
from ledger.storage.interface import LeaseLostError, LeaseUnconfirmedError
from ledger.storage.sqlite import LEDGER
from ledger.storage.writer_lock import WriterBusyError, WriterLock
from tests.ledger.conftest import place_in
from tests.ledger.test_databases import change
from tests.ledger.worlds import AGE, opened, say


@pytest.fixture
def ledger(tmp_path: Path, fresh: str) -> Iterator[Ledger]:
    place_in(tmp_path, fresh)
    with closing(opened(tmp_path)) as made:
        say(made, "c1", AGE)
        yield made


def test_l104_the_lease_on_postgres_is_taken_when_the_ledger_is_opened(
    ledger: Ledger, tmp_path: Path
) -> None:
    holder = rf"`sovereign.*` \(process {os.getpid()} on .*, since 20"
    with pytest.raises(WriterBusyError, match=holder) as refused:
        opened(tmp_path)
    assert refused.value.home == tmp_path
    with closing(Ledger.reopen(tmp_path)) as reader:
        assert reader.version("c1") == 1
        say(ledger, "c2", AGE)
    ledger.confirm_lease()
    ledger.close()
    with closing(opened(tmp_path)) as again:
        say(again, "c2", AGE)


def end_connection(ledger: Ledger, home: Path) -> None:
    """What a fault of the network does to the writer."""
    store = ledger._store
    address, _ = database.remembered(home)
    with psycopg.connect(address, autocommit=True) as administrator:
        pid = store._lease._writer.info.backend_pid  # type: ignore[attr-defined]
        administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_l106_a_writer_on_postgres_that_lost_its_lease_never_writes_again(
    ledger: Ledger, tmp_path: Path
) -> None:
    end_connection(ledger, tmp_path)
    with closing(opened(tmp_path)) as successor:
        assert say(successor, "c1", AGE)[0].index == 1
        successor.confirm_lease()
    with pytest.raises(LeaseUnconfirmedError):  # it sees that its connection ended
        say(ledger, "c1", AGE)
    for _ in range(2):
        with pytest.raises(LeaseLostError, match="another writer took over"):
            say(ledger, "c1", AGE)
    with pytest.raises(LeaseLostError):
        _ = ledger.size
    with pytest.raises(LeaseLostError):
        ledger.confirm_lease()


@pytest.mark.parametrize("act", ["asks", "writes"])
def test_l106_a_writer_whose_connection_ended_goes_on_if_nobody_took_over(
    ledger: Ledger, tmp_path: Path, act: str
) -> None:
    end_connection(ledger, tmp_path)
    if act == "asks":
        ledger.confirm_lease()
    else:
        with pytest.raises(LeaseUnconfirmedError, match="check that it runs"):
            say(ledger, "c1", AGE)
    assert say(ledger, "c1", AGE)[0].index == 1
    with pytest.raises(WriterBusyError):
        opened(tmp_path)


def test_l106_a_writer_that_did_not_see_the_end_of_its_commit_starts_again(
    ledger: Ledger, tmp_path: Path
) -> None:
    end_connection(ledger, tmp_path)
    change(tmp_path, LEDGER, "UPDATE head SET size = size + 1")
    with pytest.raises(LeaseLostError, match="whose end it did not see"):
        ledger.confirm_lease()


def test_l106_a_writer_finds_on_postgres_that_another_one_took_over(
    ledger: Ledger, tmp_path: Path
) -> None:
    change(tmp_path, LEDGER, "UPDATE lease SET epoch = epoch + 1")
    with pytest.raises(LeaseLostError, match="epoch"):
        ledger.confirm_lease()
    with pytest.raises(LeaseLostError, match="epoch"):
        say(ledger, "c1", AGE)


def test_l108_a_writer_that_the_server_did_not_confirm_answers_nothing(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(tmp_path, LEDGER, "UPDATE lease SET epoch = epoch + 1")
    assert ledger.size == 1  # it was confirmed just now
    monkeypatch.setattr(lease, "monotonic", lambda: time.monotonic() + lease.SURE_S)
    with pytest.raises(LeaseLostError):
        _ = ledger.size


def test_l108_who_takes_over_from_a_writer_that_may_live_waits_until_it_answers_nothing(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(tmp_path, LEDGER, "UPDATE lease SET host = 'elsewhere'")
    end_connection(ledger, tmp_path)
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    with closing(opened(tmp_path)):
        assert lease.HANDOVER_S in waited
    waited.clear()
    with closing(opened(tmp_path)):
        assert waited == []  # the last one gave it up


@pytest.mark.parametrize("what", ["removed", "replaced"])
def test_l109_a_writer_whose_lock_file_is_not_there_any_more_answers_and_writes_nothing(
    tmp_path: Path, what: str
) -> None:
    lock = WriterLock(tmp_path)
    lock.acquire()
    with closing(opened(tmp_path)) as ledger:
        say(ledger, "c1", AGE)
        ledger.confirm_lease()
        (tmp_path / writer_lock.NAME).unlink()
        if what == "replaced":
            (tmp_path / writer_lock.NAME).touch()
        for _ in range(2):
            with pytest.raises(LeaseLostError, match="replaced or removed"):
                say(ledger, "c1", AGE)
        with pytest.raises(LeaseLostError):
            _ = ledger.size
    lock.release()
