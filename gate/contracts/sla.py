"""Service levels as ODCS v3.1 writes them: latency, frequency, retention; and lineage.

    slaProperties:
      - {property: latency, value: 24, unit: h, element: "customer.balance,customer.loan"}
      - {property: frequency, value: 1, unit: d, element: customer.balance}
      - {property: retention, value: 2, unit: y}

latency    maximum time from the moment that a value describes to its arrival (synonym ly)
frequency  maximum time between deliveries (fy)
retention  how long services may keep what they read (re)

An element is a field, with or without its table's name; a table's name means each of its fields.
Properties and units are read whatever their case. Without an element a level is of every field of
the first table. A level that this product cannot measure, or that belongs in the other contract,
is refused.
https://bitol-io.github.io/open-data-contract-standard/latest/service-level-agreement/
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from gate.contracts import odcs
from gate.contracts.odcs import ContractError


class Level(StrEnum):
    LATENCY = "latency"
    FREQUENCY = "frequency"
    RETENTION = "retention"


SYNONYMS = {"ly": Level.LATENCY, "fy": Level.FREQUENCY, "re": Level.RETENTION}
LEVELS: dict[str, Level] = {each.value: each for each in Level} | SYNONYMS
_SPELLINGS = {
    timedelta(minutes=1): ("m", "min", "minute", "minutes"),
    timedelta(hours=1): ("h", "hr", "hrs", "hour", "hours"),
    timedelta(days=1): ("d", "day", "days"),
    timedelta(days=7): ("w", "wk", "week", "weeks"),
    timedelta(days=365): ("y", "yr", "yrs", "year", "years"),
}
UNITS = {word: unit for unit, words in _SPELLINGS.items() for word in words}
MONTHS = "M"  # in ISO 8601; `m` is minutes, so this one letter keeps its case
KEYS = frozenset(
    {
        "authoritativeDefinitions",
        "customProperties",
        "description",
        "driver",
        "element",
        "id",
        "property",
        "schedule",
        "scheduler",
        "unit",
        "value",
        "valueExt",
    }
)


def by_field(
    data: Mapping[str, Any], kind: Level, fields: Collection[str], known: Collection[Level]
) -> dict[str, timedelta]:
    """The durations promised for the service level `kind`, by field.

    `known`: the levels that this sort of contract may have. Raises ContractError.
    """
    durations: dict[str, timedelta] = {}
    for each in _declared(data, known):
        if _level(each) is kind:
            with odcs.at(odcs.line(each)):
                elements = _elements(_element(data, each), fields, _tables(data))
                if twice := durations.keys() & {*elements}:
                    raise ContractError(f"{kind} of {sorted(twice)} is promised twice: remove one")
                durations |= dict.fromkeys(elements, _time(each))
    return durations


def retention(data: Mapping[str, Any], known: Collection[Level]) -> timedelta | None:
    """How long services may keep data; None if the contract sets no limit.

    Raises ContractError.
    """
    declared = [each for each in _declared(data, known) if _level(each) is Level.RETENTION]
    if len(declared) > 1:
        raise ContractError(
            f"line {odcs.line(declared[1])}: {len(declared)} retentions, want one for the scene"
        )
    for each in declared:
        with odcs.at(odcs.line(each)):
            element, tables = _element(data, each), _tables(data)
            odcs.want(
                element in tables,
                f"retention of {element!r}, want one for all: {next(iter(tables))}",
            )
            return _time(each)
    return None


def lineage(declared: Mapping[str, Any], tables: Collection[str]) -> tuple[str, ...]:
    """The items of the same source that an item is derived from: `customer.location`."""
    paths = odcs.strings(declared.get("transformSourceObjects", []), "transformSourceObjects")
    return tuple(_bare(each, tables) for each in paths)


def _tables(data: Mapping[str, Any]) -> dict[str, set[str]]:
    """The fields of each table, in the order of the tables."""
    return {
        odcs.string(each["name"], "name"): {
            str(one["name"]).replace("-", "_") for one in each["properties"]
        }
        for each in odcs.tables(data)
    }


def _bare(path: str, tables: Collection[str]) -> str:
    """A field's name without its table's."""
    table, dot, name = path.rpartition(".")
    return name if dot and table in tables else path


def _declared(data: Mapping[str, Any], known: Collection[Level]) -> Iterator[Mapping[str, Any]]:
    for each in odcs.sequence(data.get("slaProperties", []), "slaProperties"):
        with odcs.at(odcs.line(each)):
            odcs.require_keys(each, KEYS, "a service level")
            level = _level(each)
            odcs.want(level in known, f"{level} is not read in this contract, want {[*known]}")
        yield each


def _level(declared: Mapping[str, Any]) -> Level:
    name = declared["property"]
    level = LEVELS.get(name.lower()) if isinstance(name, str) else None
    if level is None:
        raise ContractError(f"service level {name!r} cannot be measured, want one of {[*LEVELS]}")
    return level


def _element(data: Mapping[str, Any], declared: Mapping[str, Any]) -> str:
    return odcs.string(
        declared.get("element", data.get("slaDefaultElement", next(iter(_tables(data))))), "element"
    )


def _elements(
    text: str, fields: Collection[str], tables: Mapping[str, Collection[str]]
) -> list[str]:
    if text in tables:
        return [each for each in fields if each in tables[text]]
    names = [_bare(each.strip(), tables) for each in text.split(",")]
    if unknown := set(names) - set(fields):
        raise ContractError(f"a service level for {sorted(unknown)}, want some of {sorted(fields)}")
    odcs.want(len({*names}) == len(names), f"a field is named twice in {text!r}")
    return names


def _time(declared: Mapping[str, Any]) -> timedelta:
    value, unit = declared["value"], declared.get("unit")
    known = UNITS.get(unit.lower()) if isinstance(unit, str) and unit != MONTHS else None
    if type(value) is not int or value <= 0 or known is None:
        raise ContractError(f"{value!r} {unit!r}, want a whole number above 0 of {[*UNITS]}")
    if (more := declared.get("valueExt", value)) != value:
        raise ContractError(f"valueExt {more!r} is not read, want it left out")
    return known * value
