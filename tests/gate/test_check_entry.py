"""The check of a single read-log entry: what was answered is accepted, and nothing else (G60, G61).

Each member of an entry that follows is changed once, and then the entry must not follow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from gate.contracts.scene import ReadShape, Scene
from gate.decision import decide
from gate.decision.decide import Reason, View
from gate.policy.compiled import Plan, compile_plan
from gate.readlog.writer import ReadLogEntry
from gate.replay import check_entry
from gate.replay.check_entry import COHORT
from gate.replay.entry_parser import Shape
from gate.replay.history import ActiveState
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.ledger_position import ConsentPoint
from ledger.events.envelope import (
    Act,
    Event,
    EvidenceClass,
    Granted,
    Instruction,
    ScenePublished,
    SignalReported,
    TriggerSet,
    Withdrawn,
)
from synthetic.completion.mode import Mode
from tests.gate.differential import Told
from tests.gate.scenes import MARKETING, NEAREST_BRANCH, NEWS, SEGMENTATION, SERVICE
from tests.gate.world import NOON, WORDING

SCENES = {e.id: e for e in (SEGMENTATION, NEAREST_BRANCH, MARKETING, SERVICE, NEWS)}
MINUTE = consent_bits.minute(NOON)
ALL = ("age", "job", "housing")
OTHER = {
    View.PERSONAL: View.SYNTHETIC,
    View.SYNTHETIC: View.PERSONAL,
    View.GENERALISED: View.PERSONAL,
    View.WITHHELD: View.PERSONAL,
}
SAID: Sequence[tuple[str, Act]] = (
    ("whole", Granted(SEGMENTATION.id, ALL, None)),
    ("some", Granted(SEGMENTATION.id, ("age",), None)),
    ("some", Granted(MARKETING.id, ("name",), None)),
    ("gone", Granted(SEGMENTATION.id, ALL, None)),
    ("gone", Withdrawn(SEGMENTATION.id)),
    ("over", Granted(SEGMENTATION.id, ALL, NOON)),
    ("whole", Granted(NEAREST_BRANCH.id, ("postcode_area",), None)),
    ("gone", Withdrawn(NEWS.id)),
    ("frozen", Granted(SEGMENTATION.id, ALL, None)),
    ("frozen", TriggerSet(SEGMENTATION.id, "count_over", "complaints", 3)),
    ("armed", Granted(SEGMENTATION.id, ALL, None)),
    ("armed", TriggerSet(SEGMENTATION.id, "count_over", "complaints", 9)),
)
WHO = ("whole", "some", "gone", "over", "frozen", "armed", "nobody")


def history() -> list[Event]:
    events: list[Event] = [ScenePublished(e, "1.0.0", "0" * 64, NOON) for e in SCENES]
    events.append(SignalReported("monitor", "complaints", 5, NOON))
    return events + [
        Instruction(
            "t", who, n, bytes(32), bytes(16), NOON - timedelta(days=1), WORDING,
            EvidenceClass.SESSION, act,
        )
        for n, (who, act) in enumerate(SAID, 1)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def state() -> ConsentIndex:
    made = ConsentIndex(SCENES)
    made.catch_up(Told(history()))
    return made


def plan(scene: Scene, release: str | None = "release", **more: Any) -> Plan:
    return compile_plan("crm", scene, offered=tuple(scene.fields), release=release, **more)


def entry(of: Plan, action: str, fields: Sequence[str], **members: Any) -> ReadLogEntry:
    written: dict[str, Any] = {
        "action": action,
        "at": NOON,
        "service": "crm",
        "scene": of.scene.id,
        "fields": tuple(fields),
        "views": {},
        "reason": Reason.GRANTED,
        "plan": of.digest,
        "consent": ConsentPoint(9, ""),
    }
    return ReadLogEntry(**written | members)


def answered(
    state: ConsentIndex, of: Plan, who: str, fields: Sequence[str], action: str = "read"
) -> tuple[ReadLogEntry, bytes]:
    """The entry that a gate writes, and what it says of the entry that it rests on."""
    bits, index = state.bits_and_entry(of.scene.id, who)
    stale = state.stale(of.scene.id, MINUTE)
    found = decide.verdict(of, tuple(fields), bits, MINUTE, stale)
    synthetic = View.SYNTHETIC in found.views.values()
    members = {
        "views": found.views,
        "reason": found.reason,
        "rows": 1 if found.views else 0,
        "release": of.release if synthetic else None,
    }
    rests = b"null" if index is None or not found.views else b"%d" % index
    return entry(of, action, fields, **members), rests


def follows(
    state: ConsentIndex, of: Plan, logged: ReadLogEntry, who: str, rests: bytes
) -> str | None:
    return check_entry.of_one(ActiveState(of, state), Shape(logged), MINUTE, who, rests)


def changed(logged: ReadLogEntry) -> Mapping[str, ReadLogEntry]:
    """The entry with each member changed that an answer about one customer depends on."""
    made: dict[str, dict[str, Any]] = {
        f"{name} otherwise": {"views": {**logged.views, name: OTHER[view]}}
        for name, view in logged.views.items()
    }
    made |= {each.value: {"reason": each} for each in Reason if each is not logged.reason}
    made |= {
        "another field": {"views": {**logged.views, "another": View.WITHHELD}},
        "no views": {"views": {}},
        "another release": {"release": "another"},
        "a release or none": {"release": None if logged.release else "release"},
        "another number of rows": {"rows": logged.rows + 1},
        "a mode": {"mode": Mode.RELEASE_ANCHORED},
    }
    each = {why: msgspec.structs.replace(logged, **members) for why, members in made.items()}
    return {why: entry for why, entry in each.items() if entry != logged}


CASES = [
    *[(SEGMENTATION, who, fields) for who in WHO for fields in (ALL, ("age",), ("job",))],
    *[(NEAREST_BRANCH, who, ("location", "postcode_area")) for who in ("whole", "nobody")],
    *[(MARKETING, who, ("name", "email")) for who in ("some", "nobody")],
    *[(SERVICE, who, ("name",)) for who in ("gone", "nobody")],
    *[(NEWS, who, ("name",)) for who in ("gone", "some", "nobody")],
    (SEGMENTATION, "whole", ("name",)),
    (SEGMENTATION, "whole", ()),
]


@pytest.mark.parametrize("action", ["read", "evaluate", "named"])
@pytest.mark.parametrize(("scene", "who", "fields"), CASES)
def test_g61_an_answer_about_one_customer_follows_and_no_other(
    state: ConsentIndex, scene: Scene, who: str, fields: tuple[str, ...], action: str
) -> None:
    of = plan(scene)
    logged, rests = answered(state, of, who, fields, action)
    assert follows(state, of, logged, who, rests) is None
    for wrong in {b"null", b"0", b"99"} - {rests}:
        said = follows(state, of, logged, who, wrong)
        assert said is not None
        entry_of = rests.decode() if rests != b"null" else "None"
        assert said.endswith(f"entry {entry_of}, release release")
    for why, each in changed(logged).items():
        less = gave_less(each, logged)
        assert (follows(state, of, each, who, rests) is None) == less, why


def gave_less(each: ReadLogEntry, logged: ReadLogEntry) -> bool:
    """The only changes that are accepted: to the refusals of the gate itself, with no data."""
    nothing = (each.views, each.rows, each.release, each.mode) == ({}, 0, None, UNSET)
    return nothing and each.reason in check_entry.GATES_OWN


@pytest.mark.parametrize("reason", sorted(check_entry.GATES_OWN))
def test_g60_a_refusal_of_the_gate_itself_gives_nothing(
    state: ConsentIndex, reason: Reason
) -> None:
    of = plan(SEGMENTATION)
    refused = entry(of, "read", ALL, reason=reason)
    assert follows(state, of, refused, "whole", b"null") is None
    for members in SOMETHING:
        other = msgspec.structs.replace(refused, **members)
        assert follows(state, of, other, "whole", b"null") is not None
    assert follows(state, of, refused, "whole", b"9") is not None


def test_g129_outside_its_shapes_an_answer_is_a_refusal(state: ConsentIndex) -> None:
    of = plan(replace(SEGMENTATION, shapes=frozenset({ReadShape.TABLE})))
    logged, rests = answered(state, of, "whole", ALL)
    refused = entry(of, "read", ALL, reason=Reason.SHAPE_OUTSIDE_SCENE)
    assert follows(state, of, logged, "whole", rests) is not None
    assert follows(state, of, refused, "whole", b"null") is None
    within = plan(SEGMENTATION)
    assert follows(state, within, refused, "whole", b"null") is not None
    by_name = msgspec.structs.replace(logged, action="named")
    for shapes, outside in (("point",), True), (("rows",), True), (("point", "rows"), False):
        some = plan(replace(SEGMENTATION, shapes=frozenset(map(ReadShape, shapes))))
        named = msgspec.structs.replace(by_name, plan=some.digest)
        assert (follows(state, some, named, "whole", rests) is not None) is outside
        denied = msgspec.structs.replace(refused, action="named", plan=some.digest)
        assert (follows(state, some, denied, "whole", b"null") is None) is outside
    more = msgspec.structs.replace(refused, rows=1)
    assert follows(state, of, more, "whole", b"null") is not None


SOMETHING: Sequence[dict[str, Any]] = (
    {"rows": 1},
    {"views": {"age": View.WITHHELD}},
    {"release": "release"},
)
LESS: dict[str, tuple[str, dict[str, View], Reason, bool]] = {
    "some of whole": ("whole", {"age": View.WITHHELD}, Reason.SOURCE_UNAVAILABLE, True),
    "all of whole": ("whole", dict.fromkeys(ALL, View.WITHHELD), Reason.SOURCE_UNAVAILABLE, True),
    "a missing row": ("whole", dict.fromkeys(ALL, View.WITHHELD), Reason.GRANTED, True),
    "a part of a row": ("whole", {"age": View.WITHHELD}, Reason.GRANTED, False),
    "more": ("some", {"job": View.PERSONAL}, Reason.SOURCE_UNAVAILABLE, False),
    "a surrogate less": ("some", {"job": View.WITHHELD}, Reason.SOURCE_UNAVAILABLE, False),
    "nothing less": ("whole", {}, Reason.SOURCE_UNAVAILABLE, False),
    "another reason": ("whole", dict.fromkeys(ALL, View.WITHHELD), Reason.EXPIRED, False),
}


@pytest.mark.parametrize("why", LESS)
def test_g60_a_read_may_have_given_less_and_said_so(state: ConsentIndex, why: str) -> None:
    who, views, reason, accepted = LESS[why]
    of = plan(SEGMENTATION)
    for action in ("read", "named", "evaluate"):
        logged, rests = answered(state, of, who, ALL, action)
        less = msgspec.structs.replace(logged, views={**logged.views, **views}, reason=reason)
        found = follows(state, of, less, who, rests)
        assert (found is None) == (accepted and action != "evaluate")


def many(of: Plan, action: str, fields: Sequence[str], **members: Any) -> ReadLogEntry:
    views: dict[str, View] = dict.fromkeys(fields, View.PERSONAL) if action != "search" else {}
    return entry(of, action, fields, **{"views": views, "rows": 2} | members)


MANY: dict[str, tuple[Plan, ReadLogEntry, bool]] = {}
ANCHORED = plan(SEGMENTATION, anchor="anchor")
NAIVE = plan(SEGMENTATION)
BEYOND: dict[str, Any] = {"views": {**dict.fromkeys(ALL, View.PERSONAL), "age": View.WITHHELD}}
_MANY: Sequence[tuple[str, Plan, str, dict[str, Any], bool]] = (
    ("a table", NAIVE, "table", {}, True),
    ("a table of others", NAIVE, "table", {"views": dict.fromkeys(ALL, View.SYNTHETIC)}, True),
    ("a naive table", NAIVE, "table", {"release": "release"}, True),
    ("a naive table of another release", NAIVE, "table", {"release": "another"}, False),
    ("a naive table with a mode", NAIVE, "table", {"mode": Mode.RELEASE_ANCHORED}, False),
    (
        "an anchored table",
        ANCHORED,
        "table",
        {"release": "anchor", "mode": Mode.RELEASE_ANCHORED},
        True,
    ),
    ("an anchored table that is naive", ANCHORED, "table", {"release": "release"}, False),
    ("a withheld field of a table", NAIVE, "table", BEYOND, False),
    ("a table of fewer fields", NAIVE, "table", {"views": {"age": View.PERSONAL}}, False),
    ("rows", NAIVE, "rows", {}, True),
    ("rows with a release", NAIVE, "rows", {"release": "release"}, False),
    ("synthetic rows", NAIVE, "rows", {"views": dict.fromkeys(ALL, View.SYNTHETIC)}, False),
    ("rows for another reason", NAIVE, "rows", {"reason": Reason.EXPIRED}, False),
    ("a search", NAIVE, "search", {}, True),
    ("a search with views", NAIVE, "search", {"views": {"age": View.PERSONAL}}, False),
    ("a search with a release", NAIVE, "search", {"release": "release"}, False),
)
for _why, _plan, _action, _members, _follows in _MANY:
    MANY[_why] = _plan, many(_plan, _action, ALL, **_members), _follows


@pytest.mark.parametrize("why", MANY)
def test_g61_an_answer_about_many_follows_from_contract_and_release(
    state: ConsentIndex, why: str
) -> None:
    of, logged, accepted = MANY[why]
    assert (check_entry.of_many(ActiveState(of, state), logged, "cohort") is None) == accepted


def test_g61_an_answer_about_many_that_is_to_be_refused(state: ConsentIndex) -> None:
    of, narrow = plan(SEGMENTATION), replace(SEGMENTATION, shapes=frozenset({ReadShape.TABLE}))
    outside = many(of, "rows", ("name",))
    wrong = check_entry.of_many(ActiveState(of, state), outside, "cohort")
    assert wrong == "field-outside-scene"
    rows = many(plan(narrow), "rows", ALL)
    wrong = check_entry.of_many(ActiveState(plan(narrow), state), rows, "cohort")
    assert wrong == "shape-outside-scene"
    table = many(plan(narrow), "table", ALL)
    assert check_entry.of_many(ActiveState(plan(narrow), state), table, "cohort") is None


REFUSED: dict[str, tuple[tuple[str, ...], Reason, dict[str, Any], bool]] = {
    "a quota": (ALL, Reason.QUOTA_EXCEEDED, {}, True),
    "a purpose": (ALL, Reason.PURPOSE_DIFFERS, {}, True),
    "a field": (("name",), Reason.FIELD_OUTSIDE_SCENE, {}, True),
    "a field of the filter": (("age", "name"), Reason.FIELD_OUTSIDE_SCENE, {}, True),
    "no field": ((), Reason.NO_FIELDS, {}, True),
    "no reason": (ALL, Reason.GRANTED, {}, False),
    "a shape that is allowed": (ALL, Reason.SHAPE_OUTSIDE_SCENE, {}, False),
    "a field that is there": (ALL, Reason.FIELD_OUTSIDE_SCENE, {}, False),
    "rows": (ALL, Reason.QUOTA_EXCEEDED, {"rows": 1}, False),
    "views": (ALL, Reason.QUOTA_EXCEEDED, {"views": {"age": View.PERSONAL}}, False),
    "a release": (ALL, Reason.QUOTA_EXCEEDED, {"release": "release"}, False),
    "a mode": (ALL, Reason.QUOTA_EXCEEDED, {"mode": Mode.RELEASE_ANCHORED}, False),
}


@pytest.mark.parametrize("why", REFUSED)
def test_g61_a_refusal_of_many_names_a_reason_of_the_request(state: ConsentIndex, why: str) -> None:
    fields, reason, members, accepted = REFUSED[why]
    of = plan(SEGMENTATION)
    refused = entry(of, "rows", fields, reason=reason, **members)
    found = check_entry.of_many(ActiveState(of, state), refused, None)
    assert (found is None) == accepted
    if found is not None:
        assert found == "a cohort"
    if reason is Reason.SHAPE_OUTSIDE_SCENE:
        narrow = plan(replace(SEGMENTATION, shapes=frozenset({ReadShape.TABLE})))
        assert check_entry.of_many(ActiveState(narrow, state), refused, None) is None


OWN = entry(
    plan(SEGMENTATION),
    "own",
    ("age", "email"),
    service="",
    scene="",
    plan="",
    rows=1,
    reason=Reason.LEGAL_OBLIGATION,
    views={"age": View.PERSONAL, "email": View.WITHHELD},
)
WITHHELD = dict.fromkeys(OWN.fields, View.WITHHELD)
NOT_OWN: dict[str, dict[str, Any]] = {
    "a service": {"service": "crm"},
    "a scene": {"scene": "segmentation"},
    "a plan": {"plan": "9f"},
    "another reason": {"reason": Reason.GRANTED},
    "values of a source that is down": {"reason": Reason.SOURCE_UNAVAILABLE},
    "a drawn value": {"views": WITHHELD | {"age": View.SYNTHETIC}},
    "a field without a view": {"views": {"age": View.PERSONAL}},
    "a row without values": {"views": WITHHELD},
    "values without a row": {"rows": 0},
    "a release": {"release": "release"},
    "a mode": {"mode": "release-anchored"},
    "somebody for whom it was asked": {"on_behalf_of": "00"},
}


def test_g311_a_customers_own_access_rests_on_the_law() -> None:
    assert check_entry.of_owner(OWN, b"null") is None
    assert check_entry.of_owner(OWN, b"3") is not None
    nothing = msgspec.structs.replace(OWN, views=WITHHELD, rows=0)
    assert check_entry.of_owner(nothing, b"null") is None
    down = msgspec.structs.replace(nothing, reason=Reason.SOURCE_UNAVAILABLE)
    assert check_entry.of_owner(down, b"null") is None


@pytest.mark.parametrize("why", NOT_OWN)
def test_g311_another_form_of_it_does_not_follow(why: str) -> None:
    other = msgspec.structs.replace(OWN, **NOT_OWN[why])
    assert check_entry.of_owner(other, b"null") is not None


def test_g61_an_entry_about_an_unknown_scene() -> None:
    unknown = entry(plan(SEGMENTATION), "read", ALL, reason=Reason.UNKNOWN_SCENE, plan="")
    assert check_entry.of_unknown_scene(unknown, b"null") is None
    assert check_entry.of_unknown_scene(unknown, b"3") == "unknown-scene"
    more: Sequence[dict[str, Any]] = (
        {"reason": Reason.GRANTED},
        {"rows": 1},
        {"plan": "9f"},
        {"cohort": "9f"},
        {"answered": "9f"},
    )
    for members in more:
        other = msgspec.structs.replace(unknown, **members)
        assert check_entry.of_unknown_scene(other, b"null") == "unknown-scene"


def test_g124_the_cohort_of_an_entry_of_an_earlier_version(state: ConsentIndex) -> None:
    of = plan(SEGMENTATION)
    for fields, who in ((ALL, {"whole", "armed"}), (("age",), {"whole", "some", "armed"})):
        logged = many(of, "rows", fields)
        members = check_entry.admitted(ActiveState(of, state), logged, MINUTE)
        names = [*state.subjects]
        assert {names[row] for row in np.flatnonzero(members)} == who
        digest = sha256(np.packbits(members).tobytes()).hexdigest()
        active = ActiveState(of, state)
        assert check_entry.of_everybody(active, logged, MINUTE, digest) is None
        other = check_entry.of_everybody(active, logged, MINUTE, "0" * 64)
        assert other == f"{COHORT}{digest}"
        assert check_entry.of_everybody(active, logged, MINUTE, None) == "a cohort"
        wrong = msgspec.structs.replace(logged, reason=Reason.EXPIRED)
        said = check_entry.of_everybody(active, wrong, MINUTE, digest)
        assert said is not None
        assert said.startswith("granted {")


def test_g138_silence_and_an_id_without_a_key(state: ConsentIndex) -> None:
    of = plan(NEWS)
    active = ActiveState(of, state)
    silent, rests = answered(state, of, "nobody", ("name",))
    assert silent.reason is Reason.LEGITIMATE_INTEREST
    never = entry(of, "read", ("name",), reason=Reason.NEVER_GRANTED, rows=1)
    never = msgspec.structs.replace(never, views={"name": View.WITHHELD})
    assert check_entry.silent(active, Shape(silent), MINUTE, rests)
    assert not check_entry.silent(active, Shape(never), MINUTE, rests)
    assert check_entry.of_nobody(active, Shape(never), MINUTE, rests) is None
    assert check_entry.of_nobody(active, Shape(silent), MINUTE, rests) is not None
    assert follows(state, of, never, "nobody", rests) is None, "before their key was made"
    objected, theirs = answered(state, of, "gone", ("name",))
    assert objected.reason is Reason.OBJECTED
    assert follows(state, of, msgspec.structs.replace(never), "gone", theirs) is not None
    consent = ActiveState(plan(SEGMENTATION), state)
    refused, _ = answered(state, consent.plan, "nobody", ALL)
    assert not check_entry.silent(consent, Shape(refused), MINUTE, b"null")


@pytest.mark.parametrize("scene", [SEGMENTATION, NEAREST_BRANCH, MARKETING])
def test_g61_whoever_granted_is_not_answered_as_if_they_had_not(
    state: ConsentIndex, scene: Scene
) -> None:
    of, granted = plan(scene), [who for who, act in SAID if isinstance(act, Granted)]
    never, rests = answered(state, of, "nobody", tuple(scene.fields))
    assert never.reason is Reason.NEVER_GRANTED
    known = [who for who in granted if state.bits_and_entry(scene.id, who)[1] is not None]
    assert known
    for who in known:
        assert follows(state, of, never, who, rests) is not None, who


@pytest.mark.parametrize("shown", [View.SYNTHETIC, View.PERSONAL])
def test_g128_a_consent_explains_an_answer_that_gave_less(state: ConsentIndex, shown: View) -> None:
    """One of two fields was given, the other was missing at the source."""
    of = plan(SEGMENTATION)
    active, views = ActiveState(of, state), {"age": shown, "job": View.WITHHELD}
    less = entry(
        of, "read", ("age", "job"), rows=1, views=views, reason=Reason.SOURCE_UNAVAILABLE,
        release="release" if shown is View.SYNTHETIC else None,
    )  # fmt: skip
    assert check_entry.possible(active, Shape(less), MINUTE, b"3")
    never = msgspec.structs.replace(less, reason=Reason.NEVER_GRANTED)
    assert not check_entry.possible(active, Shape(never), MINUTE, b"3")


POSSIBLE = [
    (SEGMENTATION, "whole", ALL),
    (SEGMENTATION, "some", ALL),
    (SEGMENTATION, "gone", ALL),
    (SEGMENTATION, "over", ALL),
    (SEGMENTATION, "frozen", ALL),
    (NEAREST_BRANCH, "whole", ("location", "postcode_area")),
    (MARKETING, "some", ("name", "email")),
    (NEWS, "gone", ("name",)),
]


@pytest.mark.parametrize(("scene", "who", "fields"), POSSIBLE)
def test_g128_some_consent_explains_an_answer_that_was_given(
    state: ConsentIndex, scene: Scene, who: str, fields: tuple[str, ...]
) -> None:
    of = plan(scene)
    active = ActiveState(of, state)
    logged, rests = answered(state, of, who, fields)
    assert check_entry.possible(active, Shape(logged), MINUTE, rests)
    wrong: Sequence[dict[str, Any]] = (
        {"rows": 7},
        {"release": "another"},
        {"reason": Reason.UNKNOWN_SERVICE},
    )
    for members in wrong:
        other = msgspec.structs.replace(logged, **members)
        assert not check_entry.possible(active, Shape(other), MINUTE, rests)


def test_g128_no_consent_explains_an_impossible_answer(state: ConsentIndex) -> None:
    of = plan(SEGMENTATION)
    active = ActiveState(of, state)
    granted = entry(of, "read", ALL, rows=1, release="release")
    for views, reason in (
        ({"age": View.SYNTHETIC, "job": View.SYNTHETIC, "housing": View.SYNTHETIC}, "granted"),
        ({"age": View.PERSONAL, "job": View.SYNTHETIC, "housing": View.SYNTHETIC}, "expired"),
        ({"age": View.PERSONAL, "job": View.WITHHELD, "housing": View.SYNTHETIC}, "granted"),
        ({"age": View.GENERALISED, "job": View.SYNTHETIC, "housing": View.SYNTHETIC}, "granted"),
    ):
        other = msgspec.structs.replace(granted, views=views, reason=Reason(reason))
        assert not check_entry.possible(active, Shape(other), MINUTE, b"3")


def test_cached_results_do_not_outlive_the_grant(state: ConsentIndex) -> None:
    """A shape caches by consent bits; before and after the end they are different questions."""
    of = plan(SEGMENTATION)
    active = ActiveState(of, state)
    logged, rests = answered(state, of, "over", ALL)
    shape = Shape(logged)
    assert check_entry.of_one(active, shape, MINUTE, "over", rests) is None
    assert check_entry.of_one(active, shape, MINUTE - 1, "over", rests) is not None
    assert check_entry.of_one(active, shape, MINUTE, "over", rests) is None
    frozen, why = answered(state, of, "frozen", ALL)
    stale = MINUTE + 8 * 24 * 60
    shape = Shape(frozen)
    assert check_entry.of_one(active, shape, MINUTE, "frozen", why) is None
    assert check_entry.of_one(active, shape, stale, "armed", why) is not None
