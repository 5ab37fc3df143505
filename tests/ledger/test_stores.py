"""Clauses L100 to L103 of specs/ledger.md: every store behaves like every other."""

import os
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ledger.keys.log_keys import Keys
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.statemap.labels import Labels
from ledger.statemap.vrf_key import VrfKey
from ledger.storage.interface import (
    ForkError,
    LeaseHeldError,
    LeaseLostError,
    LeaseUnconfirmedError,
)
from ledger.storage.postgres import PostgresStore
from ledger.storage.sqlite import SqlStore
from ledger.tlog import signed_note, tiles
from ledger.tlog.writer import Log
from ledger.vault.vault import Vault
from tests.campaign import sized
from tests.ledger.events import NOON
from tests.ledger.test_note import SIGNER
from tests.ledger.worlds import AGE, root, say

ORIGIN = SIGNER.name
STATES = signed_note.generate(f"{ORIGIN}/state")
LABELS = Labels(VrfKey(bytes(32)), STATES.name)


def schema() -> str:
    return f"log_{uuid4().hex}"


class Alike(RuleBasedStateMachine):
    """Two logs with the same key, one in SQLite and one in PostgreSQL, do the same."""

    address = ""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.schema = schema()
        self.entries: list[bytes] = []
        self.keys: dict[str, tuple[bytes, int]] = {}
        self.tags: dict[bytes, tuple[int, bytes]] = {}
        self.open()

    def open(self) -> None:
        stores = (SqlStore.at(self.folder / "log"), PostgresStore.at(self.address, self.schema))
        self.logs = [Log(store, ORIGIN, SIGNER) for store in stores]

    @rule(count=st.integers(0, 600), small=st.booleans())
    def append(self, count: int, *, small: bool) -> None:
        first = len(self.entries)
        batch = [f"entry {first + at}".encode() for at in range(count % 5 if small else count)]
        assert {log.append(batch) for log in self.logs} == {range(first, first + len(batch))}
        self.entries += batch

    @rule(key=st.sampled_from("abc"), tag=st.binary(min_size=24, max_size=24))
    def seal(self, key: str, tag: bytes) -> None:
        if key in self.keys or tag in self.tags:
            return
        index = len(self.entries)
        sealed, kept = {tag: (index, b"sealed" + tag)}, {key: (b"digest", index)}
        for log in self.logs:
            log.append([b"personal"], sealed=sealed, idempotency=kept)
        self.entries.append(b"personal")
        self.tags |= sealed
        self.keys |= kept

    @rule()
    def reopen(self) -> None:
        self.teardown_logs()
        self.open()

    @invariant()
    def same(self) -> None:
        size = len(self.entries)
        assert {log.checkpoint() for log in self.logs} == {self.logs[0].checkpoint()}
        assert self.logs[0].head().root == root(self.entries)
        for log in self.logs:
            assert [*log.entries(0, size)] == self.entries
            assert isinstance(log.store, SqlStore)
            assert log.store.tags() == {*self.tags}
            assert all(log.store.sealed(tag) == self.tags[tag] for tag in self.tags)
            assert all(log.store.sealed(tag) for tag in self.tags)
            held = dict(self.tags.values())
            assert log.store.sealed_between(0, size) == held
            assert {
                key: log.store.idempotent(key) for key in "abc" if key in self.keys
            } == self.keys
            assert log.store.idempotent("d") is None
            assert log.store.beyond(tiles.counts(size)) == (0, 0)

    def teardown(self) -> None:
        self.teardown_logs()
        shutil.rmtree(self.folder)

    def teardown_logs(self) -> None:
        for log in self.logs:
            log.close()


@pytest.mark.campaign
def test_l100_sqlite_and_postgresql_behave_alike(address: str) -> None:
    Alike.address = address
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Alike,
        settings=settings(
            max_examples=sized(8, 40),
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=slow,
        ),
    )


def log_of(address: str, name: str) -> Log:
    return Log(PostgresStore.at(address, name), ORIGIN, SIGNER)


def test_l101_of_two_writers_one_wins(address: str) -> None:
    name = schema()
    first, second = log_of(address, name), log_of(address, name)
    first.append([b"one"])
    with pytest.raises(LeaseHeldError, match=rf"\(process {os.getpid()} on .*, since "):
        second.append([b"two"])
    first.close()
    with pytest.raises(ForkError, match="want 0"):
        second.append([b"two"])
    second.close()
    third = log_of(address, name)
    third.append([b"two"])
    assert [*third.entries(0, 2)] == [b"one", b"two"]
    third.close()


def test_l102_a_paused_writer_that_lost_its_lease_is_refused(address: str) -> None:
    name = schema()
    paused = log_of(address, name)
    paused.append([b"one"])
    pid = writer(paused).info.backend_pid
    with psycopg.connect(address, autocommit=True) as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s)", [pid])
    other = log_of(address, name)
    other.append([b"two"])
    with pytest.raises(LeaseUnconfirmedError):
        paused.append([b"mine"])
    for _ in range(2):
        with pytest.raises(LeaseLostError, match="lost the lease"):
            paused.append([b"mine"])
    other.append([b"three"])
    assert [*other.entries(0, other.size)] == [b"one", b"two", b"three"]
    for log in (paused, other):
        log.close()


def test_l102_an_older_epoch_is_refused_even_with_the_lock(address: str) -> None:
    name = schema()
    log = log_of(address, name)
    log.append([b"one"])
    with psycopg.connect(address, autocommit=True) as administrator:
        administrator.execute(f'UPDATE "{name}".lease SET epoch = epoch + 1')
    for _ in range(2):
        with pytest.raises(LeaseLostError, match="epoch"):
            log.append([b"two"])
    log.close()
    again = log_of(address, name)
    assert again.size == 1
    again.close()


def ledger_of(address: str, name: str, home: Path) -> Ledger:
    keys = Keys([SIGNER], [STATES], LABELS)
    return Ledger(PostgresStore.at(address, name), Vault(home / "keys"), keys)


def writer(log: Log) -> Any:
    store = log.store
    assert isinstance(store, PostgresStore)
    return store._lease._writer


def test_l103_a_ledger_stands_on_postgresql(address: str, tmp_path: Path) -> None:
    name = schema()
    ledger = ledger_of(address, name, tmp_path)
    say(ledger, "c1", AGE, AGE)
    say(ledger, "c2", AGE)
    ledger.erase("c1", NOON)
    ledger.close()
    again = ledger_of(address, name, tmp_path)
    assert (again.version("c1"), again.version("c2"), again.size) == (0, 1, 4)
    say(again, "c2", AGE)
    again.export(tmp_path / "public")
    assert (tmp_path / "public" / "checkpoint").exists()
    again.close()


def test_s13_on_postgresql_entries_and_map_are_durable_together(
    address: str, tmp_path: Path
) -> None:
    name = schema()
    ledger = ledger_of(address, name, tmp_path)
    say(ledger, "c1", AGE)
    say(ledger, "c2", AGE)
    before = ledger.states.newest()
    forbid = (
        f'ALTER TABLE "{name}".state_bucket ADD CONSTRAINT full_disk CHECK (number < 0) NOT VALID'
    )
    allow = f'ALTER TABLE "{name}".state_bucket DROP CONSTRAINT full_disk'
    with psycopg.connect(address, autocommit=True) as administrator:
        administrator.execute(forbid)
        with pytest.raises(psycopg.errors.CheckViolation):
            say(ledger, "c1", AGE)
        administrator.execute(allow)
    assert (ledger.size, ledger.version("c1"), ledger.states.newest()) == (2, 1, before)
    say(ledger, "c1", AGE)
    ledger.close()
    again = ledger_of(address, name, tmp_path)
    assert (again.size, again.states.newest().size) == (3, 3)
    for subject in ("c1", "c2"):
        proof = again.state_proof(subject)
        map_proof.verify(proof, again.states.labels.of(subject), [STATES.verifier])
    again.close()
