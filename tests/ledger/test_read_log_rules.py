"""The rules between acts about read logs, act by act (G141, G143)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.vault import commitments
from ledger.verify import read_log_rules
from ledger.verify.read_log_rules import MIN_DAYS, ReadLogRules

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = 24 * 60
Act = dict[str, Any]


def act(kind: str, minute: int, **members: Any) -> Act:
    at = START + timedelta(minutes=minute)
    return {"type": kind, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}", **members}


def opened(minute: int, key: str = "k", origin: str = "reads-1") -> Act:
    return act("read-log-opened", minute, origin=origin, key=key)


def anchored(minute: int, size: int, root: str = "r") -> Act:
    return act("read-log-anchored", minute, origin="reads-1", size=size, root=root)


def closed(minute: int, size: int = 2, root: str = "r", origin: str = "reads-1") -> Act:
    return act("read-log-closed", minute, origin=origin, size=size, root=root)


def kept(minute: int, days: int = MIN_DAYS) -> Act:
    return act("reads-kept", minute, days=days)


def removed(minute: int, origin: str = "reads-1") -> Act:
    return act("read-log-removed", minute, origin=origin)


def told(acts: Sequence[Act], *, whole: bool = True) -> ReadLogRules:
    rules = ReadLogRules(whole)
    for each in acts:
        rules.require(each)
    return rules


LIFE = [opened(0), anchored(1, 1), anchored(2, 2, "s"), closed(3, 3)]
OVER = 3 + MIN_DAYS * DAY  # LIFE is over, and was declared at the beginning
ALLOWED: dict[str, list[Act]] = {
    "a life": LIFE,
    "another act": [*LIFE, {"type": "policy-published"}],
    "the same opening twice": [opened(0), opened(1)],
    "the same anchor twice": [opened(0), anchored(1, 1), anchored(2, 1)],
    "a removal when the time is over": [kept(0), *LIFE, removed(OVER)],
    "a removal whose time is over since the declaration": [*LIFE, kept(9), removed(9 + 30 * DAY)],
    "a longer time counts at once and from the end": [kept(0, 40), *LIFE, removed(3 + 40 * DAY)],
    "a time that is made longer does not begin again": [
        kept(0, 30),
        *LIFE,
        kept(99, 40),
        removed(3 + 40 * DAY),
    ],
    "for ever after all": [kept(0), *LIFE, kept(5, 0)],
    "acts soon after a removal, within the skew": [kept(0), *LIFE, removed(OVER), kept(OVER - 5)],
    "two logs": [*LIFE, opened(9, "l", "reads-2"), closed(10, 5, "t", "reads-2")],
}
REFUSED: dict[str, tuple[list[Act], str]] = {
    "another key": ([opened(0), opened(1, "l")], "another key"),
    "opened after an anchor": ([opened(0), anchored(1, 0), opened(2)], "opened again, after"),
    "opened after the end": ([*LIFE, opened(9)], "opened again, after"),
    "fewer entries": ([opened(0), anchored(1, 2), anchored(2, 1)], "2 were anchored before"),
    "two roots": ([opened(0), anchored(1, 2), anchored(2, 2, "s")], "two roots at size 2"),
    "an end with another root": ([opened(0), anchored(1, 2), closed(2, 2, "s")], "two roots"),
    "an anchor after the end": ([*LIFE, anchored(9, 4)], "closed with 3 entries"),
    "two ends": ([*LIFE, closed(9, 3)], "no act may follow"),
    "29 days": ([kept(0, MIN_DAYS - 1)], "want 30 or more"),
    "a removal without an end": ([kept(0), opened(0), removed(OVER)], "was not closed"),
    "a removal without a time": ([*LIFE, removed(OVER)], "no time was declared"),
    "a removal a minute early": ([kept(0), *LIFE, removed(OVER - 1)], "are not over"),
    "a removal soon after the declaration": ([*LIFE, kept(9), removed(OVER)], "are not over"),
    "a removal soon after a shorter time": (
        [kept(0, 90), *LIFE, kept(DAY), removed(OVER)],
        "are not over",
    ),
    "a removal after for ever": ([kept(0), *LIFE, kept(5, 0), removed(OVER)], "no time was"),
    "a time declared again": (
        [kept(0), kept(1, 0), *LIFE, kept(9), removed(OVER)],
        "are not over",
    ),
    "removed twice": ([kept(0), *LIFE, removed(OVER), removed(OVER)], "removed twice"),
    "a removal dated ahead": (
        [kept(0), *LIFE, removed(OVER), kept(OVER - 6)],
        "was removed on 2026-01-31",
    ),
    "an end dated back": (
        [kept(0), opened(DAY), closed(0), removed(30 * DAY)],
        "are not over",
    ),
    "a declaration dated back": (
        [*LIFE, opened(DAY, "l", "reads-2"), kept(0), removed(OVER)],
        "are not over",
    ),
    "a time of another form": ([{**opened(0), "at": "2026-01-01"}], "does not match"),
}


@pytest.mark.parametrize("why", ALLOWED)
def test_g141_acts_that_agree_are_accepted(why: str) -> None:
    told(ALLOWED[why])


@pytest.mark.parametrize("why", REFUSED)
def test_g143_an_act_that_contradicts_an_earlier_one_is_refused(why: str) -> None:
    acts, words = REFUSED[why]
    told(acts[:-1])
    with pytest.raises(ValueError, match=words):
        told(acts)


def test_g143_what_is_recorded_of_a_log() -> None:
    rules = told([kept(0), *LIFE, removed(OVER)])
    log = rules.logs["reads-1"]
    end = START + timedelta(minutes=3)
    assert (log.key, log.size, log.root, log.closed, log.last) == ("k", 3, "r", end, end)
    assert [*rules.removed()] == [("reads-1", end)]
    assert [*told(LIFE).removed()] == []
    assert told([opened(0)]).logs["reads-1"].last == START
    assert told([kept(0), *LIFE]).removable("reads-1", START) == (
        "reads-1: 30 days from 2026-01-01T12:03:00Z are not over at 2026-01-01T12:00:00Z"
    )
    assert told(LIFE).removable("reads-9", START) == "reads-9 was not closed"


def test_an_audit_that_begins_in_the_middle_does_not_judge_what_it_did_not_see() -> None:
    told([removed(0)], whole=False)
    told([*LIFE, removed(OVER)], whole=False)
    told([kept(0), opened(0), removed(OVER)], whole=False)
    with pytest.raises(ValueError, match="are not over"):
        told([kept(0), *LIFE, removed(OVER - 1)], whole=False)


def test_an_entry_is_checked_as_it_is_in_the_log() -> None:
    rules = ReadLogRules()

    def found(event: object) -> str | None:
        return read_log_rules.check(rules, commitments.PUBLIC + commitments.canonical(event))

    assert found(opened(0)) is None
    assert (
        found(opened(0, "l")) == "an act about a read log: reads-1 is opened again with another key"
    )
    assert found({"type": "read-log-opened"}) == "an act about a read log: 'at'"
    assert found({"type": "policy-published"}) is None
    assert read_log_rules.check(rules, commitments.canonical(opened(0, "l"))) is None
