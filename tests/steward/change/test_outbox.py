"""Delivery: at least once, in the order of a case, with an end to trying (S35-S38)."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from ledger.events.envelope import Granted, Withdrawn
from steward.notify.outbox import (
    RETRY_AFTER_S,
    DeliveryResult,
    NoticeSender,
    Outbox,
    OutgoingNotice,
    RefusedError,
    UndeliveredError,
)
from steward.notify.webhook import Webhook
from tests.gate.world import NOON, PEOPLE
from tests.steward.change.office import ALL, Office, Pile, office
from tests.steward.change.receiver import hang_up, listening, nobody, sleep, status

KEY = bytes(32)
DAY = timedelta(days=1)
ATTEMPTS = len(RETRY_AFTER_S) + 1


def desk_of(home: Path, *channels: str) -> Office:
    """One case with two notices for each channel: it is overdue."""
    desk = office(home, channels=channels or ("crm",))
    desk.bank.says("c1", Granted("segmentation", ALL, None))
    desk.bank.says("c1", Withdrawn("segmentation"))
    desk.run()
    desk.flow._channels = lambda _role: [f"{each}/account-manager" for each in channels or ["crm"]]
    desk.run(NOON + 3 * DAY)
    return desk


@pytest.fixture
def desk(home: Path) -> Office:
    return desk_of(home)


def after(attempts: int) -> datetime:
    """When that many attempts have been made and one more is due."""
    return NOON + 3 * DAY + timedelta(seconds=sum(RETRY_AFTER_S[:attempts]))


def types(bodies: list[bytes]) -> list[str]:
    return [json.loads(each)["type"].rpartition(".")[2] for each in bodies]


def test_s36_notices_of_a_case_arrive_in_their_order(desk: Office) -> None:
    pile = Pile()
    assert desk.outbox.deliver(pile, after(0)) == DeliveryResult(2, 0, 0)
    assert types([each.body for each in pile.letters]) == ["opened", "overdue"]
    assert [json.loads(e.body)["sequence"] for e in pile.letters] == ["00000001", "00000002"]
    assert desk.outbox.deliver(pile, after(0)) == DeliveryResult(0, 0, 0)


def test_s35_what_fails_is_tried_again_on_schedule_and_not_before(desk: Office) -> None:
    pile = Pile(down=True)
    for attempt in range(ATTEMPTS):
        early = after(attempt) - timedelta(seconds=1)
        assert attempt == 0 or desk.outbox.deliver(pile, early) == DeliveryResult(0, 0, 0)
        assert sum(vars_of(desk.outbox.deliver(pile, after(attempt)))) == 1
    assert [each.attempts for each in desk.outbox.dead()] == [ATTEMPTS]
    assert desk.outbox.deliver(pile, after(7) + 99 * DAY) == DeliveryResult(0, 0, 0)


def vars_of(done: DeliveryResult) -> tuple[int, int, int]:
    return done.delivered, done.failed, done.dead


def test_s35_the_schedule_is_exponential() -> None:
    assert {b / a for a, b in pairwise(RETRY_AFTER_S)} == {4}


def test_s36_nothing_overtakes_a_notice_that_waits_or_is_dead(desk: Office) -> None:
    pile = Pile(down=True)
    desk.outbox.deliver(pile, after(0))
    pile.down = False
    assert desk.outbox.deliver(pile, after(0)) == DeliveryResult(0, 0, 0)
    pile.down = True
    for attempt in range(1, ATTEMPTS):
        desk.outbox.deliver(pile, after(attempt))
    pile.down = False
    assert desk.outbox.deliver(pile, after(7) + DAY) == DeliveryResult(0, 0, 0)
    assert types([each.body for each in desk.outbox.waiting()]) == ["overdue"]


def test_s37_a_dead_letter_says_why_and_is_replayed_in_order(desk: Office) -> None:
    pile = Pile(down=True)
    for attempt in range(ATTEMPTS):
        desk.outbox.deliver(pile, after(attempt))
    (dead,) = desk.outbox.dead()
    assert dead.error == "the pile is down"
    assert desk.outbox.replay("ada", after(8), ["another"]) == 0
    assert desk.outbox.replay("ada", after(8), [dead.id]) == 1
    pile.down = False
    assert desk.outbox.deliver(pile, after(8)) == DeliveryResult(2, 0, 0)
    assert types([each.body for each in pile.letters]) == ["opened", "overdue"]
    assert pile.letters[0].id == dead.id
    last = desk.cases.acts(1)[-1]
    assert (last.act, last.by, last.note) == ("replayed", "ada", "opened to crm/account-manager")


class Gone:
    def send(self, _letter: object, _at: datetime) -> None:
        raise RefusedError("gone")


def test_s35_a_refusal_is_dead_at_once(desk: Office) -> None:
    assert desk.outbox.deliver(lambda _channel: Gone(), after(0)) == DeliveryResult(0, 0, 1)
    assert desk.outbox.replay("ada", after(0)) == 1
    assert desk.outbox.deliver(Pile(), after(0)).delivered == 2


def test_s39_a_channel_that_is_no_more_loses_nothing(desk: Office) -> None:
    def none(channel: str) -> NoticeSender:
        raise UndeliveredError(f"no {channel}")

    assert desk.outbox.deliver(none, after(0)) == DeliveryResult(0, 1, 0)
    assert desk.outbox.deliver(Pile(), after(1)).delivered == 2


def test_s38_a_channel_that_fails_holds_up_no_other_and_costs_one_attempt(home: Path) -> None:
    desk = office(home, channels=("down", "up"))
    for who in PEOPLE:
        desk.bank.says(who, Granted("segmentation", ALL, None))
        desk.bank.says(who, Withdrawn("segmentation"))
        desk.run()
        desk.cases.close(desk.cases.open_cases()[0].id, "ada", "next", NOON)
    up, down = Pile(), Pile(down=True)
    senders = {"up": up, "down": down}
    done = desk.outbox.deliver(lambda channel: senders[channel.partition("/")[0]], NOON)
    assert done == DeliveryResult(3, 1, 0)


class Broken:
    def send(self, _letter: object, _at: datetime) -> None:
        raise UnicodeError("no such address")


def test_s38_a_channel_that_breaks_holds_up_no_other(home: Path) -> None:
    desk, pile = desk_of(home, "broken", "up"), Pile()
    senders: dict[str, NoticeSender] = {"broken": Broken(), "up": pile}
    desk.outbox.deliver(lambda channel: senders[channel.partition("/")[0]], after(0))
    assert types([each.body for each in pile.letters]) == ["opened", "overdue"]
    assert {each.error for each in desk.outbox.waiting()} == {
        "UnicodeError: no such address; check the channel",
        "",
    }


def hook(url: str, timeout_s: float = 60.0) -> Webhook:
    return Webhook(url, (KEY,), timeout_s)


def test_a_receiver_that_fails_in_every_way_loses_nothing_and_acts_on_nothing_twice(
    desk: Office,
) -> None:
    """Down, slow, failing, and hanging up after it has heard: then the same comes again."""
    outbox, now = desk.outbox, after(0)
    outbox.deliver(lambda _channel: hook(nobody()), now)
    with listening(sleep(180), status(503), hang_up) as receiver:
        outbox.deliver(lambda _channel: hook(receiver.url, timeout_s=2.0), after(1))
        for attempt in range(2, 6):
            outbox.deliver(lambda _channel: hook(receiver.url), after(attempt))
        assert outbox.waiting() == outbox.dead() == []
        assert types(receiver.bodies()) == ["opened"] * 4 + ["overdue"]
        acted = {headers["webhook-id"]: body for headers, body in receiver.heard}
    assert types([*acted.values()]) == ["opened", "overdue"]


def test_a_sender_killed_before_it_noted_the_answer_sends_the_same_again(desk: Office) -> None:
    class Killed(BaseException):
        pass

    class DiesAfterSending(Pile):
        def send(self, letter: object, at: datetime) -> None:
            super().send(letter, at)  # type: ignore[arg-type] # it is a letter
            raise Killed

    first, second = DiesAfterSending(), Pile()
    with pytest.raises(Killed):
        desk.outbox.deliver(first, after(0))
    again = Outbox(desk.home)
    assert again.deliver(second, after(0)).delivered == 2
    assert (first.letters[0].id, first.letters[0].body) == (
        second.letters[0].id,
        second.letters[0].body,
    )


def test_letters_of_now_are_signed_as_of_now(desk: Office) -> None:
    with listening() as receiver:
        desk.outbox.deliver(lambda _channel: hook(receiver.url), datetime.now(UTC) + 99 * DAY)
        (headers, _), _ = receiver.heard
    assert int(headers["webhook-timestamp"]) > datetime.now(UTC).timestamp() + 98 * 86_400


class Busy:
    """Asks to be left alone, and keeps what it was sent all the same."""

    def __init__(self, wait: timedelta) -> None:
        self.wait, self.letters = wait, list[OutgoingNotice]()

    def send(self, letter: OutgoingNotice, _at: datetime) -> None:
        self.letters.append(letter)
        raise UndeliveredError("answered 429, want 2xx", self.wait)


def two_cases(home: Path) -> Office:
    """Two cases with a notice each, on one channel."""
    desk = office(home, channels=("crm",))
    for scene, fields in (("segmentation", ALL), ("direct-marketing", ("name", "email"))):
        desk.bank.says("c1", Granted(scene, fields, None))
        desk.bank.says("c1", Withdrawn(scene))
    desk.run()
    assert len(desk.outbox.waiting()) == 2
    return desk


def test_s46_a_receiver_that_asks_for_it_is_left_alone(home: Path) -> None:
    desk, minutes = two_cases(home), timedelta(minutes=10)
    busy = Busy(minutes)
    desk.outbox.deliver(lambda _channel: busy, NOON)
    assert len(busy.letters) == 1
    pile, second = Pile(), timedelta(seconds=1)
    assert desk.outbox.deliver(pile, NOON + minutes - second) == DeliveryResult(0, 0, 0)
    assert desk.outbox.deliver(pile, NOON + minutes) == DeliveryResult(2, 0, 0)


def test_s46_a_shorter_wait_than_our_own_changes_nothing(desk: Office) -> None:
    busy = Busy(timedelta(0))
    desk.outbox.deliver(lambda _channel: busy, after(0))
    early = after(1) - timedelta(seconds=1)
    assert desk.outbox.deliver(Pile(), early) == DeliveryResult(0, 0, 0)
    assert desk.outbox.deliver(Pile(), after(1)).delivered == 2


def test_s48_notices_without_a_route_get_one_and_keep_their_order(home: Path) -> None:
    desk, pile = desk_of(home, "unrouted"), Pile()
    assert desk.outbox.route(lambda role: [f"crm/{role}", f"mail/{role}"]) == 2
    assert desk.outbox.route(lambda role: [f"other/{role}"]) == 0
    assert desk.outbox.deliver(pile, after(0)) == DeliveryResult(4, 0, 0)
    for channel in ("crm/account-manager", "mail/account-manager"):
        sent = [each for each in pile.letters if each.channel == channel]
        assert types([each.body for each in sent]) == ["opened", "overdue"]
        assert [json.loads(each.body)["id"] for each in sent] == [each.id for each in sent]
    assert len({each.id for each in pile.letters}) == 4
