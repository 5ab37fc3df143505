"""What the next version of a scene's contract changes, and what it must therefore declare.

BREAKING   a field is gone or has another type: whoever relies on the contract must change
WIDENED    the contract allows more than the customers agreed to: another purpose or legal basis,
           another service, a partner, a longer consent or retention
ADDED      a field more, which no earlier grant covers
REWORDED   the words that customers read

A version that breaks or widens is a new major one; one that widens counts consent only from itself
on (`consentSince`), so that the gate reads nothing under it until customers grant again. A field
that is added or gets another type counts from the new version on (`since`). The clauses are in
specs/health.md, "Versions".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from gate.contracts import versions
from gate.contracts.scene import Scene, SceneField
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
    """A contract changed in a way that its version or its consent does not declare.

    The contract may not take effect. `missing`: what it would have to say.
    """

    def __init__(self, old: Scene, new: Scene, missing: tuple[str, ...]) -> None:
        super().__init__(
            f"contract {new.id}: version {new.version} after {old.version} is not in order: "
            + "; ".join(missing)
        )
        self.scene, self.missing = new.id, missing


def differences(old: Scene, new: Scene) -> list[ContractDifference]:
    """Everything that matters to customers or services between two versions of one contract."""
    return [*_widened(old, new), *_fields(old, new), *_reworded(old, new)]


def require_declared(old: Scene, new: Scene) -> list[ContractDifference]:
    """The differences, if `new` may follow `old`. Raises UndeclaredChangeError."""
    found = differences(old, new)
    if missing := tuple(_missing(old, new, found)):
        raise UndeclaredChangeError(old, new, missing)
    return found


def _missing(old: Scene, new: Scene, found: list[ContractDifference]) -> Iterator[str]:
    before, after = versions.parse(old.version), versions.parse(new.version)
    kinds = {each.kind for each in found}
    if after < before:
        yield f"versions only grow, want at least {old.version}"
    if kinds & {DifferenceKind.BREAKING, DifferenceKind.WIDENED} and after[0] <= before[0]:
        named = _named(found, DifferenceKind.BREAKING, DifferenceKind.WIDENED)
        yield f"{named}: want version {before[0] + 1}.0.0"
    if DifferenceKind.ADDED in kinds and after[:2] <= before[:2]:
        yield f"{_named(found, DifferenceKind.ADDED)}: want version {before[0]}.{before[1] + 1}.0"
    if found and after == before:
        yield f"{_named(found, *DifferenceKind)}: want a new version"
    if DifferenceKind.WIDENED in kinds and new.consent_since != after:
        yield f"{_named(found, DifferenceKind.WIDENED)}: want consentSince {new.version}"
    if new.consent_since < old.consent_since:
        yield f"consentSince only grows, want at least {_text(old.consent_since)}"
    yield from _undated(old, new, after)


def _undated(old: Scene, new: Scene, after: Version) -> Iterator[str]:
    """Fields that an earlier grant would cover although it cannot have meant them."""
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
        if later > earlier:
            yield ContractDifference(DifferenceKind.WIDENED, what, _days(earlier), _days(later))


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


def _meaning(field: SceneField) -> tuple[str, str | None]:
    """What a grant of the field means: finer or of another type is another thing."""
    return field.item.type, field.item.generalises


def _named(found: list[ContractDifference], *kinds: DifferenceKind) -> str:
    return ", ".join(f"{each.what} {each.kind}" for each in found if each.kind in kinds)


def _text(number: Version) -> str:
    return ".".join(map(str, number))


def _days(span: timedelta) -> str:
    return "for ever" if span == FOR_EVER else f"{span.days} days"
