"""Histories in the right form, in which somebody signs who may not (specs/instruction.md)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from specs.vectors.make_instruction import PAGE, VectorKey
from specs.vectors.signing import TIME
from specs.vectors.story import (
    Entry,
    Shown,
    Story,
    evidence,
    key_id,
    key_of,
)
from specs.vectors.vector import Vector, b64, canonical

HAND, BROWSER = VectorKey("ES256"), VectorKey("EdDSA", kind="browser")
THIRD, DELEGATE = VectorKey("ES256", "third"), VectorKey("EdDSA", "delegate")
GRANT: Entry = {"fields": ["age"], "scene": "segmentation", "type": "granted", "until": None}
WITHDRAWN: Entry = {"fields": None, "scene": "segmentation", "type": "withdrawn"}
TRIGGER: Entry = {"scene": "s", "signal": "drift", "template": "below", "type": "trigger-set"}
ENROLLED: Entry = {"key": key_of(HAND), "type": "key-enrolled"}
LAST_SECOND = 253_402_300_799  # of the year 9999


def at(days: float) -> str:
    day = datetime.fromtimestamp(TIME, UTC) + timedelta(days=days)
    return day.strftime("%Y-%m-%dT%H:%M:%SZ")


def enrolled(*keys: tuple[VectorKey, int]) -> Entry:
    return {"keys": [{"index": index, "key": key_id(key)} for key, index in keys]}


def only(members: Entry) -> Vector:
    return {"evidence": canonical(members) + "\n"}


def _life(
    *says: tuple[Any, ...], signers: Entry | Callable[[Story], Entry] | None = None
) -> Vector:
    """Evidence of what was said: acts, or what makes one of the story; by whom; and how.

    The state shows the signers as they would be had each act been allowed.
    """
    story = Story()
    for act, signing, *rest in says:
        parts = rest[1] if len(rest) > 1 else {}
        story.say(act(story) if callable(act) else act, signing, *rest[:1], **parts)
    state = story.state(signers(story) if callable(signers) else signers)
    return only(evidence(story, state, len(says), Shown(time=LAST_SECOND)))


def _digest(story: Story, place: int) -> str:
    event = story.said[place]["extra"]["event"]
    return b64(sha256(canonical(event).encode()).digest())


def _waiting(before: Entry, place: int, until: str) -> Callable[[Story], Entry]:
    """The state's signers while the recovery waits that instruction `place` asked for."""
    parts = {"index": place, "key": key_id(THIRD), "not_before": until}
    return lambda story: before | {"recovery": {**parts, "request": _digest(story, place)}}


def _mandated(story: Story) -> Entry:
    """The state's signers with every mandate that was given."""
    given = [
        {
            "index": place,
            "key": key_id(DELEGATE),
            "mandate": _digest(story, place),
            "scenes": each["extra"]["event"]["act"]["scenes"],
            "until": each["extra"]["event"]["act"]["until"],
        }
        for place, each in enumerate(story.said)
        if each["extra"]["event"]["act"]["type"] == "mandate-given"
    ]
    return enrolled((HAND, 0)) | {"mandates": given}


def lives() -> Iterator[tuple[str, Vector]]:
    """Histories in the right form, in which somebody signs who may not."""
    yield from _keys()
    yield from _recoveries()
    yield from _mandates()


def _keys() -> Iterator[tuple[str, Vector]]:
    first, hand = (ENROLLED, None), enrolled((HAND, 0))
    replaced = {"key": key_of(THIRD), "old": key_id(HAND), "type": "key-replaced"}
    yield "a grant in a session, though there is a key", _life(first, (GRANT, None), signers=hand)
    yield "signed by a key that is not enrolled", _life(first, (GRANT, THIRD), signers=hand)
    yield "signed by a key before it is enrolled", _life((GRANT, HAND))
    elsewhere = {"origin": PAGE.replace("://", "://a.")}
    yield "signed on another page", _life(first, (GRANT, HAND, elsewhere), signers=hand)
    other_backup = {"key": key_of(HAND, backup_eligible=False), "type": "key-enrolled"}
    yield (
        "another backup than at enrolment",
        _life((other_backup, None), (GRANT, HAND), signers=hand),
    )
    again = enrolled((HAND, 1))
    yield "a key that is enrolled twice", _life(first, (ENROLLED, HAND), signers=again)
    many = [(VectorKey("EdDSA", f"key {n}", kind="browser"), n) for n in range(1, 21)]
    acts = [(ENROLLED | {"key": key_of(key)}, HAND) for key, _ in many]
    yield "21 keys", _life(first, *acts, signers=enrolled((HAND, 0), *many))
    yield (
        "a second key in a session",
        _life(
            first,
            (ENROLLED | {"key": key_of(THIRD)}, None),
            signers=enrolled((HAND, 0), (THIRD, 1)),
        ),
    )
    second = (ENROLLED | {"key": key_of(BROWSER)}, HAND)
    yield (
        "a key replaced by another one than itself",
        _life(first, second, (replaced, BROWSER), signers=enrolled((BROWSER, 1), (THIRD, 2))),
    )
    gone = {"old": key_id(THIRD), "type": "key-removed"}
    yield "a key removed that is not active", _life(first, (gone, HAND), signers=hand)
    yield "class A, not signed", _life((GRANT, None, None, {"evidence": "A"}))
    yield "class C, signed", _life(first, (GRANT, HAND, None, {"evidence": "C"}), signers=hand)
    one, two = TRIGGER | {"threshold": 1}, TRIGGER | {"threshold": 2}
    yield (
        "another threshold in a session",
        _life(first, (one, None), (two, None), signers=hand),
    )


def recovered(story: Story) -> Entry:
    return {"request": story.prev, "type": "key-recovered"}


def _recoveries() -> Iterator[tuple[str, Vector]]:
    first, hand = (ENROLLED, None), enrolled((HAND, 0))
    asked = {
        "key": key_of(THIRD),
        "not_before": at(3),
        "proof": "card",
        "type": "recovery-requested",
    }
    yield "a recovery without a key", _life((asked, None), signers=_waiting({}, 0, at(3)))
    waiting = _waiting(hand, 1, at(3))
    yield (
        "a recovery that waits too short",
        _life(first, (asked, None, None, {"at": at(0.001)}), signers=waiting),
    )
    never = asked | {"not_before": "9999-12-31T23:59:59Z"}
    yield (
        "a recovery after the last day of all",
        _life(
            first,
            (never, None, None, {"at": "9999-12-30T00:00:00Z"}),
            signers=_waiting(hand, 1, "9999-12-31T23:59:59Z"),
        ),
    )
    yield (
        "two recoveries",
        _life(first, (asked, None), (asked, None), signers=_waiting(hand, 2, at(3))),
    )
    early = (recovered, None, None, {"at": at(2)})
    yield (
        "a recovery before its time",
        _life(first, (asked, None), early, signers=enrolled((THIRD, 2))),
    )
    yield "a recovery that nobody asked for", _life(first, (recovered, None), signers=hand)


def _mandates() -> Iterator[tuple[str, Vector]]:
    first, hand = (ENROLLED, None), enrolled((HAND, 0))
    given = {"key": key_of(DELEGATE), "scenes": ["segmentation"], "type": "mandate-given"}
    given |= {"until": at(2)}
    story = Story()
    story.say(ENROLLED)
    mandate = story.say(given, HAND)
    under = {"mandate": mandate}
    begin = (first, (given, HAND))
    acts: dict[str, tuple[Any, ...]] = {
        "of another scene": (GRANT | {"scene": "marketing"}, DELEGATE, None, under),
        "after its end": (GRANT, DELEGATE, None, under | {"at": at(2)}),
        "by another key": (GRANT, HAND, None, under),
        "that was never given": (GRANT, DELEGATE, None, {"mandate": key_id(HAND)}),
        "not signed": (WITHDRAWN, None, None, under),
        "not named": (GRANT, DELEGATE, None),
    }
    for why, act in acts.items():
        yield f"a mandate: {why}", _life(*begin, act, signers=_mandated)
    enrols = (ENROLLED | {"key": key_of(THIRD)}, DELEGATE, None, under)
    yield (
        "a mandate: about keys",
        _life(
            *begin, enrols, signers=lambda told: _mandated(told) | enrolled((HAND, 0), (THIRD, 2))
        ),
    )
    ended = ({"mandate": mandate, "type": "mandate-ended"}, None)
    yield (
        "a mandate: ended before",
        _life(*begin, ended, (GRANT, DELEGATE, None, under), signers=hand),
    )
    yield "a mandate: ended twice", _life(*begin, ended, ended, signers=hand)
    over = (given | {"until": at(0)}, HAND)
    yield "a mandate: that ends as it begins", _life(first, over, signers=_mandated)
    by_nobody = (given, None)
    yield "a mandate: given in a session", _life(first, by_nobody, signers=_mandated)
    yield "21 mandates", _life(first, *[(given, HAND)] * 21, signers=_mandated)
