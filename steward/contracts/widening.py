"""Compares versions of a scene's contract, and checks that a new one declares its changes.

BREAKING   a field is removed or changes its type: consumers must change
WIDENED    the contract allows more than customers agreed to: another purpose or legal basis,
           another service, a partner, longer consent or retention, another series or more of it
ADDED      a new field, which no earlier grant covers
REWORDED   texts that customers read

A breaking or widening version must be a new major version. A widening one must accept grants from
itself on only (`consentSince`), so the gate reads nothing under it until customers grant again. A
field that is added or changes its type needs `since` with the new version. Normative clauses:
specs/health.md, "Versions".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from gate.contracts import versions
from gate.contracts.scene import ENDLESS, Scene, SceneField
from gate.contracts.series import EventSeries
from gate.contracts.versions import Version

FOR_EVER = timedelta.max


class DifferenceKind(StrEnum):
    BREAKING = "breaking"
    WIDENED = "widened"
    ADDED = "added"
    REWORDED = "reworded"


@dataclass(frozen=True, slots=True)
class ContractDifference:
    kind: DifferenceKind
    what: str  # the part of the contract: "purpose", "field balance"
    old: str
    new: str


class UndeclaredChangeError(ValueError):
    """A contract changed in ways that it does not declare, so it may not become active.

    `missing`: the declarations it needs, and changes that none allows.
    """

    def __init__(self, old: Scene, new: Scene, missing: tuple[str, ...]) -> None:
        super().__init__(
            f"contract {new.id}: version {new.version} after {old.version} lacks declarations: "
            + "; ".join(missing)
        )
        self.scene, self.missing = new.id, missing


def differences(old: Scene, new: Scene) -> list[ContractDifference]:
    """All differences between two versions of a contract that concern customers or services."""
    return [*_widened(old, new), *_series(old, new), *_fields(old, new), *_reworded(old, new)]


def require_declared(old: Scene, new: Scene) -> list[ContractDifference]:
    """The differences, if `new` declares all of them. Raises UndeclaredChangeError."""
    changes = differences(old, new)
    if missing := tuple(_missing(old, new, changes)):
        raise UndeclaredChangeError(old, new, missing)
    return changes


def _missing(old: Scene, new: Scene, changes: list[ContractDifference]) -> Iterator[str]:
    before, after = versions.parse(old.version), versions.parse(new.version)
    kinds = {each.kind for each in changes}
    if after < before:
        yield f"versions only grow, want at least {old.version}"
    if kinds & {DifferenceKind.BREAKING, DifferenceKind.WIDENED} and after[0] <= before[0]:
        named = _named(changes, DifferenceKind.BREAKING, DifferenceKind.WIDENED)
        yield f"{named}: want version {before[0] + 1}.0.0"
    if new.locked and not old.locked:
        yield (
            f"legal basis {new.legal_basis} after {old.legal_basis}: a scene that customers could "
            "switch off is never locked; publish the use as a scene with another id"
        )
    if DifferenceKind.ADDED in kinds and after[:2] <= before[:2]:
        yield f"{_named(changes, DifferenceKind.ADDED)}: want version {before[0]}.{before[1] + 1}.0"
    if changes and after == before:
        yield f"{_named(changes, *DifferenceKind)}: want a new version"
    if DifferenceKind.WIDENED in kinds and new.consent_since != after:
        yield f"{_named(changes, DifferenceKind.WIDENED)}: want consentSince {new.version}"
    if new.consent_since < old.consent_since:
        yield f"consentSince only grows, want at least {_text(old.consent_since)}"
    yield from _undated(old, new, after)


def _undated(old: Scene, new: Scene, after: Version) -> Iterator[str]:
    """Missing `since` declarations: fields that earlier grants cannot have covered."""
    for name, field in new.fields.items():
        before = old.fields.get(name)
        fresh = before is None or _meaning(before) != _meaning(field)
        if fresh and field.since != after:
            yield f"field {name} is new or has another type: want since {new.version}"
        elif before is not None and field.since < before.since:
            yield f"since of field {name} only grows, want {_text(before.since)}"


def _widened(old: Scene, new: Scene) -> Iterator[ContractDifference]:
    for what, before, after in (
        ("purpose", old.purpose, new.purpose),
        ("legal basis", old.legal_basis.value, new.legal_basis.value),
    ):
        if before != after:
            yield ContractDifference(DifferenceKind.WIDENED, what, before, after)
    known = {each.id: each for each in old.services}
    for each in new.services:
        served = known.get(each.id)
        if served is None or (each.partner and not served.partner):
            role = "partner" if each.partner else "service"
            yield ContractDifference(DifferenceKind.WIDENED, f"service {each.id}", "", role)
    for what, earlier, later in (
        ("longest consent", old.longest, new.longest),
        ("retention", old.retention or FOR_EVER, new.retention or FOR_EVER),
    ):
        if later > earlier and later != ENDLESS:  # no consent: the other basis is the difference
            yield ContractDifference(DifferenceKind.WIDENED, what, _days(earlier), _days(later))


def _series(old: Scene, new: Scene) -> Iterator[ContractDifference]:
    """Series of other events than before, of more of a customer, or with less noise."""
    known = {each.name: each for each in old.series}
    for each in new.series:
        before, after = _counted(known.get(each.name)), _counted(each)
        if before != after:
            yield ContractDifference(DifferenceKind.WIDENED, f"series {each.name}", before, after)


def _counted(series: EventSeries | None) -> str:
    """What a series counts of a customer. Empty: nothing."""
    if series is None:
        return ""
    terms, places = series.terms, (series.table, series.customer, series.time, series.category)
    noise = f"{terms.at_most} a {terms.every} with noise {terms.sigma}"
    return f"{noise} of {'/'.join(filter(None, places))} {', '.join(terms.categories)}".strip()


def _fields(old: Scene, new: Scene) -> Iterator[ContractDifference]:
    for name, field in old.fields.items():
        if (after := new.fields.get(name)) is None:
            yield ContractDifference(DifferenceKind.BREAKING, f"field {name}", field.item.type, "")
        elif _meaning(after) != _meaning(field):
            yield ContractDifference(
                DifferenceKind.BREAKING, f"field {name}", field.item.type, after.item.type
            )
    for name, field in new.fields.items():
        if name not in old.fields:
            yield ContractDifference(DifferenceKind.ADDED, f"field {name}", "", field.item.type)


def _reworded(old: Scene, new: Scene) -> Iterator[ContractDifference]:
    pairs = {
        "title": (old.title, new.title),
        "summary": (old.summary, new.summary),
        "consequence": (old.consequence, new.consequence),
        "alternative": (old.alternative, new.alternative),
    }
    for name in old.fields.keys() & new.fields.keys():
        pairs[f"use of {name}"] = old.fields[name].use, new.fields[name].use
    for what, (before, after) in pairs.items():
        if before != after:
            yield ContractDifference(DifferenceKind.REWORDED, what, before["en"], after["en"])
    if old.population is not new.population:
        yield ContractDifference(
            DifferenceKind.REWORDED, "population", old.population.value, new.population.value
        )


def _meaning(field: SceneField) -> tuple[str, str | None]:
    """What a grant of the field covers: changes with its type and granularity."""
    return field.item.type, field.item.generalises


def _named(changes: list[ContractDifference], *kinds: DifferenceKind) -> str:
    return ", ".join(f"{each.what} {each.kind}" for each in changes if each.kind in kinds)


def _text(number: Version) -> str:
    return ".".join(map(str, number))


def _days(span: timedelta) -> str:
    return "for ever" if span == FOR_EVER else f"{span.days} days"
