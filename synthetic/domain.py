"""The public domain: which values a column may take. Declared in a contract, never read from data.

    {"kind": "categories", "values": ["no", "yes", "unknown"], "other": "unknown"}
    {"kind": "numbers", "lower": 18, "upper": 95, "edges": [25, 35, 50, 65], "integer": true}

A value outside its domain is counted as `other` (categories) or in the nearest bin (numbers).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

    @property
    def size(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Bins [lower, edges[0]), [edges[0], edges[1]), …, [edges[-1], upper]."""

    lower: float
    upper: float
    edges: tuple[float, ...]
    integer: bool = True

    @property
    def size(self) -> int:
        return len(self.edges) + 1


Column = Categories | Numbers


@dataclass(frozen=True, slots=True)
class Domain:
    columns: Mapping[str, Column] = field(default_factory=dict)

    def shape(self, names: Sequence[str]) -> tuple[int, ...]:
        """How many cells the marginal over `names` has along each axis."""
        return tuple(self[name].size for name in names)

    def __getitem__(self, name: str) -> Column:
        try:
            return self.columns[name]
        except KeyError:
            raise DomainError(f"no column {name!r} in the domain: {sorted(self.columns)}") from None


def column(spec: Mapping[str, Any]) -> Column:
    """Parse one column's declaration. Raises DomainError."""
    try:
        return _categories(spec) if spec["kind"] == "categories" else _numbers(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise DomainError(f"not a column declaration: {spec!r} ({error})") from error


def _categories(spec: Mapping[str, Any]) -> Categories:
    values = tuple(str(value) for value in spec["values"])
    other = str(spec["other"])
    if len(set(values)) != len(values) or other not in values:
        raise DomainError(f"values must be distinct and include other={other!r}: {values}")
    return Categories(values, other, bool(spec.get("ordered", False)))


def _numbers(spec: Mapping[str, Any]) -> Numbers:
    if spec["kind"] != "numbers":
        raise DomainError(f"kind is {spec['kind']!r}, want categories or numbers")
    cuts = (float(spec["lower"]), *map(float, spec["edges"]), float(spec["upper"]))
    if any(high <= low for low, high in pairwise(cuts)):
        raise DomainError(f"lower, edges and upper must rise strictly: {cuts}")
    return Numbers(cuts[0], cuts[-1], cuts[1:-1], bool(spec.get("integer", True)))
