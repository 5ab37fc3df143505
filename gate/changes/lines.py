"""From what a service may still have, and may have now, to the lines that say so. Pure.

forget    fields that it received and that may no longer be read: it must not have them any more
refresh   fields of which this is no longer so, or which were granted again: it may read them
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gate.contracts.scene import Scene
from gate.decision import decide
from gate.decision.decide import Reason
from gate.policy.compiled import Plan
from gate.state import consent_bits
from gate.storage.changes import ChangeLine, Fields, ReceivedFields
from ledger.events.acts import Act, Granted, Imported, Limited, SourceDeleted, Withdrawn

FORGET, REFRESH = "forget", "refresh"
ERASED = "erased"  # the reason of a line about an erased customer

Place = tuple[str, str]  # service, scene


@dataclass(frozen=True, slots=True)
class Instructed:
    """A customer's instruction, as the feed follows it."""

    index: int
    at: datetime
    act: Act


@dataclass(frozen=True, slots=True)
class Now:
    """What may be read of a customer in one scene at this moment, and since which moment that is.

    `size`: of the ledger that it rests on.
    """

    plan: Plan
    bits: int
    readable: int
    minute: int
    stale: int
    size: int
    at: datetime


def after(
    received: Iterable[ReceivedFields], each: Instructed, customer: int, scenes: Mapping[str, Scene]
) -> tuple[list[ReceivedFields], list[ChangeLine]]:
    """What an instruction takes away by itself: the received fields it changes, and its lines.

    So a withdrawal has a line although the customer granted the same again before anybody looked.
    """
    changed, lost = [], dict[Place, set[str]]()
    for one in received:
        gone = _taken(each.act, one)
        if not gone or each.index < one.ledger_size:
            continue  # what was read later rests on the instruction
        changed.append(replace(one, allowed=_without(one.allowed, gone)))
        lost.setdefault((one.service, one.scene), set()).update(gone)
    at = int(each.at.timestamp())
    made = [
        ChangeLine(
            service=service,
            customer=customer,
            hash=None,
            scene=scene,
            action=FORGET,
            fields=_sorted(fields),
            reason=_reason(each.act, scenes[scene]),
            ledger_size=each.index + 1,
            at=at,
            until=None,
        )
        for (service, scene), fields in lost.items()
    ]
    return changed, made


def renewed(received: Iterable[ReceivedFields], each: Instructed) -> set[Place]:
    """The services and scenes for which the instruction is a new grant."""
    if not isinstance(each.act, Granted | Imported):
        return set()
    scene = each.act.scene
    return {
        (e.service, e.scene) for e in received if e.scene == scene and each.index >= e.ledger_size
    }


def compared(
    received: Iterable[ReceivedFields], now: Mapping[str, Now], renewed: set[Place], customer: int
) -> tuple[list[ReceivedFields], list[ChangeLine]]:
    """The received fields that differ from what may be read now, and the lines that say so.

    Of the scenes in `now` alone.
    """
    changed = []
    lost, gained = dict[Place, set[str]](), dict[Place, set[str]]()
    for one in received:
        if one.scene not in now:
            continue
        state, place = now[one.scene], (one.service, one.scene)
        readable = {f for f in one.fields if state.plan.bits.get(f, 0) & state.readable}
        before = {*one.allowed}
        lost.setdefault(place, set()).update(before - readable)
        again = readable if place in renewed else readable - before
        gained.setdefault(place, set()).update(again)
        if readable != before:
            changed.append(replace(one, allowed=_sorted(readable)))
    lines = [
        _line(place, customer, action, fields, now[place[1]])
        for action, by_place in ((FORGET, lost), (REFRESH, gained))
        for place, fields in by_place.items()
        if fields
    ]
    return changed, lines


def erased(service: str, hashed: bytes, size: int, at: datetime) -> ChangeLine:
    """The service must forget everything that it has of the customer."""
    seconds = int(at.timestamp())
    return ChangeLine(service, None, hashed, None, FORGET, (), ERASED, size, seconds, None)


def _line(place: Place, customer: int, action: str, fields: set[str], now: Now) -> ChangeLine:
    service, scene = place
    wanted = now.plan.mask(tuple(fields & now.plan.bits.keys())) or 0
    why = decide.reason(now.plan, now.bits, now.minute, wanted, now.stale)
    end, at = consent_bits.expiry(now.bits), int(now.at.timestamp())
    until = None
    if action == REFRESH and consent_bits.SUPERSEDED < end < consent_bits.LAST_MINUTE:
        until = seconds(end)
    if why is Reason.EXPIRED:
        at = seconds(end)
    fields_ = _sorted(fields)
    return ChangeLine(service, customer, None, scene, action, fields_, why, now.size, at, until)


def seconds(minute: int) -> int:
    """Since 1970, of a minute as in consent bits."""
    return int(consent_bits.EPOCH.timestamp()) + minute * 60


def moment(since_1970: int) -> datetime:
    return datetime.fromtimestamp(since_1970, UTC)


def _taken(act: Act, one: ReceivedFields) -> set[str]:
    """The fields that were allowed and that the act takes away."""
    return {*_gone(act, one)}


def _gone(act: Act, one: ReceivedFields) -> Iterator[str]:
    match act:
        case Withdrawn(scene, fields) if scene == one.scene:
            yield from (f for f in one.allowed if fields is None or f in fields)
        case Granted(scene, fields) | Imported(scene, fields) | Limited(scene, fields):
            if scene == one.scene:
                yield from (f for f in one.allowed if f not in fields)
        case SourceDeleted():
            yield from one.allowed
        case _:  # other acts take nothing by themselves
            pass


def _reason(act: Act, scene: Scene) -> Reason:
    whole = isinstance(act, SourceDeleted) or (isinstance(act, Withdrawn) and act.fields is None)
    if not whole:
        return Reason.FIELD_NOT_GRANTED
    return Reason.OBJECTED if scene.objectable else Reason.WITHDRAWN


def _without(fields: Fields, gone: set[str]) -> Fields:
    return tuple(each for each in fields if each not in gone)


def _sorted(fields: Iterable[str]) -> Fields:
    return tuple(sorted(fields))
