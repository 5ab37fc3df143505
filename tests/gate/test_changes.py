"""The feed of changes: what a service must forget or may read again (specs/gate.md, G151–G157)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.changes import departing, pseudonyms
from gate.changes.advance import CHUNK
from gate.changes.feed import ChangeFeed, DroppedLinesError, FeedPausedError
from gate.changes.token import UnknownTokenError
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_rows, read_table
from gate.reads.request import ReadRequest
from gate.storage.read_log import ReadLogDatabases
from ledger.errors import CorruptLogError
from ledger.events.acts import Granted, SourceDeleted, TriggerSet, Withdrawn
from ledger.events.envelope import ReadLogOpened
from ledger.service import Ledger
from ledger.tlog import signed_note
from tests.gate.world import INSTANCE, NOON, WORDING, World, world
from tests.postgres import fresh, stored_at

SERVICE, SCENE = "analytics", "segmentation"
SECRET = bytes(32)
HOUR = timedelta(hours=1)


@dataclass
class Reader:
    """A service that reads and polls, each time from where it left off."""

    bank: World
    home: Path
    service: str = SERVICE
    token: str | None = None
    at: datetime = NOON
    feed: ChangeFeed = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.feed = ChangeFeed(self.bank.gate, self.bank.ledger, self.home, SECRET, self.at)

    def reads(self, customer: str, *fields: str, scene: str = SCENE) -> str:
        request = ReadRequest(self.service, scene, customer, fields or ("age",), self.at)
        return str(self.bank.gate.read(request).decision.reason)

    def poll(self, limit: int = 100) -> list[tuple[Any, ...]]:
        page = self.feed.page(self.service, self.token, limit, self.at)
        self.token = page.token
        return [
            (e.line.action, e.customer, e.line.scene, e.line.fields, e.line.reason)
            for e in page.lines
        ]


def forget(customer: str | None, *fields: str, why: str, scene: str = SCENE) -> tuple[Any, ...]:
    return "forget", customer, scene, fields, why


def refresh(customer: str, *fields: str, why: str = "granted") -> tuple[Any, ...]:
    return "refresh", customer, SCENE, fields, why


@pytest.fixture(params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    address = ""
    if request.param == "postgres":
        address = fresh(request.getfixturevalue("address"))
    with stored_at(tmp_path / "home", address) as made:
        yield made


def served(home: Path) -> Reader:
    """A bank whose read log is announced, and a service."""
    bank = world(home)
    announce(bank, (home / "keys" / f"{INSTANCE}.vkey").read_text("utf-8").strip())
    return Reader(bank, home)


def announce(bank: World, vkey: str) -> None:
    origin = signed_note.vkey_parts(vkey)[0]
    bank.ledger.announce([ReadLogOpened(origin, vkey, NOON)])


@pytest.fixture
def reader(home: Path) -> Reader:
    return served(home)


def test_a_withdrawal_after_a_read_is_told_in_the_next_poll(reader: Reader) -> None:
    """G151."""
    reader.bank.says("c1", Granted(SCENE, ("age", "job"), None))
    assert reader.reads("c1", "age", "job") == "granted"
    assert reader.poll() == []
    reader.bank.says("c1", Withdrawn(SCENE, ("job",)))
    assert reader.poll() == [forget("c1", "job", why="field-not-granted")]
    reader.bank.says("c1", Withdrawn(SCENE))
    assert reader.poll() == [forget("c1", "age", why="withdrawn")]
    assert reader.poll() == []
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    assert reader.poll() == [refresh("c1", "age")]
    reader.token = None
    assert [each[0] for each in reader.poll()] == ["forget", "forget", "refresh"]


def test_a_line_names_the_entry_that_changed_it_however_far_the_feed_is_behind(
    reader: Reader,
) -> None:
    """G155, in the first poll after more entries than are looked at together."""
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    ledger = reader.bank.ledger
    act = Granted("direct-marketing", ("name",), None)
    others = [f"n{number}" for number in range(CHUNK + 44)]
    ledger.record([ledger.draft(each, act, at=NOON, wording=WORDING) for each in others])
    assert reader.reads("c1") == "granted"
    entry = reader.bank.says("c1", Withdrawn(SCENE))
    (line,) = reader.feed.page(SERVICE, None, 9, reader.at).lines
    assert (line.line.action, line.line.reason) == ("forget", "withdrawn")
    assert line.line.ledger_size == entry + 1


def test_what_one_service_read_is_told_to_no_other(reader: Reader) -> None:
    """G152: neither that a customer exists nor that they withdrew."""
    other = Reader(reader.bank, reader.home, "crm")
    for customer in ("c1", "c2"):
        reader.bank.says(customer, Granted(SCENE, ("age",), None))
    reader.bank.says("c3", Withdrawn(SCENE))
    assert reader.reads("c1") == "granted"
    assert reader.reads("c3") == "withdrawn"  # nothing was received
    for customer in ("c1", "c2", "c3"):
        reader.bank.says(customer, Withdrawn(SCENE))
    assert reader.poll() == [forget("c1", "age", why="withdrawn")]
    assert other.poll() == []


def test_what_happened_before_the_first_read_is_not_told(reader: Reader) -> None:
    """G152: the feed says nothing of a customer's past."""
    reader.bank.says("c1", Granted(SCENE, ("age", "job"), None))
    reader.bank.says("c1", Withdrawn(SCENE))
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1", "age")
    assert reader.poll() == []
    reader.bank.says("c1", Withdrawn(SCENE))
    assert reader.poll() == [forget("c1", "age", why="withdrawn")]


def test_a_field_that_was_not_received_is_not_told(reader: Reader) -> None:
    reader.bank.says("c1", Granted(SCENE, ("age", "job"), None))
    reader.reads("c1", "age")
    reader.bank.says("c1", Withdrawn(SCENE, ("job",)))
    assert reader.poll() == []


def test_a_withdrawal_is_told_although_the_same_was_granted_again(reader: Reader) -> None:
    """G151."""
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1")
    reader.bank.says("c1", Withdrawn(SCENE))
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    assert reader.poll() == [forget("c1", "age", why="withdrawn"), refresh("c1", "age")]


def test_a_grant_that_is_renewed_is_told_with_its_end(reader: Reader) -> None:
    reader.bank.says("c1", Granted(SCENE, ("age",), NOON + HOUR))
    reader.reads("c1")
    reader.bank.says("c1", Granted(SCENE, ("age",), NOON + 2 * HOUR))
    page = reader.feed.page(SERVICE, None, 10, NOON)
    (line,) = page.lines
    assert (line.line.action, line.line.until) == (
        "refresh",
        int((NOON + 2 * HOUR).timestamp()),
    )


def test_the_end_of_a_grant_is_told_without_any_entry(reader: Reader) -> None:
    """G154."""
    reader.bank.says("c1", Granted(SCENE, ("age",), NOON + HOUR))
    reader.reads("c1")
    reader.poll()
    reader.at = NOON + HOUR - timedelta(seconds=1)
    assert reader.poll() == []
    reader.at = NOON + HOUR
    page = reader.feed.page(SERVICE, reader.token, 10, reader.at)
    assert [each.line.at for each in page.lines] == [int((NOON + HOUR).timestamp())]
    assert reader.poll() == [forget("c1", "age", why="expired")]
    reader.at += HOUR
    assert reader.poll() == []


def test_a_grant_that_ended_while_nothing_ran_is_told_after_the_start(reader: Reader) -> None:
    """G154."""
    reader.bank.says("c1", Granted(SCENE, ("age",), NOON + HOUR))
    reader.reads("c1")
    reader.poll()
    reader.at = NOON + 3 * HOUR
    reader.restart()
    assert reader.poll() == [forget("c1", "age", why="expired")]


def test_a_condition_that_freezes_is_told_and_so_is_its_end(reader: Reader) -> None:
    """G154."""
    bank = reader.bank
    bank.reports("accuracy", 9600)
    for customer in ("c1", "c2"):
        bank.says(customer, Granted(SCENE, ("age",), None))
    bank.says("c1", TriggerSet(SCENE, "metric_below", "accuracy", 9200))
    for customer in ("c1", "c2"):
        assert reader.reads(customer) == "granted"
    assert reader.poll() == []
    bank.reports("accuracy", 9100, NOON + timedelta(seconds=1))
    reader.at += timedelta(seconds=2)
    assert reader.poll() == [forget("c1", "age", why="frozen")]
    bank.reports("accuracy", 9700, NOON + timedelta(seconds=3))
    reader.at += timedelta(seconds=4)
    assert reader.poll() == [refresh("c1", "age")]


def test_a_signal_that_becomes_too_old_is_told(reader: Reader) -> None:
    """G154: nobody reports anything."""
    bank = reader.bank
    bank.reports("accuracy", 9600)
    bank.says("c1", Granted(SCENE, ("age",), None))
    bank.says("c1", TriggerSet(SCENE, "metric_below", "accuracy", 9200))
    reader.reads("c1")
    assert reader.poll() == []
    reader.at += timedelta(days=8)
    assert reader.poll() == [forget("c1", "age", why="frozen")]


def test_a_signal_is_too_old_again_at_a_gate_that_did_not_see_it_renewed(reader: Reader) -> None:
    """G154: gates take turns."""
    bank = reader.bank
    bank.says("c1", Granted(SCENE, ("age",), None))
    bank.says("c1", TriggerSet(SCENE, "metric_below", "accuracy", 9200))
    other = Reader(bank, reader.home)
    assert reader.poll() == []  # there is no report yet
    bank.reports("accuracy", 9600)
    reader.reads("c1")
    assert other.poll() == []
    reader.at += timedelta(days=8)
    assert reader.poll() == [forget("c1", "age", why="frozen")]


def test_a_condition_that_is_set_freezes_at_once_and_is_told(reader: Reader) -> None:
    """G151: its entry neither grants nor withdraws."""
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1")
    reader.bank.says("c1", TriggerSet(SCENE, "metric_below", "accuracy", 9200))
    assert reader.poll() == [forget("c1", "age", why="frozen")]


def test_a_coarser_value_is_named_by_the_coarser_field(reader: Reader) -> None:
    scene, bank = "nearest-branch", reader.bank
    bank.says("c1", Granted(scene, ("postcode_area",), None))
    reader.reads("c1", "location", scene=scene)
    bank.says("c1", Withdrawn(scene))
    assert reader.poll() == [forget("c1", "postcode_area", why="withdrawn", scene=scene)]


def test_an_answer_with_ids_is_told_like_single_reads(reader: Reader) -> None:
    """G151: rows name the customers, a table does not."""
    scene = "direct-marketing"
    for customer in ("c1", "c2"):
        reader.bank.says(customer, Granted(scene, ("email",), NOON + HOUR))
    request = TableRequest(reader.service, scene, ("email",), NOON)
    answer = read_rows(reader.bank.gate, request)
    assert answer.table.num_rows == 2
    assert reader.poll() == []
    reader.bank.says("c1", Withdrawn(scene))
    assert reader.poll() == [forget("c1", "email", why="withdrawn", scene=scene)]
    reader.bank.says("c1", Granted(scene, ("email",), NOON + HOUR))
    assert reader.poll() == [("refresh", "c1", scene, ("email",), "granted")]
    reader.restart()
    reader.at = NOON + HOUR
    assert {*reader.poll()} == {
        forget(each, "email", why="expired", scene=scene) for each in ("c1", "c2")
    }


def test_what_was_delivered_again_between_two_polls_is_to_be_forgotten_again(
    reader: Reader,
) -> None:
    """G151: the last poll said `forget` already, of what was delivered before."""
    scene, bank = "direct-marketing", reader.bank
    request = TableRequest(SERVICE, scene, ("email",), NOON)
    for customer in ("c1", "c2"):
        bank.says(customer, Granted(scene, ("email",), None))
    read_rows(bank.gate, request)
    for customer in ("c1", "c2"):
        bank.says(customer, Withdrawn(scene))
    assert len(reader.poll()) == 2
    bank.says("c1", Granted(scene, ("email",), None))
    assert read_rows(bank.gate, request).table.num_rows == 1
    bank.says("c1", Withdrawn(scene))
    assert reader.poll() == [forget("c1", "email", why="withdrawn", scene=scene)]


def test_a_table_names_nobody_and_neither_does_the_feed(reader: Reader) -> None:
    """G152."""
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    assert (
        read_table(reader.bank.gate, TableRequest(SERVICE, SCENE, ("age",), NOON)).authorised == 1
    )
    reader.bank.says("c1", Withdrawn(SCENE))
    assert reader.poll() == []


def test_a_read_that_became_known_after_the_withdrawal_is_told(reader: Reader) -> None:
    """G151: it was decided before, and its entry was written after the feed had passed."""
    bank, gate = reader.bank, reader.bank.gate
    bank.says("c1", Granted(SCENE, ("age",), None))
    entries: list[Any] = []
    record = gate.journal.record_all
    request = ReadRequest(SERVICE, SCENE, "c1", ("age",), NOON)

    class Late:
        """A journal that other things overtake."""

        def __getattr__(self, name: str) -> Any:
            return getattr(journal, name)

        def record_all(self, asked: Any) -> range:
            entries.append(bank.says("c1", Withdrawn(SCENE)))
            assert reader.poll() == []
            return record(asked)

    journal = gate.journal
    gate.continue_in(Late())  # type: ignore[arg-type] # it does what a journal does
    assert gate.read(request).decision.reason == "granted"
    gate.continue_in(journal)
    assert reader.poll() == [forget("c1", "age", why="withdrawn")]


def test_a_customer_who_was_deleted_at_the_source_is_forgotten(reader: Reader) -> None:
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1")
    reader.bank.says("c1", SourceDeleted())
    assert reader.poll() == [forget("c1", "age", why="withdrawn")]


def erase(reader: Reader, customer: str) -> None:
    """As portal.operations.erasure does."""
    ledger = reader.bank.ledger
    covered = departing.note(reader.home, ledger, SECRET, customer)
    ledger.erase(customer, reader.at)
    departing.settle(reader.home, ledger, covered)


@pytest.mark.parametrize("with_ids", [False, True], ids=["single read", "rows"])
def test_an_erased_customer_is_forgotten_by_a_hash_of_their_id(
    reader: Reader, with_ids: bool
) -> None:
    """G153."""
    bank, other = reader.bank, Reader(reader.bank, reader.home, "crm")
    bank.says("c1", Granted(SCENE, ("age",), None))
    if with_ids:
        scene = "direct-marketing"
        bank.says("c1", Granted(scene, ("email",), None))
        read_rows(bank.gate, TableRequest(reader.service, scene, ("email",), NOON))
    else:
        reader.reads("c1")
    begun = reader.feed.page(reader.service, None, 10, NOON).token
    bank.says("c1", Withdrawn(SCENE))
    bank.says("c1", Withdrawn("direct-marketing"))
    assert [each[1] for each in reader.poll()] == ["c1"]
    erase(reader, "c1")
    page = reader.feed.page(reader.service, begun, 10, NOON)
    (line,) = page.lines
    assert (line.customer, line.line.scene, line.line.reason) == (None, None, "erased")
    assert line.line.hash == pseudonyms.hashed(reader.feed.hash_key, "c1")
    assert reader.poll() == [forget(None, why="erased", scene=None)]  # type: ignore[arg-type] # every scene
    assert reader.poll() == other.poll() == []


def test_nothing_stored_names_an_erased_customer(tmp_path: Path) -> None:
    """G153: an id is stored nowhere; what links entries of theirs goes within a minute."""
    reader = served(tmp_path)
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1")
    reader.bank.says("c1", Withdrawn(SCENE))
    reader.poll()
    names = pseudonyms.every(reader.bank.ledger, "c1", [reader.bank.gate.journal.log.origin])

    def stored() -> bytes:
        return b"".join(each.read_bytes() for each in sorted(tmp_path.glob("changes.sqlite*")))

    assert names[0] in stored()
    erase(reader, "c1")
    reader.at += timedelta(seconds=1)
    reader.feed.advance(reader.at)
    reader.at += timedelta(minutes=2)
    reader.feed.advance(reader.at)
    assert [each for each in names if each in stored()] == []


def test_who_comes_back_after_an_erasure_is_somebody_new(reader: Reader) -> None:
    """G153."""
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1")
    erase(reader, "c1")
    reader.bank.ledger.create_keys(["c1"])
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.bank.says("c1", Withdrawn(SCENE))
    assert reader.poll() == [forget(None, why="erased", scene=None)]  # type: ignore[arg-type] # every scene


def test_a_log_that_began_during_an_erasure_ends_every_token(reader: Reader) -> None:
    """G153: what could not be looked up is not taken for nothing."""
    reader.poll()
    erase(reader, "c2")
    reader.poll()
    ledger = reader.bank.ledger
    covered = departing.note(reader.home, ledger, SECRET, "c1")
    announce(reader.bank, str(signed_note.generate("test.example/reads-2").verifier))
    departing.settle(reader.home, ledger, covered)
    with pytest.raises(UnknownTokenError):
        reader.poll()


def test_tokens_lead_on_at_every_gate_and_after_a_restart(reader: Reader) -> None:
    """G155."""
    other = Reader(reader.bank, reader.home)
    for customer in ("c1", "c2", "c3"):
        reader.bank.says(customer, Granted(SCENE, ("age",), None))
        reader.reads(customer)
    for customer in ("c2", "c3", "c1"):
        reader.bank.says(customer, Withdrawn(SCENE))
    seen = [*reader.poll(limit=1)]
    other.token = reader.token
    seen += other.poll(limit=1)
    reader.restart()
    reader.token = other.token
    assert seen + reader.poll() == [
        forget(each, "age", why="withdrawn") for each in ("c2", "c3", "c1")
    ]


def test_the_token_of_each_line_leads_to_the_next(reader: Reader) -> None:
    """G155."""
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1")
    for _ in range(3):
        reader.bank.says("c1", Withdrawn(SCENE))
        reader.bank.says("c1", Granted(SCENE, ("age",), None))
        reader.feed.advance(NOON)
    page = reader.feed.page(SERVICE, None, 100, NOON)
    assert len(page.lines) == 6
    for place, line in enumerate(page.lines):
        rest = reader.feed.page(SERVICE, line.token, 100, NOON).lines
        assert [each.line for each in rest] == [each.line for each in page.lines[place + 1 :]]
    sizes = [each.line.ledger_size for each in page.lines]
    assert sizes == sorted(sizes)


BAD_TOKENS = {
    "empty": "",
    "another alphabet": "é" * 32,
    "shorter": "A" * 31,
    "longer": "A" * 36,
    "made up": "A" * 32,
    "spaces": " " * 32,
}


@pytest.mark.parametrize("why", BAD_TOKENS)
def test_a_token_that_is_not_understood_is_refused(why: str, tmp_path: Path) -> None:
    """G155."""
    reader = served(tmp_path)
    reader.token = BAD_TOKENS[why]
    with pytest.raises(UnknownTokenError, match="leave it out"):
        reader.poll()


def test_a_token_of_another_service_or_with_one_changed_character_is_refused(
    tmp_path: Path,
) -> None:
    """G155."""
    reader = served(tmp_path)
    reader.poll()
    token = reader.token or ""
    with pytest.raises(UnknownTokenError):
        Reader(reader.bank, tmp_path, "crm", token).poll()
    for place in range(len(token)):
        changed = token[:place] + ("B" if token[place] != "B" else "C") + token[place + 1 :]
        with pytest.raises(UnknownTokenError):
            Reader(reader.bank, tmp_path, token=changed).poll()


def test_lines_are_kept_for_ninety_days_and_an_older_token_says_so(reader: Reader) -> None:
    """G155."""
    reader.bank.says("c1", Granted(SCENE, ("age",), NOON + HOUR))
    reader.reads("c1")
    reader.poll()
    old = reader.token
    reader.bank.says("c1", Withdrawn(SCENE))
    assert len(reader.poll()) == 1
    reader.at += timedelta(days=89)
    reader.token = old
    assert len(reader.poll()) == 1
    reader.at += timedelta(days=2)
    newest = reader.token
    reader.token = old
    with pytest.raises(DroppedLinesError, match="90 days"):
        reader.poll()
    reader.token = newest
    assert reader.poll() == []
    page = reader.feed.page(SERVICE, None, 10, reader.at)
    assert page.kept_since == reader.at - timedelta(days=90)


def test_a_suspended_scene_pauses_the_feed_and_nothing_is_lost(reader: Reader) -> None:
    """G156: could not look is not looked and found nothing."""
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1")
    reader.poll()
    reader.bank.gate.suspend(SCENE)
    reader.bank.says("c1", Withdrawn(SCENE))
    with pytest.raises(FeedPausedError):
        reader.poll()
    reader.bank.gate.suspended.clear()
    assert reader.poll() == [forget("c1", "age", why="withdrawn")]


def test_what_no_service_may_be_stopped_from_reading_is_not_in_the_feed(reader: Reader) -> None:
    """G151: nothing that a customer says changes a locked scene."""
    scene, reader.service = "contract-service", "core-banking"
    found = reader.bank.gate.scenes[scene]
    (service, *_), (name, *_) = found.services, found.fields
    reader.service = service.id
    assert found.locked
    reader.reads("c1", name, scene=scene)
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.bank.says("c1", SourceDeleted())
    assert reader.poll() == []


def test_a_read_log_that_was_removed_is_not_missed(reader: Reader) -> None:
    """G151: it was folded before."""
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.reads("c1")
    reader.feed.advance(NOON)
    reader.bank.gate.journal.end()
    ReadLogDatabases(reader.home).remove(INSTANCE)
    reader.restart()
    reader.bank.says("c1", Withdrawn(SCENE))
    assert reader.poll() == [forget("c1", "age", why="withdrawn")]


class Failing:
    """A ledger that stops in the middle, once: after some entries, or when it counts customers."""

    def __init__(self, ledger: Ledger, after: int = 0) -> None:
        self._ledger, self._left, self.counts = ledger, after, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def numbers(self, subjects: Sequence[str]) -> Mapping[str, int]:
        counts, self.counts = self.counts, True
        if not counts:
            raise CorruptLogError("the disk is gone")
        return self._ledger.numbers(subjects)

    def follow(self, since: int) -> Iterator[Any]:
        for each in self._ledger.follow(since):
            self._left -= 1
            if self._left == 0:
                raise CorruptLogError("the disk is gone")
            yield each


def test_a_signal_that_became_too_old_is_told_although_the_first_look_failed(
    reader: Reader,
) -> None:
    """G154, G156."""
    reader.bank.reports("accuracy", 9600)
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.bank.says("c1", TriggerSet(SCENE, "metric_below", "accuracy", 9200))
    reader.reads("c1")
    ledger: Any = Failing(reader.bank.ledger)
    reader.feed = ChangeFeed(reader.bank.gate, ledger, reader.home, SECRET, NOON)
    assert reader.poll() == []
    reader.at += timedelta(days=8)
    ledger.counts = False
    with pytest.raises(CorruptLogError):
        reader.poll()
    assert reader.poll() == [forget("c1", "age", why="frozen")]


@pytest.mark.parametrize("after", range(1, 5))
def test_a_poll_that_fails_in_the_middle_is_repeated_whole(after: int, reader: Reader) -> None:
    """G156: all lines up to a ledger size, or none."""
    for customer in ("c1", "c2"):
        reader.bank.says(customer, Granted(SCENE, ("age",), None))
        reader.reads(customer)
    reader.poll()
    for customer in ("c1", "c2"):
        reader.bank.says(customer, Withdrawn(SCENE))
        reader.bank.says(customer, Granted(SCENE, ("age",), None))
    ledger: Any = Failing(reader.bank.ledger, after)
    reader.feed = ChangeFeed(reader.bank.gate, ledger, reader.home, SECRET, NOON)
    with pytest.raises(CorruptLogError):
        reader.poll()
    assert [each[:2] for each in reader.poll()] == [
        ("forget", "c1"),
        ("refresh", "c1"),
        ("forget", "c2"),
        ("refresh", "c2"),
    ]


def test_reads_of_before_the_feed_began_are_in_it(tmp_path: Path) -> None:
    """G151: an earlier version served them, or the feed's database was lost."""
    reader = served(tmp_path)
    reader.bank.says("c1", Granted(SCENE, ("age",), None))
    reader.bank.says("c2", Granted(SCENE, ("age",), NOON + HOUR))
    for customer in ("c1", "c2"):
        reader.reads(customer)
    reader.bank.says("c1", Withdrawn(SCENE))
    reader.at += 2 * HOUR
    told = {*reader.poll()}
    assert told == {forget("c1", "age", why="withdrawn"), forget("c2", "age", why="expired")}
    for path in tmp_path.glob("changes.sqlite*"):
        path.unlink()
    reader.restart()
    with pytest.raises(UnknownTokenError):
        reader.poll()
    reader.token = None
    assert {*reader.poll()} == told
