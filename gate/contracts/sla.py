"""Service levels as ODCS v3.1 writes them: latency, frequency, retention, null values, lineage.

    slaProperties:
      - {property: latency, value: 24, unit: h, element: "customer.balance,customer.loan"}
      - {property: frequency, value: 1, unit: d, element: customer.balance}
      - {property: retention, value: 2, unit: y, element: customer}
    quality:
      - {metric: nullValues, mustBeLessOrEqualTo: 5, unit: percent}

latency    maximum time from the moment that a value describes to its arrival
frequency  maximum time between deliveries
retention  how long services may keep what they read
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "y": timedelta(days=365),
}
WHOLE = "customer"  # the element that means every field
PER_CENT = 100  # in ten-thousandths


def by_field(
    declared: Sequence[Mapping[str, Any]], kind: str, fields: Collection[str]
) -> dict[str, timedelta]:
    """The durations promised for the service level `kind`, by field. Raises ValueError."""
    durations: dict[str, timedelta] = {}
    for each in declared:
        if each["property"] == kind:
            durations |= dict.fromkeys(_elements(each["element"], fields), _time(each))
    return durations


def retention(declared: Sequence[Mapping[str, Any]]) -> timedelta | None:
    """How long services may keep data; None if the contract sets no limit."""
    durations = [_time(each) for each in declared if each["property"] == "retention"]
    if len(durations) > 1:
        raise ValueError(f"{len(durations)} retentions, want one for the whole scene")
    return durations[0] if durations else None


def max_nulls(declared: Mapping[str, Any]) -> int | None:
    """The maximum share of null values, in ten-thousandths; None: no limit."""
    rules = [each for each in declared.get("quality", []) if each.get("metric") == "nullValues"]
    if declared.get("required", False):
        return 0
    if not rules:
        return None
    limit, unit = rules[0]["mustBeLessOrEqualTo"], rules[0]["unit"]
    if unit != "percent" or type(limit) is not int or not 0 <= limit <= PER_CENT:
        raise ValueError(f"null values at most {limit!r} {unit}, want whole percent from 0 to 100")
    return limit * PER_CENT


def lineage(declared: Mapping[str, Any]) -> tuple[str, ...]:
    """The items of the same source that an item is derived from: `customer.location`."""
    paths = declared.get("transformSourceObjects", [])
    return tuple(str(each).removeprefix(f"{WHOLE}.") for each in paths)


def _elements(text: str, fields: Collection[str]) -> list[str]:
    if text == WHOLE:
        return [*fields]
    names = [each.strip().removeprefix(f"{WHOLE}.") for each in text.split(",")]
    if unknown := set(names) - set(fields):
        raise ValueError(f"a service level for {sorted(unknown)}, have {sorted(fields)}")
    return names


def _time(declared: Mapping[str, Any]) -> timedelta:
    value, unit = declared["value"], declared.get("unit")
    if type(value) is not int or value <= 0 or unit not in UNITS:
        raise ValueError(f"{value!r} {unit!r}, want a whole number above 0 of {[*UNITS]}")
    return UNITS[unit] * value
