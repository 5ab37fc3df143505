"""Clause 3.32 of specs/portal.md: one list of events, its pages, and what ended by itself."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ledger.events.envelope import Granted, ScenePublished, Withdrawn
from portal.consent import wording
from portal.consent.flow import timeline
from portal.consent.flow.timeline import EventKind, Taken, TimelineEvent
from portal.operations.wiring import Product
from portal.web import i18n
from steward.oversight.authority_access import AuthorityAccesses
from tests.portal.conftest import START, Clock

ME, SCENE = "c00007", "recommendation"
ENGLISH = i18n.load()["en"]


def event(kind: EventKind, second: int) -> TimelineEvent:
    return TimelineEvent(START + timedelta(seconds=second), kind, "", (), "reads.entry", second)


def walk(others: list[TimelineEvent], reads: list[TimelineEvent]) -> list[TimelineEvent]:
    """The lines of all pages, one after the other."""
    taken: Taken | None = Taken()
    rows: list[TimelineEvent] = []
    while taken is not None:
        page = timeline.page(others, reads[taken.reads :], taken)
        rows += page.rows
        taken = page.older
    return rows


SECONDS = st.lists(st.integers(0, 300), max_size=120).map(lambda all_: sorted(all_, reverse=True))


@given(SECONDS, SECONDS)
def test_3_32_pages_have_every_event_once_and_newest_first(
    decided: list[int], read: list[int]
) -> None:
    others = [event(EventKind.DECISION, each) for each in decided]
    reads = [event(EventKind.READ, each) for each in read]
    rows = walk(others, reads)
    assert [each.at for each in rows] == sorted((e.at for e in rows), reverse=True)
    assert [each for each in rows if each.kind is EventKind.READ] == reads
    assert [each for each in rows if each.kind is not EventKind.READ] == others


def test_3_32_a_page_takes_no_more_reads_than_it_shows_and_one() -> None:
    taken = 0

    def endless() -> Iterator[TimelineEvent]:
        nonlocal taken
        for second in count(0, -1):
            taken += 1
            yield event(EventKind.READ, second)

    timeline.page([], endless(), Taken())
    assert taken <= timeline.PAGE_SIZE + 2


ENDED = {
    "a permission whose time is over": ([("allow", 0, 10)], 1),
    "a permission that was withdrawn before": ([("allow", 0, 10), ("withdraw", 5, 0)], 0),
    "a permission that was withdrawn afterwards": ([("allow", 0, 10), ("withdraw", 20, 0)], 1),
    "a permission that goes on": ([("allow", 0, 400)], 0),
    "a permission that was given again": ([("allow", 0, 10), ("allow", 20, 400)], 1),
}


@pytest.mark.parametrize("why", ENDED)
def test_3_32_a_permission_that_ended_by_itself_is_an_event(product: Product, why: str) -> None:
    acts, expected = ENDED[why]
    scene, subject = product.scenes[SCENE], "c00050"
    for wish, day, ends in acts:
        at = START + timedelta(days=day)
        until = START + timedelta(days=ends)
        act = Granted(SCENE, (*scene.fields,), until) if wish == "allow" else Withdrawn(SCENE)
        said = wording.wording(scene, ENGLISH)
        product.ledger.record([product.ledger.draft(subject, act, at=at, wording=said)])
    recorded = product.ledger.history(subject)
    later = START + timedelta(days=30)
    found = [*timeline.expiries(recorded, product.scenes, ENGLISH, later)]
    assert [each.at for each in found] == [START + timedelta(days=10)] * expected


def test_3_32_later_versions_of_contracts_are_events_and_first_ones_are_not(
    still: Product,
) -> None:
    acts = [ScenePublished(SCENE, each, "0" * 64, START) for each in ("1.0.0", "1.1.0")]
    found = [*timeline.contracts(enumerate(acts), still.scenes, ENGLISH)]
    assert [each.entry for each in found] == [1]
    assert "version 1.1.0" in found[0].text


def test_3_32_who_may_see_the_history_is_an_event_with_its_reason(
    customer: TestClient, product: Product, clock: Clock
) -> None:
    accesses = AuthorityAccesses(product.register())
    accesses.grant(ME, "data-protection-officer", "complaint 2026/114", 5, clock())
    shown = customer.get("/customer/timeline?kind=opening").text
    assert "complaint 2026/114" in shown
    assert "entry 1 of the company" in shown


@pytest.mark.parametrize("query", ["kind=other", "reads=-1", "others=x", "kind=read&reads=1e3"])
def test_3_32_what_is_not_understood_is_refused(customer: TestClient, query: str) -> None:
    assert customer.get(f"/customer/timeline?{query}").status_code in {400, 404, 422}
