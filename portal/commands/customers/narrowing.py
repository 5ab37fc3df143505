"""What two customers allow together, and the acts that leave one of them no more than that. Pure.

Also the acts that take over, under a new number, what a customer allowed under the old one.

Of each scene and item the narrower of the two holds: an item that one of them did not allow, the
earlier end, an objection, a condition. Silence counts as what it allows: nothing in a scene on
consent, all items under legitimate interest unless they were erased before. Where a customer who
said nothing would have to be given some items by name, and no customer said so, the whole scene
ends.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from gate.contracts.scene import Scene
from gate.contracts.versions import Version
from ledger.events.acts import Imported, Limited, TriggerSet, Withdrawn
from ledger.events.reducer import ConsentState, SceneConsent, SceneWithdrawal
from portal.consent.centre import ends, live_fields

Last = SceneConsent | SceneWithdrawal | None
Published = Mapping[str, int]  # scene -> index of the newest entry that published a contract of it
Dated = tuple[datetime, Imported | Withdrawn | TriggerSet]


def silent(scenes: Mapping[str, Scene], state: ConsentState) -> tuple[str, ...]:
    """The scenes that may be read of a customer because they said nothing."""
    if state.returned:
        return ()
    return tuple(each.id for each in scenes.values() if each.unsaid and state.last(each.id) is None)


def shared(
    scenes: Mapping[str, Scene],
    mine: ConsentState,
    other: ConsentState,
    at: datetime,
    published: Published,
) -> Iterator[Limited | Withdrawn]:
    """The acts after which `mine` allows nothing that `other` did not allow, too."""
    for scene in scenes.values():
        act = None if scene.locked else _shared(scene, mine, other, at, published.get(scene.id, 0))
        if act is not None:
            yield act
    for name in _not_offered(scenes, {*mine.scenes, *other.scenes}):
        if not isinstance(mine.last(name), SceneWithdrawal):
            yield Withdrawn(name)


def objected(
    scenes: Mapping[str, Scene], mine: ConsentState, other: ConsentState, at: datetime
) -> Iterator[Withdrawn]:
    """The acts after which `mine`, who said nothing yet, refuses what `other` refused.

    In whole or some items of it.
    """
    for scene in scenes.values():
        if not scene.locked and mine.last(scene.id) is None and _refused(scene, other, at):
            yield Withdrawn(scene.id)
    for name in _not_offered(scenes, {*other.scenes}):
        yield Withdrawn(name)


def _not_offered(scenes: Mapping[str, Scene], names: set[str]) -> list[str]:
    """Those of the names that customers cannot switch now, and may be able to later."""
    return sorted(name for name in names if name not in scenes or scenes[name].locked)


def taken_over(
    scenes: Mapping[str, Scene],
    other: ConsentState,
    source: str,
    at: datetime,
    agreed: Callable[[str, int], Version],
) -> list[Dated]:
    """The acts, and their times, after which a new number allows and refuses what `other` did.

    Whatever ended, or was never agreed to under the contract of today, is refused, as are scenes
    that are not offered now. `agreed`: the version of a scene's contract at an entry of the log.
    """
    made: list[Dated] = []
    for name, last in other.scenes.items():
        left = _in_force(scenes.get(name), other, last, at, agreed)
        if isinstance(last, SceneConsent) and left:
            made.append((last.at, Imported(name, left, last.until, source)))
        else:
            made.append((last.at, Withdrawn(name)))
    conditions: list[Dated] = [
        (at, TriggerSet(name, each.template, each.signal, each.threshold))
        for name, active in other.triggers.items()
        for each in active
    ]
    return [*sorted(made, key=lambda each: each[0]), *conditions]


def _in_force(
    scene: Scene | None,
    other: ConsentState,
    last: SceneConsent | SceneWithdrawal,
    at: datetime,
    agreed: Callable[[str, int], Version],
) -> tuple[str, ...]:
    """The items of a scene that a customer allows by what they said of it, in its order."""
    if scene is None or scene.locked or not isinstance(last, SceneConsent):
        return ()
    version = agreed(scene.id, last.index)
    covered = scene.agreed(version) if scene.holds(version) else ()
    return tuple(name for name in live_fields(scene, other, at) if name in covered)


def _shared(
    scene: Scene, mine: ConsentState, other: ConsentState, at: datetime, published: int
) -> Limited | Withdrawn | None:
    last = mine.last(scene.id)
    if last is None:
        stops = scene.unsaid and _conditions(scene, other) - _conditions(scene, mine)
        return Withdrawn(scene.id) if stops or _refused(scene, other, at) else None
    if not isinstance(last, SceneConsent):
        return None
    theirs = other.last(scene.id)
    outdated = isinstance(theirs, SceneConsent) and theirs.index < published <= last.index
    allowed = () if outdated else live_fields(scene, other, at)
    left = tuple(name for name in scene.fields if name in last.fields and name in allowed)
    if not left or _conditions(scene, other) - _conditions(scene, mine):
        return Withdrawn(scene.id)
    until = ends(scene, theirs) if isinstance(theirs, SceneConsent) else None
    earlier = until is not None and until < ends(scene, last)
    if not earlier and set(left) == last.fields:
        return None
    end = until.replace(second=0, microsecond=0) if until is not None and earlier else None
    return Limited(scene.id, left, end)


def _refused(scene: Scene, other: ConsentState, at: datetime) -> bool:
    """Whether a customer refused some of what silence allows in the scene, or all of the scene.

    A yes that ends is less than silence, which does not.
    """
    last = other.last(scene.id)
    if isinstance(last, SceneConsent):
        less = last.until is not None or not {*scene.unsaid} <= {*live_fields(scene, other, at)}
        return bool(scene.unsaid) and less
    return last is not None or (other.returned and bool(scene.unsaid))


def _conditions(scene: Scene, state: ConsentState) -> set[object]:
    return {*state.triggers.get(scene.id, ())}
