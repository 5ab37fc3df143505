"""A read log is the same in SQLite and in PostgreSQL: written, read beside its writer, replayed."""

import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import pytest
from sqlalchemy.exc import OperationalError

from gate.factory import build
from gate.readlog import inspection
from gate.readlog.by_customer import entries_of
from gate.readlog.entry import DecisionGroup, Question
from gate.readlog.writer import Journal, JournalError, Several
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows
from gate.reads.request import ReadRequest
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.storage.deliveries import Delivery
from gate.storage.membership import RUN
from gate.storage.read_log import ReadLogDatabase, ReadLogDatabases, instances
from gate.storage.tables import READS
from ledger.events.envelope import Granted, Withdrawn
from ledger.follower import Follower
from ledger.service import Ledger
from ledger.storage import database
from ledger.storage.database import SchemaVersionError
from ledger.storage.migration import migrate
from ledger.tlog import signed_note
from tests.data.make_4a7671d import ARCHIVE
from tests.gate.scenes import SCENES
from tests.gate.world import INSTANCE, NOON, World, journal, options, shipped, source
from tests.postgres import fresh, stored_at

AGE = ("age",)


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    address = request.getfixturevalue("address") if request.param == "postgresql" else ""
    with stored_at(tmp_path / "gate", fresh(address) if address else "") as home:
        yield home


@pytest.fixture
def bank(home: Path, tmp_path: Path) -> World:
    return gate_at(home, tmp_path / "ledger")


def gate_at(home: Path, ledger_home: Path) -> World:
    """A gate whose read log is under `home`, where the ledger is not."""
    ledger = Ledger.open(ledger_home, origin="test.example/consent")
    written = journal(home, ledger)
    gate = build(ledger, source(), SCENES, written, shipped(), bytes(32), options=options())
    bank = World(ledger, gate)
    for who in ("c1", "c2"):
        bank.says(who, Granted("segmentation", AGE, None))
    return bank


def ask(bank: World, *who: str) -> int:
    decisions = bank.gate.decide_in_writing([Question("analytics", "segmentation", who, AGE)], NOON)
    return bank.gate.journal.record_all([Several(DecisionGroup("analytics", decisions), who)])[0]


def read(bank: World, who: str) -> int:
    return bank.gate.read(ReadRequest("analytics", "segmentation", who, AGE, NOON)).entry


def places(bank: World, who: str) -> list[int]:
    return [place for place, _ in entries_of(bank.gate.journal.reads, bank.ledger, who)]


def test_g46_a_customers_reads_are_found_alone_and_in_lists(bank: World) -> None:
    alone, other, listed = read(bank, "c1"), read(bank, "c2"), ask(bank, "c2", "c1", "c1")
    assert places(bank, "c1") == [listed, listed, alone]
    assert places(bank, "c2") == [listed, other]


def deliveries(bank: World, who: str) -> list[str]:
    return [entry["delivery"] for _, entry in entries_of(bank.gate.journal.reads, bank.ledger, who)]


def test_g150_what_became_of_an_answer_is_noted_once_and_else_unknown(bank: World) -> None:
    journal = bank.gate.journal
    entries = [read(bank, "c1") for _ in range(3)]
    listed = ask(bank, "c1", "c2")
    for entry, *ends in (
        (entries[0], Delivery.DELIVERED, Delivery.CUT),
        (entries[1], Delivery.CUT),
        (listed, Delivery.DELIVERED),
    ):
        for each in ends:
            journal.logged(entry).ended(each)
            journal.deliveries.flush()
    assert deliveries(bank, "c1") == ["delivered", "unknown", "cut", "delivered"]
    assert deliveries(bank, "c2") == ["delivered"]


def test_g150_notes_are_written_without_being_asked_for_and_before_the_log_ends(
    bank: World,
) -> None:
    journal, entries = bank.gate.journal, [read(bank, "c1") for _ in range(3)]
    journal.logged(entries[0]).ended(Delivery.DELIVERED)
    deadline = monotonic() + 180
    while deliveries(bank, "c1")[-1] == "unknown" and monotonic() < deadline:
        sleep(0.01)
    journal.logged(entries[1]).ended(Delivery.CUT)
    journal.end()
    journal.logged(entries[2]).ended(Delivery.DELIVERED)
    reads = ReadLogDatabase(journal.reads.folder.parent.parent, journal.reads.instance)
    found = [entry["delivery"] for _, entry in entries_of(reads, bank.ledger, "c1")]
    reads.close()
    assert found == ["unknown", "cut", "delivered"]


def test_g150_whose_row_was_taken_out_is_cut_and_nobody_else(bank: World) -> None:
    request = TableRequest("analytics", "segmentation", AGE, NOON)
    answer = read_rows(bank.gate, request)
    bank.says("c2", Withdrawn("segmentation", None))
    assert answer.table.num_rows == 1
    answer.ended(Delivery.DELIVERED)
    bank.gate.journal.deliveries.flush()
    assert deliveries(bank, "c1") == ["delivered"]
    assert deliveries(bank, "c2") == ["cut"]


def test_g34_a_customers_reads_are_found_in_sorted_runs(bank: World) -> None:
    decision, other = bank.gate.decide_in_writing(
        [Question("analytics", "segmentation", ("c1", "c2"), AGE)], NOON
    )
    read(bank, "c1")
    bank.gate.journal.record_all([(other, "c2")] * (2 * RUN))
    bank.gate.journal.record(decision, "c1")
    assert places(bank, "c1") == [2 * RUN + 1, 0]


def test_g60_the_log_is_replayed_and_inspected_beside_its_writer(
    bank: World, home: Path, tmp_path: Path
) -> None:
    read(bank, "c1")
    ask(bank, "c1", "c2")
    ledger = partial(Follower, tmp_path / "ledger")
    report = replay(ledger, home, INSTANCE, ReplayGrounds(SCENES, shipped()))
    assert (report.derived, report.differences) == (2, [])
    with bank.gate.journal.reads.reader() as stored:
        assert [*inspection.missing(stored, bank.gate.journal.reads.folder, {})] == []


GONE = {
    "a row of customers": ("owner", "DELETE FROM owner WHERE bundle = 1", "lacks some"),
    "the end of a row": (
        "owner",
        "UPDATE owner SET names = substr(names, 1, 16) WHERE bundle = 0",
        "lacks some",
    ),
    "a sorted run": ("run", "DELETE FROM run WHERE number = 0", "does not find them"),
    "a run of other entries": (
        "run",
        "UPDATE run SET at = heads",
        "does not find them",
    ),
    "decisions in a list": ("member", "DELETE FROM member", "lacks decisions of its list"),
}


@pytest.mark.parametrize("what", GONE)
def test_g121_an_index_that_would_not_find_a_customers_read_is_named(
    bank: World, tmp_path: Path, what: str
) -> None:
    """Such a row is all that it takes to hide a read from a customer's page."""
    table, act, said = GONE[what]
    (decision, other) = bank.gate.decide_in_writing(
        [Question("analytics", "segmentation", ("c1", "c2"), AGE)], NOON
    )
    if table == "member":
        ask(bank, "c1", "c2")
    else:
        bank.gate.journal.record_all([(decision, "c1"), (other, "c2")] * (RUN // 2))
    reads = bank.gate.journal.reads
    with reads.reader() as stored:
        assert [*inspection.missing(stored, reads.folder, {})] == []
    with reads.engine.begin() as connection:
        if reads.is_postgres:
            connection.exec_driver_sql(f'SET LOCAL search_path TO "{READS.named(INSTANCE).name}"')
        connection.exec_driver_sql(act)
    with reads.reader() as stored:
        found = [*inspection.missing(stored, reads.folder, {})]
    assert any(said in wrong for _, wrong in found), found


def test_a_log_goes_on_where_it_ended(bank: World, home: Path) -> None:
    signer = signed_note.generate("test.example/reads-2")
    for first in (0, 3):
        reads = ReadLogDatabase(home, "reads-2")
        written = Journal(reads.log("test.example/reads-2", signer), bank.ledger, reads)
        (decision,) = bank.gate.decide_in_writing(
            [Question("analytics", "segmentation", ("c1",), AGE)], NOON
        )
        assert [written.record(decision, "c1") for _ in range(3)] == [first, first + 1, first + 2]
    assert [at for at, _ in entries_of(reads, bank.ledger, "c1")] == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("before", [0, 1])
def test_a_second_writer_is_refused(bank: World, home: Path, before: int) -> None:
    signer = signed_note.generate("test.example/reads-2")
    (decision,) = bank.gate.decide_in_writing(
        [Question("analytics", "segmentation", ("c1",), AGE)], NOON
    )

    def opened() -> Journal:
        reads = ReadLogDatabase(home, "reads-2")
        return Journal(reads.log("test.example/reads-2", signer), bank.ledger, reads)

    for _ in range(before):
        opened().record(decision, "c1")
    one, two = opened(), opened()
    assert one.record(decision, "c1") == before
    with pytest.raises(JournalError, match="another process writes this read log"):
        two.record(decision, "c1")
    assert one.record(decision, "c1") == before + 1


def test_a_commit_whose_acknowledgement_was_lost_is_not_lost(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off() -> None:
        commit()
        raise OperationalError("", None, Exception("the connection was lost"))

    with stored_at(tmp_path / "gate", fresh(address)) as home:
        bank = gate_at(home, tmp_path / "ledger")
        writer = bank.gate.journal._store.writer
        commit = writer.commit
        monkeypatch.setattr(writer, "commit", cut_off)
        with pytest.raises(JournalError, match="check its disk or server"):
            read(bank, "c1")
        monkeypatch.undo()
        assert read(bank, "c1") == 1
        assert places(bank, "c1") == [1, 0]


def test_every_instance_is_listed_by_its_name(bank: World, home: Path) -> None:
    names = [INSTANCE, "reads-00ff", "reads-a-b_c"]
    for each in names[1:]:
        ReadLogDatabase(home, each)
    assert instances(home) == sorted(names)
    read(bank, "c1")
    logs = ReadLogDatabases(home)
    sizes = {}
    for log in logs.all():
        with log.reader() as stored:
            sizes[log.instance] = head.size if (head := stored.head()) else 0
    assert sizes == {INSTANCE: 1, "reads-00ff": 0, "reads-a-b_c": 0}
    logs.close()


def test_what_is_read_often_does_not_keep_every_log_open(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("OPEN_FILES", "OPEN_SCHEMAS"):
        monkeypatch.setattr(f"gate.storage.read_log.{limit}", 2)
    logs = ReadLogDatabases(home)
    for each in ("reads-1", "reads-2", "reads-3"):
        ReadLogDatabase(home, each)
    first = logs.get("reads-1").reader()
    assert [each.instance for each in logs.all()] == ["reads-1", "reads-2", "reads-3"]
    assert [*logs._open] == ["reads-2", "reads-3"]
    assert first.head() is None  # who was reading goes on
    first.close()


def test_read_logs_of_commit_4a7671d_are_migrated(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "data"
    for each in instances(home):
        with pytest.raises(SchemaVersionError, match="sovereign migrate"):
            ReadLogDatabase(home, each)
        migrated = migrate(database.of(home), READS.named(each))
        assert migrated == ("", READS.version)
        with ReadLogDatabase(home, each).reader() as stored:
            assert stored.head() is None or stored.bundle(0)


def test_a_removed_read_log_leaves_nothing_and_removing_it_may_be_repeated(home: Path) -> None:
    logs = ReadLogDatabases(home)
    for name in ("reads-1", "reads-2"):
        logs.get(name).claim()
    logs.remove("reads-1")
    logs.remove("reads-1")
    assert logs.instances() == instances(home) == ["reads-2"]
    assert not (home / "reads/reads-1").exists()
    logs.close()
