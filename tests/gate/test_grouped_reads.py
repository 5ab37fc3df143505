"""G200, G201: reads that arrive together share a query and a commit, and nothing else."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gate.decision.decide import Reason, View
from gate.reads import grouped_reads
from gate.reads.grouped_reads import GroupedReads
from gate.reads.request import Answer, ReadRequest, StaleStateError
from gate.reads.sources.interface import Row, RowSource, SourceUnavailableError, each_row
from ledger.events.envelope import Granted, Withdrawn
from tests.gate.world import NOON, PEOPLE, World, world

SCENE, FIELDS = "segmentation", ("age", "job")
ASKED = {
    "one who granted": ReadRequest("analytics", SCENE, "c1", FIELDS, NOON),
    "one who granted one field": ReadRequest("analytics", SCENE, "c2", FIELDS, NOON),
    "one who withdrew": ReadRequest("analytics", SCENE, "c3", FIELDS, NOON),
    "the first again": ReadRequest("analytics", SCENE, "c1", ("age",), NOON),
    "nobody": ReadRequest("analytics", SCENE, "c4", FIELDS, NOON),
    "an unknown service": ReadRequest("stranger", SCENE, "c1", FIELDS, NOON),
    "an unknown scene": ReadRequest("analytics", "none", "c1", FIELDS, NOON),
    "another scene": ReadRequest("analytics", "contract-service", "c1", ("name",), NOON),
    "another purpose": ReadRequest("analytics", SCENE, "c1", FIELDS, NOON, purpose="Marketing"),
}


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.says("c1", Granted(SCENE, FIELDS, None))
    bank.says("c2", Granted(SCENE, ("age",), None))
    bank.says("c3", Granted(SCENE, FIELDS, None))
    bank.says("c3", Withdrawn(SCENE))
    return bank


def together(bank: World, requests: Sequence[ReadRequest]) -> list[Answer | BaseException]:
    async def ask() -> list[Answer | BaseException]:
        reads = GroupedReads(bank.gate)
        return await asyncio.gather(*map(reads.answer, requests), return_exceptions=True)

    return asyncio.run(ask())


def test_each_of_a_group_is_answered_and_logged_as_if_it_were_alone(bank: World) -> None:
    requests = [*ASKED.values()]
    alone = [bank.gate.read(each) for each in requests]
    before = bank.gate.journal.log.size
    found = together(bank, requests)
    assert bank.gate.journal.log.size == before + len(requests)
    for place, (mine, want) in enumerate(zip(found, alone, strict=True)):
        assert isinstance(mine, Answer)
        assert mine.entry == before + place
        assert (mine.decision, mine.values, mine.views) == (want.decision, want.values, want.views)
        lines = [
            json.loads(next(iter(bank.gate.journal.log.entries(each.entry, each.entry + 1))))
            for each in (mine, want)
        ]
        for each in lines:  # these two are masked by the entry's place
            del each["subject"], each["determined_by"]
        assert lines[0] == lines[1]


def test_a_group_has_one_query_and_one_commit(bank: World) -> None:
    commits: list[int] = []
    bank.gate.journal.subscribe(lambda entries, _: commits.append(len(entries)))
    source = Counted(bank.gate.source)
    bank.gate.source = source
    together(bank, [ReadRequest("analytics", SCENE, each, ("age",), NOON) for each in PEOPLE] * 5)
    assert commits == [5 * len(PEOPLE)]
    assert source.queries == [["c1", "c2"]]  # the third withdrew


def test_one_that_asks_for_a_later_state_refuses_nobody_else(bank: World) -> None:
    good = ASKED["one who granted"]
    stale = replace(good, minimum_size=10**6)
    first, refused, last = together(bank, [good, stale, good])
    assert isinstance(refused, StaleStateError)
    assert isinstance(first, Answer)
    assert isinstance(last, Answer)
    assert first.values == last.values == {"age": 31, "job": "admin"}


def test_a_source_that_is_down_withholds_what_needs_it_and_nothing_else(bank: World) -> None:
    bank.gate.source = Counted(bank.gate.source, fails=True)
    one, other, gone, *_ = together(bank, [*ASKED.values()])
    for each in (one, other):
        assert isinstance(each, Answer)
        assert each.decision.reason is Reason.SOURCE_UNAVAILABLE
        assert each.values["age"] is None
    assert isinstance(other, Answer)
    assert other.views["job"] is View.SYNTHETIC
    assert isinstance(gone, Answer)
    assert gone.decision.reason is Reason.WITHDRAWN


def test_reads_do_not_wait_for_those_of_a_source_that_is_slow(bank: World) -> None:
    """G201."""
    goes_on = Event()
    bank.gate.source = Counted(bank.gate.source, slow="c1", goes_on=goes_on)

    async def ask() -> None:
        reads = GroupedReads(bank.gate)
        slow = [reads.answer(ASKED["one who granted"])]
        await asyncio.sleep(0)  # the first group begins
        slow.append(reads.answer(ASKED["one who granted"]))
        await asyncio.sleep(2 * grouped_reads.SLOW_S)
        for _ in range(3):
            quick = await asyncio.wait_for(reads.answer(ASKED["one who granted one field"]), 30)
            assert quick.values == {"age": 44, "job": "synthetic"}
        assert not any(each.done() for each in slow)
        goes_on.set()
        assert [each.values["age"] for each in await asyncio.gather(*slow)] == [31, 31]

    try:
        asyncio.run(ask())
    finally:
        goes_on.set()


def test_more_slow_reads_than_groups_are_all_answered(
    bank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G201."""
    monkeypatch.setattr(grouped_reads, "MAX_GROUPS", 2)
    monkeypatch.setattr(grouped_reads, "SLOW_S", 0.0)
    monkeypatch.setattr(grouped_reads, "MAX_GROUP", 3)
    found = together(bank, [*ASKED.values()] * 20)
    assert len(found) == 20 * len(ASKED)
    assert all(isinstance(each, Answer) for each in found)


class Counted:
    """A source that remembers its queries; it may fail, or wait when one customer is asked for."""

    def __init__(
        self,
        inner: RowSource,
        *,
        fails: bool = False,
        slow: str = "",
        goes_on: Event | None = None,
    ) -> None:
        self._inner, self.key = inner, inner.key
        self._fails, self._slow, self._goes_on = fails, slow, goes_on
        self.queries: list[list[str]] = []

    def row(self, subject: str, columns: Sequence[str]) -> Mapping[str, Any] | None:
        self._query([subject])
        return self._inner.row(subject, columns)

    def each_row(
        self, subjects: Sequence[str], columns: Sequence[str]
    ) -> Mapping[str, Row | SourceUnavailableError]:
        self._query([*subjects])
        return each_row(self._inner, subjects, columns)

    def rows(self, subjects: Sequence[str], columns: Sequence[str]) -> Any:
        return self._inner.rows(subjects, columns)

    def everybody(self, columns: Sequence[str]) -> Any:
        return self._inner.everybody(columns)

    def count(self) -> int:
        return self._inner.count()

    def _query(self, subjects: list[str]) -> None:
        self.queries.append(subjects)
        if self._slow in subjects and self._goes_on is not None:
            assert self._goes_on.wait(60)
        if self._fails:
            raise SourceUnavailableError("it is down")
