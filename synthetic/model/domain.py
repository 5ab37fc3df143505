"""The public domain: the values a column may take, declared in a contract, never read from data.

    {"kind": "categories", "values": ["no", "yes", "unknown"], "other": "unknown"}
    {"kind": "numbers", "lower": 18, "upper": 95, "edges": [25, 35, 50, 65], "integer": true}
    {"kind": "dates", "lower": "2024-01-01", "upper": "2026-12-31", "edges": ["2025-01-01"]}

A value outside its domain is counted as `other` (categories) or in the nearest bin (numbers and
dates). With `"nullable": true` a missing value has a code of its own, the last; without it, it
counts as `other`, or in the bin of `"other": <value>` (default: the lowest bin).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from itertools import pairwise
from math import isfinite
from typing import Any


class DomainError(ValueError):
    """A public domain is not well formed, or a column is not in it."""


@dataclass(frozen=True, slots=True)
class Categories:
    """Codes 0..size-1 are positions in `values`; anything undeclared is coded as `other`."""

    values: tuple[str, ...]
    other: str
    ordered: bool = False
    nullable: bool = False

    @property
    def size(self) -> int:
        return len(self.values) + self.nullable

    @property
    def other_code(self) -> int:
        return self.values.index(self.other)

    @property
    def null_code(self) -> int:
        return len(self.values) if self.nullable else self.other_code


@dataclass(frozen=True, slots=True)
class Numbers:
    """Bins [lower, edges[0]), [edges[0], edges[1]), …, [edges[-1], upper]."""

    lower: float
    upper: float
    edges: tuple[float, ...]
    integer: bool = True
    nullable: bool = False
    other: float | None = None

    @property
    def size(self) -> int:
        return len(self.edges) + 1 + self.nullable

    @property
    def null_code(self) -> int:
        return _null_bin(self.edges, self.other, nullable=self.nullable)


@dataclass(frozen=True, slots=True)
class Dates:
    """Bins of whole days, as for numbers."""

    lower: date
    upper: date
    edges: tuple[date, ...]
    nullable: bool = False
    other: date | None = None

    @property
    def size(self) -> int:
        return len(self.edges) + 1 + self.nullable

    @property
    def null_code(self) -> int:
        return _null_bin(self.edges, self.other, nullable=self.nullable)


Column = Categories | Numbers | Dates


@dataclass(frozen=True, slots=True)
class Domain:
    columns: Mapping[str, Column] = field(default_factory=dict)

    def shape(self, names: Sequence[str]) -> tuple[int, ...]:
        """The number of codes of each column: the shape of the marginal over `names`."""
        return tuple(self[name].size for name in names)

    def __getitem__(self, name: str) -> Column:
        try:
            return self.columns[name]
        except KeyError:
            raise DomainError(
                f"the domain has no column {name!r}, it has {sorted(self.columns)}"
            ) from None

    def restricted(self, names: Sequence[str]) -> "Domain":
        return Domain({name: self[name] for name in names})

    def without(self, names: Sequence[str]) -> "Domain":
        return Domain({name: c for name, c in self.columns.items() if name not in names})

    def declaration(self) -> list[dict[str, Any]]:
        """The domain as JSON for public records, in order, without floats."""
        return [{"name": name, **spec(column)} for name, column in self.columns.items()]

    @property
    def digest(self) -> str:
        """SHA-256 of the declaration's canonical JSON, hex."""
        text = json.dumps(self.declaration(), sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()


def parse(declaration: Sequence[Mapping[str, Any]]) -> Domain:
    """The inverse of `Domain.declaration`. Raises DomainError."""
    try:
        names = [str(each["name"]) for each in declaration]
    except (KeyError, TypeError) as error:
        raise DomainError(f"want a list of named columns, found {declaration!r}") from error
    if len(set(names)) != len(names):
        raise DomainError(f"a column is declared twice: {names}")
    return Domain(dict(zip(names, map(column, declaration), strict=True)))


def column(spec: Mapping[str, Any]) -> Column:
    """Parse one column's declaration. Raises DomainError."""
    try:
        return _column(spec)
    except DomainError:
        raise
    except KeyError as error:
        raise DomainError(f"domain without {error}: {dict(spec)!r}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DomainError(f"not a column declaration: {spec!r} ({error})") from error


def _column(spec: Mapping[str, Any]) -> Column:
    _require_keys(spec)
    match spec["kind"]:
        case "categories":
            return _categories(spec)
        case "numbers":
            return _numbers(spec)
        case "dates":
            return _dates(spec)
        case kind:
            raise DomainError(f"kind is {kind!r}, want categories, numbers or dates")


def spec(column: Column) -> dict[str, Any]:
    """One column's declaration, the inverse of `column`."""
    common: dict[str, Any] = {"nullable": True} if column.nullable else {}
    match column:
        case Categories():
            names = {"values": list(column.values), "other": column.other}
            return {"kind": "categories", **names, "ordered": column.ordered, **common}
        case Numbers():
            return {"kind": "numbers", **_cuts(column), "integer": column.integer, **common}
        case Dates():
            return {"kind": "dates", **_cuts(column), **common}


def _cuts(column: Numbers | Dates) -> dict[str, Any]:
    other = {} if column.other is None else {"other": _text(column.other)}
    ends = {"lower": _text(column.lower), "upper": _text(column.upper)}
    return {**ends, "edges": [_text(edge) for edge in column.edges], **other}


def _text(cut: float | date) -> int | str:
    """Whole numbers stay numbers; fractions and dates become text, to avoid floats in records."""
    if isinstance(cut, date):
        return cut.isoformat()
    return int(cut) if float(cut).is_integer() else repr(float(cut))


def _require_keys(spec: Mapping[str, Any]) -> None:
    known = _KEYS.get(spec["kind"]) if isinstance(spec["kind"], str) else None
    if known is not None and (unknown := sorted({*spec} - known)):
        raise DomainError(f"unknown keys {unknown} in a domain, want {sorted(known - {'name'})}")


def _categories(spec: Mapping[str, Any]) -> Categories:
    values, other = tuple(_sequence(spec["values"])), spec["other"]
    for each in (*values, other):
        if not isinstance(each, str):
            raise DomainError(f"{each!r} is no text: put it in quotes, as the source spells it")
    if repeated := sorted({each for each in values if values.count(each) > 1}):
        raise DomainError(f"values are repeated in a domain: {repeated}; remove one of each")
    if other not in values:
        raise DomainError(f"other is {other!r}, want one of the values {[*values]}")
    return Categories(values, other, _flag(spec, "ordered"), _flag(spec, "nullable"))


def _numbers(spec: Mapping[str, Any]) -> Numbers:
    cuts = tuple(map(_number, (spec["lower"], *_sequence(spec["edges"]), spec["upper"])))
    _require_rising(cuts)
    other = None if spec.get("other") is None else _number(spec["other"])
    integer = _flag(spec, "integer", otherwise=True)
    return Numbers(cuts[0], cuts[-1], cuts[1:-1], integer, _flag(spec, "nullable"), other)


def _dates(spec: Mapping[str, Any]) -> Dates:
    cuts = tuple(map(_date, (spec["lower"], *_sequence(spec["edges"]), spec["upper"])))
    _require_rising(cuts)
    other = None if spec.get("other") is None else _date(spec["other"])
    return Dates(cuts[0], cuts[-1], cuts[1:-1], _flag(spec, "nullable"), other)


def _sequence(values: Any) -> Sequence[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise DomainError(f"want a list, found {values!r}")
    return values


def _flag(spec: Mapping[str, Any], name: str, *, otherwise: bool = False) -> bool:
    value = spec.get(name, otherwise)
    if not isinstance(value, bool):
        raise DomainError(f"{name} is {value!r}, want true or false")
    return value


def _number(value: Any) -> float:
    """A number, or its decimal text (`Domain.declaration` writes fractions so)."""
    if isinstance(value, bool) or not _DECIMAL.fullmatch(str(value)):
        raise DomainError(f"want a finite number, found {value!r}")
    number = float(value)
    if not isfinite(number):
        raise DomainError(f"want a finite number, found {value!r}")
    return number


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise DomainError(f"want a day such as 2026-01-31, found {value!r}")
    return date.fromisoformat(value)


_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_COMMON = frozenset({"name", "kind", "other", "nullable"})
_CUTS = _COMMON | {"lower", "upper", "edges"}
_KEYS = {
    "categories": _COMMON | {"values", "ordered"},
    "numbers": _CUTS | {"integer"},
    "dates": _CUTS,
}


def _require_rising(cuts: Sequence[Any]) -> None:
    if any(high <= low for low, high in pairwise(cuts)):
        raise DomainError(f"want lower, edges and upper to rise strictly, found {cuts}")


def _null_bin(edges: Sequence[Any], other: Any, *, nullable: bool) -> int:
    if nullable:
        return len(edges) + 1
    return 0 if other is None else sum(edge <= other for edge in edges)
