"""Signals: reported by who evaluated, signed, and executed without an event per customer."""

import csv
import gzip
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gate.decision.decide import Reason
from gate.reads.request import ReadRequest
from ledger.events import envelope
from ledger.events.envelope import Granted, ServiceRegistered, SignalReported, TriggerSet
from ledger.tlog import signed_note
from steward.cases.changes import ChangeKind
from steward.oversight.model_signals import HEADER, SignalError, Signals, accuracy, signed
from tests.gate.world import NOON, World, world
from tests.steward.change.office import ALL, office
from tests.synthetic.material import bank_path

MONITOR = signed_note.generate("monitor")
SOMEBODY = signed_note.generate("somebody")
MINUTE, WEEK = timedelta(minutes=1), timedelta(days=7)
WATCHING = [f"w{number:03}" for number in range(40)]
OTHERS = [f"o{number:03}" for number in range(60)]


def accuracy_of(value: int, at: datetime = NOON, source: str = "monitor") -> SignalReported:
    return SignalReported(source, "accuracy", value, at)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    Signals(bank.ledger).register(str(MONITOR.verifier), NOON)
    return bank


def frozen(bank: World, at: datetime = NOON) -> set[str]:
    """Whose next read is frozen; everybody else's must pass."""
    found: dict[str, Reason] = {}
    for who in (*WATCHING, *OTHERS):
        request = ReadRequest("analytics", "segmentation", who, ("age",), at)
        found[who] = bank.gate.decide(request).reason
    assert set(found.values()) <= {Reason.GRANTED, Reason.FROZEN}
    return {who for who, reason in found.items() if reason is Reason.FROZEN}


def test_s40_92_0_passes_and_91_99_freezes_exactly_who_asked_for_it(bank: World) -> None:
    """No event per customer; the next good signal thaws; a missing one freezes."""
    signals = Signals(bank.ledger)
    for who in (*WATCHING, *OTHERS):
        bank.says(who, Granted("segmentation", ALL, None))
    for who in WATCHING:
        bank.says(who, TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    assert frozen(bank) == {*WATCHING}, "a signal that was never reported"
    size = bank.ledger.size
    for minutes, (value, expected) in enumerate(
        ((9200, set()), (9199, {*WATCHING}), (9200, set()))
    ):
        at = NOON + minutes * MINUTE
        signals.accept(signed(accuracy_of(value, at), MONITOR), at)
        assert frozen(bank, at) == expected, value
        assert bank.ledger.size == size + minutes + 1
    assert frozen(bank, NOON + WEEK + MINUTE) == set()
    assert frozen(bank, NOON + WEEK + 2 * MINUTE) == {*WATCHING}, "the signal went missing"


def test_s40_one_report_is_one_case_with_a_count(bank: World, tmp_path: Path) -> None:
    desk = office(tmp_path, bank=bank)
    signals = Signals(bank.ledger)
    signals.accept(signed(accuracy_of(9200), MONITOR), NOON)
    for who in (*WATCHING, *OTHERS):
        bank.says(who, Granted("segmentation", ALL, None))
    for who in WATCHING:
        bank.says(who, TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    desk.run()
    signals.accept(signed(accuracy_of(9199, NOON + MINUTE), MONITOR), NOON + MINUTE)
    desk.run(NOON + MINUTE)
    (case,) = desk.cases.open_cases()
    assert (case.kind, case.count, case.live) == (ChangeKind.FREEZE, 40, 100)
    assert desk.cases.entries(case.id) == [bank.ledger.size - 1]


def test_s41_the_figure_comes_from_an_evaluation() -> None:
    """Of a model that expects nobody to buy, on the bank's own customers."""
    with gzip.open(bank_path(), "rt") as lines:
        actual = [row["y"] for row in csv.DictReader(lines)]
    right = actual.count("no")
    assert accuracy(["no"] * len(actual), actual) == right * 10_000 // len(actual) == 8830


ROUNDED = {(22_999, 25_000): 9199, (23_000, 25_000): 9200, (0, 7): 0, (7, 7): 10_000, (2, 3): 6666}


@pytest.mark.parametrize(("right", "of"), ROUNDED)
def test_s41_accuracy_is_rounded_down(right: int, of: int) -> None:
    assert accuracy([True] * of, [True] * right + [False] * (of - right)) == ROUNDED[right, of]


@pytest.mark.parametrize(("predicted", "actual"), [([], []), ([1], [1, 2])])
def test_s41_nothing_to_compare_is_no_accuracy(predicted: list[int], actual: list[int]) -> None:
    with pytest.raises(SignalError, match="want one each"):
        accuracy(predicted, actual)


def test_s42_a_report_is_recorded_as_it_was_signed(bank: World) -> None:
    report = accuracy_of(9200)
    assert Signals(bank.ledger).accept(signed(report, MONITOR), NOON) == report
    assert [*bank.ledger.announced()][-1].event == report


def other_text(body: str) -> str:
    return str(signed_note.sign(body, [MONITOR]))


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "signed by somebody else": (lambda: signed(accuracy_of(1), SOMEBODY), "0 signatures"),
    "by an impostor of the same name": (
        lambda: signed(accuracy_of(1), signed_note.generate("monitor")),
        "0 signatures",
    ),
    "for another service": (
        lambda: signed(accuracy_of(1, source="somebody"), MONITOR),
        "not registered",
    ),
    "another value than was signed": (
        lambda: signed(accuracy_of(9100), MONITOR).replace("9100", "9900"),
        "is wrong",
    ),
    "not signed": (lambda: f"{HEADER}{envelope.encode(accuracy_of(1)).decode()}\n", "not a signed"),
    "a signature over something else": (lambda: other_text("bank.example\n7\nabc=\n"), "not"),
    "another event": (
        lambda: other_text(
            f"{HEADER}{envelope.encode(ServiceRegistered('a', 'b', NOON)).decode()}\n"
        ),
        "signal-reported",
    ),
    "a report without its header": (
        lambda: other_text(f"{envelope.encode(accuracy_of(1)).decode()}\n"),
        "signal-reported",
    ),
    "not canonical": (
        lambda: other_text(f"{HEADER}{envelope.encode(accuracy_of(1)).decode()} \n"),
        "not a signed report",
    ),
    "dated in the future": (
        lambda: signed(accuracy_of(1, NOON + MINUTE), MONITOR),
        "set the clock",
    ),
    "longer than any": (lambda: "x" * 10_000, "at most"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_s42_another_report_is_refused_and_not_recorded(why: str, bank: World) -> None:
    made, said = REFUSED[why]
    size = bank.ledger.size
    with pytest.raises(SignalError, match=said):
        Signals(bank.ledger).accept(made(), NOON)
    assert bank.ledger.size == size


def test_s43_an_old_report_cannot_be_played_again(bank: World) -> None:
    good, bad = (
        signed(accuracy_of(9900, NOON - MINUTE), MONITOR),
        signed(accuracy_of(9000), MONITOR),
    )
    signals = Signals(bank.ledger)
    signals.accept(good, NOON)
    signals.accept(bad, NOON)
    for adapter in (signals, Signals(bank.ledger)):
        with pytest.raises(SignalError, match="evaluate again"):
            adapter.accept(good, NOON)


def test_s43_sending_the_last_report_again_records_nothing_new(bank: World) -> None:
    sent = signed(accuracy_of(9200), MONITOR)
    signals = Signals(bank.ledger)
    signals.accept(sent, NOON)
    size = bank.ledger.size
    assert signals.accept(sent, NOON).value == 9200
    assert bank.ledger.size == size


def test_s44_a_new_key_replaces_the_old_one(bank: World) -> None:
    newer, signals = signed_note.generate("monitor"), Signals(bank.ledger)
    signals.register(str(newer.verifier), NOON)
    signals.register(str(newer.verifier), NOON)
    with pytest.raises(SignalError, match="0 signatures"):
        signals.accept(signed(accuracy_of(9200), MONITOR), NOON)
    signals.accept(signed(accuracy_of(9200), newer), NOON)
    registered = [e for e in bank.ledger.announced() if isinstance(e.event, ServiceRegistered)]
    assert len(registered) == 2


def test_s44_what_is_no_key_registers_nobody(bank: World) -> None:
    signals, size = Signals(bank.ledger), bank.ledger.size
    with pytest.raises(SignalError, match="as its owner printed it"):
        signals.register("monitor+key", NOON)
    assert bank.ledger.size == size


KEYS = {"another name's": str(SOMEBODY.verifier), "no key": "monitor+key", "nothing": ""}


@pytest.mark.parametrize("why", KEYS)
def test_s44_a_registration_without_a_key_of_its_name_counts_for_nobody(
    why: str, bank: World
) -> None:
    bank.ledger.announce([ServiceRegistered("monitor", KEYS[why], NOON)])
    with pytest.raises(SignalError, match="not registered"):
        Signals(bank.ledger).accept(signed(accuracy_of(9200), MONITOR), NOON)
