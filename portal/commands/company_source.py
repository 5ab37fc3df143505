"""Compares a company's source contract with the tables that company.toml names.

No row leaves the source: columns and types are compared, and missing values, rows of a customer and
values outside a domain are counted inside the engine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gate.contracts.company import Company
    from gate.contracts.scene import Scene
    from gate.contracts.source import SourceContract


@dataclass(frozen=True, slots=True)
class SourceFindings:
    """`faults`: what the contract promises and the tables do not hold. `notes`: worth knowing."""

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def columns(company: "Company") -> Iterator[str]:
    """Columns that a table lacks or has with another type. None if company.toml names no source."""
    from gate.reads.sources.interface import SourceUnavailableError

    if company.rows:
        try:
            for each in _columns(company.rows, company.source):
                yield f"{company.source_file}: {each}"
        except SourceUnavailableError as error:
            yield f"{company.source_file}: {error}"
            return
        for scene in company.scenes.values():
            for fault in _series(company.rows, scene):
                yield f"{company.scene_file(scene.id)}: {fault}"


def contents(company: "Company") -> SourceFindings:
    """What is counted in a source whose columns are right."""
    from gate.reads.sources.interface import SourceUnavailableError

    if not company.rows:
        return SourceFindings()
    try:
        found = _contents(company)
    except SourceUnavailableError as error:
        found = SourceFindings((str(error),))
    return SourceFindings(
        tuple(f"{company.source_file}: {each}" for each in found.faults), found.notes
    )


def _columns(place: str, source: "SourceContract") -> Iterator[str]:
    """Raises SourceUnavailableError."""
    moved = {item for table in source.related for item in table.items}
    own = [each.name for each in source.items.values() if not each.provided]
    yield from _of_table(
        place, source, source.table, [source.key], [n for n in own if n not in moved]
    )
    for table in source.related:
        yield from _of_table(place, source, table.name, [table.key], table.items)


def _of_table(
    place: str, source: "SourceContract", table: str, keys: Any, items: Any
) -> Iterator[str]:
    from gate.contracts import odcs
    from gate.reads.sources import description

    columns = {each.name: each.kind for each in description.describe(place, table)}
    for name in (*keys, *items):
        try:
            odcs.require_known([name], columns, "column")
        except odcs.ContractError as error:
            yield str(error) if table == source.table else f"table {table}: {error}"
    for name in items:
        declared = source.items[name].type
        if name in columns and declared != columns[name]:
            yield f"{name} is {declared} here and {columns[name]} in the table {table}"


def _series(place: str, scene: "Scene") -> Iterator[str]:
    """What the tables of events lack that the scene's series count."""
    from gate.contracts import odcs
    from gate.reads.sources import description
    from gate.reads.sources.interface import SourceUnavailableError

    for each in scene.series:
        where = f"series {each.name}: table {each.table}"
        try:
            columns = {one.name: one.kind for one in description.describe(place, each.table)}
            wanted = [name for name in (each.customer, each.time, each.category) if name]
            odcs.require_known(wanted, columns, "column")
        except SourceUnavailableError:
            yield f"{where}: the source has no such table; correct table, or add it to the source"
        except odcs.ContractError as error:
            yield f"{where}: {error}"
        else:
            if columns[each.time] not in {"date", "timestamp"}:
                yield f"{where}: {each.time} is {columns[each.time]}, want a date or timestamp"


def _contents(company: "Company") -> SourceFindings:
    """What can only be counted. Raises SourceUnavailableError."""
    from ledger import clock
    from portal.operations.settings import Settings
    from portal.operations.wiring import open_source
    from steward.contracts import health, source_probe

    tables = open_source(Settings.model_construct(source=company.rows), company.source)
    facts = source_probe.observe(tables, company.source)
    if not facts.rows:
        return SourceFindings((f"the table {company.source.table} has no rows",))
    missed = {
        f"{each.field}: {each.aspect}: wanted {each.wanted}, found {each.observed or 'nothing'}"
        for each in health.checks(_every_item(company), company.source, facts, clock.now())
        if not each.met and each.aspect not in health.TIMELY
    }
    return SourceFindings(tuple(sorted(missed)), tuple(_outside(tables, company.source)))


def _every_item(company: "Company") -> "Mapping[str, Scene]":
    """The scenes, one of them with the items of no scene too: the source promises for all items."""
    from gate.contracts.scene import SceneField

    read = {name for scene in company.scenes.values() for name in scene.fields}
    unread = {name: each for name, each in company.source.items.items() if name not in read}
    last = [*company.scenes.values()][-1]
    more = {
        name: SceneField(each, each.title, last.fallback, None) for name, each in unread.items()
    }
    return {**company.scenes, last.id: replace(last, fields={**last.fields, **more})}


def _outside(tables: Any, source: "SourceContract") -> Iterator[str]:
    """How many values are outside the public domain of their item: they are counted as `other`."""
    from synthetic.model import counts
    from synthetic.model.domain import Domain, DomainError

    columns = {name: each.domain for name, each in source.items.items() if each.domain}
    if not columns:
        return
    try:
        outside: Mapping[str, int] = counts.unknown(tables.open(source.table), Domain(columns))
    except DomainError as error:
        yield str(error)
        return
    for name, number in outside.items():
        if number:
            yield f"{name}: {number} values are outside its domain: counted as the nearest or other"
