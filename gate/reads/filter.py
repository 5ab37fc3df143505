"""Row filters: a closed grammar of typed conditions, combined with AND.

    [{"field": "age", "comparison": "ge", "value": 30},
     {"field": "job", "comparison": "in", "value": ["retired", "student"]}]

There is no expression to parse. A condition names a field of the scene, one of seven comparisons,
and values of the field's type inside its public domain. Texts are compared for equality only.
Membership in the answer reveals the values of the filter's fields, so these fields are authorised
and logged as if they had been requested.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import reduce
from typing import Annotated, Any, Literal

import msgspec

from gate.contracts.scene import Scene
from gate.contracts.source import Item
from synthetic.model import counts
from synthetic.model.domain import Categories, Column, Dates, Numbers

MAX_CONDITIONS = 16
MAX_VALUES = 256
Comparison = Literal["eq", "ne", "lt", "le", "gt", "ge", "in"]
EQUAL: frozenset[Comparison] = frozenset({"eq", "ne", "in"})
EVERY: frozenset[Comparison] = EQUAL | {"lt", "le", "gt", "ge"}
Text = Annotated[str, msgspec.Meta(max_length=256)]
Whole = Annotated[int, msgspec.Meta(ge=-(1 << 53), le=1 << 53)]
Value = Whole | float | bool | Text
Values = Annotated[list[Value], msgspec.Meta(min_length=1, max_length=MAX_VALUES)]


class FilterError(ValueError):
    """A condition does not fit the scene's contract. The message says what to send instead."""


class FilterCondition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`field` compared with `value`: one value, or for the comparison `in` a list of values."""

    field: Annotated[str, msgspec.Meta(max_length=64)]
    comparison: Comparison
    value: Value | Values


Conditions = Annotated[list[FilterCondition], msgspec.Meta(max_length=MAX_CONDITIONS)]
Test = tuple[str, Comparison, Any]  # field, comparison, value in the source's type
_LOGICAL: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def fields(conditions: Sequence[FilterCondition]) -> tuple[str, ...]:
    """The fields that the conditions use, without duplicates."""
    return tuple(dict.fromkeys(each.field for each in conditions))


def check(conditions: Sequence[FilterCondition], scene: Scene) -> tuple[Test, ...]:
    """Validate conditions against the contract. Every field must be in the scene.

    Raises FilterError.
    """
    return tuple(_checked(each, scene.fields[each.field].item) for each in conditions)


def keep(rows: Any, tests: Sequence[Test], column: Callable[[str], Any]) -> Any:
    """Filter `rows` (an Ibis or Arrow table) to those that pass all tests.

    A null or a NaN passes no test. `column` returns a named column in that library's expressions.
    """
    if not tests:
        return rows
    passed = [_expression(column(n), c, v) for n, c, v in tests]
    if not hasattr(rows, "to_pyarrow"):  # an Arrow table: of synthetic rows, which have no NaN
        return rows.filter(reduce(operator.and_, passed))
    present = [~counts.missing(column(name)) for name, _, _ in tests]
    return rows.filter(reduce(operator.and_, [*present, *passed]))


def _expression(column: Any, comparison: Comparison, value: Any) -> Any:
    if comparison == "in":
        return column.isin(value)
    return getattr(operator, comparison)(column, value)


def _checked(condition: FilterCondition, item: Item) -> Test:
    if item.free_text:
        raise FilterError(f"{item.name} is free text and cannot be filtered; leave it out")
    many = isinstance(condition.value, list)
    if many != (condition.comparison == "in"):
        wanted = "a list of values" if not many else "one value"
        raise FilterError(f"{item.name}: {condition.comparison!r} compares with {wanted}")
    if condition.comparison not in _comparisons(item):
        raise FilterError(f"{item.name} has no order; use {sorted(EQUAL)}")
    if isinstance(condition.value, list):
        return item.name, condition.comparison, [_value(item, each) for each in condition.value]
    return item.name, condition.comparison, _value(item, condition.value)


def _comparisons(item: Item) -> frozenset[Comparison]:
    ordered = isinstance(item.domain, Numbers | Dates) or item.type in {"integer", "number"}
    return EVERY if ordered else EQUAL


def _value(item: Item, value: Value) -> Any:
    if item.domain is not None:
        return _of_domain(item.name, item.domain, value)
    kinds = _LOGICAL.get(item.type, (str,))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise FilterError(f"{item.name} is compared with {value!r}, want a value of {item.type!r}")
    return value


def _of_domain(name: str, domain: Column, value: Value) -> Any:
    match domain:
        case Categories():
            if value not in domain.values:
                raise FilterError(f"{name} is never {value!r}; want one of {[*domain.values]}")
            return value
        case Numbers():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not domain.lower <= float(value) <= domain.upper:
                limits = f"a number from {domain.lower} to {domain.upper}"
                raise FilterError(f"{name} is compared with {value!r}, want {limits}")
            return value
        case Dates():
            return _day(name, domain, value)


def _day(name: str, domain: Dates, value: Value) -> date:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None or not domain.lower <= day <= domain.upper:
        limits = f"a day (YYYY-MM-DD) from {domain.lower} to {domain.upper}"
        raise FilterError(f"{name} is compared with {value!r}, want {limits}")
    return day
