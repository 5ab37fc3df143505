"""The public domain: the values a column may take, declared in a contract, never read from data.

    {"kind": "categories", "values": ["no", "yes", "unknown"], "other": "unknown"}
    {"kind": "numbers", "lower": 18, "upper": 95, "edges": [25, 35, 50, 65], "integer": true}
    {"kind": "dates", "lower": "2024-01-01", "upper": "2026-12-31", "edges": ["2025-01-01"]}

A value outside its domain is counted as `other` (categories) or in the nearest bin (numbers and
dates). With `"nullable": true` a missing value has a code of its own, the last; without it, it
counts as `other`, or in the bin of `"other": <value>` (default: the lowest bin).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from itertools import pairwise
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
        match spec["kind"]:
            case "categories":
                return _categories(spec)
            case "numbers":
                return _numbers(spec)
            case "dates":
                return _dates(spec)
            case kind:
                raise DomainError(f"kind is {kind!r}, want categories, numbers or dates")
    except (KeyError, TypeError, ValueError) as error:
        raise DomainError(f"not a column declaration: {spec!r} ({error})") from error


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


def _categories(spec: Mapping[str, Any]) -> Categories:
    values = tuple(str(value) for value in spec["values"])
    other = str(spec["other"])
    if len(set(values)) != len(values) or other not in values:
        raise DomainError(f"values must be distinct and include other={other!r}: {values}")
    ordered, nullable = bool(spec.get("ordered", False)), bool(spec.get("nullable", False))
    return Categories(values, other, ordered, nullable)


def _numbers(spec: Mapping[str, Any]) -> Numbers:
    cuts = (float(spec["lower"]), *map(float, spec["edges"]), float(spec["upper"]))
    _require_rising(cuts)
    other = None if spec.get("other") is None else float(spec["other"])
    integer, nullable = bool(spec.get("integer", True)), bool(spec.get("nullable", False))
    return Numbers(cuts[0], cuts[-1], cuts[1:-1], integer, nullable, other)


def _dates(spec: Mapping[str, Any]) -> Dates:
    cuts = tuple(map(_date, (spec["lower"], *spec["edges"], spec["upper"])))
    _require_rising(cuts)
    other = None if spec.get("other") is None else _date(spec["other"])
    return Dates(cuts[0], cuts[-1], cuts[1:-1], bool(spec.get("nullable", False)), other)


def _date(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def _require_rising(cuts: Sequence[Any]) -> None:
    if any(high <= low for low, high in pairwise(cuts)):
        raise DomainError(f"lower, edges and upper must rise strictly: {cuts}")


def _null_bin(edges: Sequence[Any], other: Any, *, nullable: bool) -> int:
    if nullable:
        return len(edges) + 1
    return 0 if other is None else sum(edge <= other for edge in edges)
