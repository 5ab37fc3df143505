"""Who has what, from contracts and entries: nothing that a service asked for in vain hides it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from gate.contracts.scene import Scene, Service
from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from portal.consent.centre import Marks, centre
from portal.consent.flow import recipients
from portal.consent.flow.recipients import GivenAway, Recipient
from portal.web import i18n
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT

SOURCE = load_source(SOURCE_CONTRACT)
SCENES = load_scenes(SCENES_FOLDER, SOURCE)
AT = datetime(2026, 12, 1, 12, tzinfo=UTC)
READ: dict[str, Any] = {
    "action": "read",
    "at": "2026-11-21T12:00:00Z",
    "service": "recommender",
    "views": {"age": "personal", "job": "synthetic"},
}
ASKED = READ | {"action": "evaluate"}
REFUSED = READ | {"views": {}}
SEARCH = READ | {"action": "search", "views": {}, "service": "sales-desk"}


def rows(given: GivenAway, former: tuple[Scene, ...] = (), **marks: Any) -> Mapping[str, Recipient]:
    now = centre(SCENES, SOURCE.systems, None, i18n.load()["en"], AT, Marks(**marks))
    found = recipients.recipients(now, SOURCE, given, former)
    return {each.id: each for each in found}


def test_questions_and_refusals_do_not_push_out_what_was_given() -> None:
    noise = chain(repeat(ASKED, 2000), repeat(REFUSED, 2000), [READ])
    found = recipients.given_away(noise)
    assert found.complete
    assert [*found.by_service["recommender"].items] == ["age"]
    flood = recipients.given_away(repeat(ASKED, recipients.MAX_SCANNED + 1))
    assert not flood.complete, "which the page says"


def test_a_list_of_numbers_is_something_given() -> None:
    row = rows(recipients.given_away([SEARCH]))["sales-desk"]
    assert row.listed == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert row.held == ()


@pytest.mark.parametrize("partner", [True, False])
def test_who_is_named_no_more_is_what_the_earlier_contract_said(partner: bool) -> None:
    scene = SCENES["recommendation"]
    old = replace(scene, services=(Service("gone", {"en": "Gone & Co."}, partner),))
    row = rows(recipients.given_away([]), (old,))["gone"]
    assert row.partner is partner
    assert row.title == {"en": "Gone & Co."}
    assert not row.may_read
    assert row.stops == ()
    unknown = rows(recipients.given_away([READ | {"service": "nobody"}]))["nobody"]
    assert unknown.partner is None


def test_a_use_that_a_condition_freezes_is_not_read_now() -> None:
    given, scene = recipients.given_away([]), "contract-service"  # which is on without a press
    assert rows(given)["statement-service"].may_read
    assert not rows(given, frozen={scene: "standing.frozen"})["statement-service"].may_read


def test_the_last_time_is_the_newest() -> None:
    later = READ | {"at": f"{AT - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}
    row = rows(recipients.given_away([later, READ]))["recommender"]
    assert row.last == AT - timedelta(days=1)
    assert [each.last for each in row.held] == [row.last]
