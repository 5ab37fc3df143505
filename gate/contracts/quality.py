"""Quality rules of a source's columns, as ODCS v3.1 writes them.

    quality:
      - {metric: nullValues, mustBe: 0}
      - {metric: nullValues, mustBeLessThan: 1, unit: percent}
      - {metric: missingValues, arguments: {missingValues: [null, "", n/a]}, mustBeLessThan: 100}

Metrics are read whatever their case; `rule` is the deprecated name of `metric`. The unit is `rows`,
unless it is given as `percent` (of all rows). All rules of a column are checked, and all operators
of a rule must hold. A rule that is not understood, or that counts what this product does not count,
is refused. https://bitol-io.github.io/open-data-contract-standard/latest/data-quality/
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from gate.contracts import odcs

PER_CENT = 100  # in ten-thousandths


class Metric(StrEnum):
    NULL_VALUES = "nullValues"
    MISSING_VALUES = "missingValues"


class Unit(StrEnum):
    ROWS = "rows"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True)
class QualityRule:
    """One comparison of one metric. `missing`: the values that `missingValues` counts."""

    metric: Metric
    operator: str
    bounds: tuple[Fraction, ...]
    unit: Unit
    missing: tuple[str | None, ...] = ()

    def satisfied_by(self, count: int, rows: int) -> bool:
        """Whether `count` of `rows` (at least one) values keep the rule."""
        value = Fraction(count) if self.unit is Unit.ROWS else Fraction(100 * count, rows)
        return OPERATORS[self.operator](value, *self.bounds)

    def __str__(self) -> str:
        limits = " and ".join(f"{float(each):g}" for each in self.bounds)
        return f"{self.metric} {self.operator} {limits} {self.unit}"


def rules(declared: Mapping[str, Any]) -> tuple[QualityRule, ...]:
    """The rules of one column. Raises ContractError, with the line."""
    read: list[QualityRule] = []
    for each in odcs.sequence(declared.get("quality", []), "quality"):
        with odcs.at(odcs.line(each)):
            read += _rule(each)
    names = [each.get("name") for each in declared.get("quality", []) if "name" in each]
    odcs.want(len({*names}) == len(names), f"two quality rules of one name: {names}")
    return tuple(read)


def max_nulls(rules: Sequence[QualityRule]) -> int | None:
    """The strictest limit on null values that is a share, in ten-thousandths; None: no limit."""
    shares = [share for each in rules if (share := _share(each)) is not None]
    return min(shares, default=None)


def beyond_shares(rules: Sequence[QualityRule]) -> tuple[QualityRule, ...]:
    """The rules that `max_nulls` does not cover."""
    return tuple(each for each in rules if _share(each) is None)


def _share(rule: QualityRule) -> int | None:
    """The maximum share of nulls, if that is all the rule says and it is whole ten-thousandths."""
    (limit, *more), unit = rule.bounds, rule.unit
    zero = limit == 0 and rule.operator == "mustBe"
    at_most = rule.operator == "mustBeLessOrEqualTo" and (unit is Unit.PERCENT or limit == 0)
    share = limit * PER_CENT
    if rule.metric is not Metric.NULL_VALUES or more or not (zero or at_most):
        return None
    return int(share) if share.denominator == 1 else None


def _rule(declared: Any) -> list[QualityRule]:
    odcs.require_keys(declared, KEYS, "a quality rule")
    kind = str(declared.get("type", "library")).lower()
    odcs.want(kind == "library", f"quality of type {kind!r} cannot be measured, want a metric")
    metric = _metric(declared)
    unit = Unit(_known(declared.get("unit", Unit.ROWS), [*Unit], "unit"))
    names = [name for name in declared if name in OPERATORS]
    odcs.want(bool(names), f"{metric} is compared with nothing, want one of {[*OPERATORS]}")
    missing = _missing(metric, declared.get("arguments"))
    return [
        QualityRule(metric, name, _bounds(name, declared[name], unit), unit, missing)
        for name in names
    ]


def _metric(declared: Mapping[str, Any]) -> Metric:
    named = [declared[each] for each in ("metric", "rule") if each in declared]
    odcs.want(len(named) == 1, f"{len(named)} metrics in one quality rule, want one")
    return Metric(_known(named[0], [*Metric], "metric"))


def _known(word: Any, known: Sequence[str], what: str) -> str:
    """`word` as `known` spells it."""
    for each in known:
        if isinstance(word, str) and word.lower() == each.lower():
            return each
    raise odcs.ContractError(
        f"{what} {word!r} cannot be measured, want one of {[*map(str, known)]}"
    )


def _bounds(name: str, declared: Any, unit: Unit) -> tuple[Fraction, ...]:
    pair = name in RANGES
    numbers = odcs.sequence(declared, name) if pair else [declared]
    for each in numbers:
        number = isinstance(each, int | float) and not isinstance(each, bool)
        odcs.want(number and each >= 0, f"{name} is {declared!r}, want numbers from 0 on")
        within = unit is Unit.ROWS or each <= 100  # noqa: PLR2004 - per cent
        odcs.want(within, f"{name} is {declared!r} percent, want at most 100")
    bounds = tuple(Fraction(str(each)) for each in numbers)
    want = 2 if pair else 1
    odcs.want(len(bounds) == want and [*bounds] == sorted(bounds), f"{name}: {declared!r}")
    return bounds


def _missing(metric: Metric, arguments: Any) -> tuple[str | None, ...]:
    if metric is Metric.NULL_VALUES:
        odcs.want(not arguments, f"{metric} takes no arguments, found {arguments!r}")
        return ()
    given = arguments or {}
    odcs.require_keys(given, {"missingValues"}, "arguments")
    values = odcs.sequence(given.get("missingValues"), "missingValues of arguments")
    odcs.want(bool(values), "missingValues is empty, want the values that count as missing")
    for each in values:
        odcs.want(each is None or isinstance(each, str), f"{each!r} is no text: put it in quotes")
    odcs.want(len({*values}) == len(values), f"missingValues names a value twice: {values!r}")
    return tuple(values)


OPERATORS: Mapping[str, Callable[..., bool]] = {
    "mustBe": operator.eq,
    "mustNotBe": operator.ne,
    "mustBeGreaterThan": operator.gt,
    "mustBeGreaterOrEqualTo": operator.ge,
    "mustBeLessThan": operator.lt,
    "mustBeLessOrEqualTo": operator.le,
    "mustBeBetween": lambda value, low, high: low <= value <= high,
    "mustNotBeBetween": lambda value, low, high: not low <= value <= high,
}
RANGES = frozenset({"mustBeBetween", "mustNotBeBetween"})
KEYS = frozenset(
    {"arguments", "authoritativeDefinitions", "businessImpact", "customProperties", "description"}
    | {"dimension", "id", "method", "metric", "name", "rule", "severity", "tags", "type", "unit"}
    | OPERATORS.keys()
)
