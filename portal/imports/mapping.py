"""What the names in a file mean here, declared in TOML.

ignore = ["shop", "note"]   # columns of a CSV, members of a receipt: read by nobody
[columns]                   # ours = "theirs"; of a receipt, `status` alone
subject = "customer_no"
at = "signed_on"
[scenes]                    # theirs = "ours"
MKT = "direct-marketing"
[items]                     # "*" is every item of the scene
"E-Mail" = "email"
"" = "*"
[status]                    # granted or withdrawn
Y = "granted"
"" = "withdrawn"
[until]                     # a time in ISO 8601, or none: no end before the contract's longest
"until revoked" = "none"
[time]
format = "%d.%m.%Y"         # for strptime, in UTC without %z; default: ISO 8601
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.contracts.scene import Scene
from portal.imports import moment
from portal.imports.moment import MomentError

STATUSES = {"granted": True, "withdrawn": False}
COLUMNS = ("subject", "scene", "at", "fields", "status", "until", "words")
EVERY_ITEM = "*"
NO_END = "none"
_TABLES = ("columns", "scenes", "items", "status", "until", "time")


class MappingError(ValueError):
    """The mapping, or the file as a whole, cannot be used. The message says why."""


@dataclass(frozen=True, slots=True)
class Names:
    """A mapping. `columns`: ours -> theirs; the other tables: theirs -> ours."""

    columns: Mapping[str, str] = field(default_factory=dict)
    scenes: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, str] = field(default_factory=dict)
    time: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()


def read(path: Path | None, scenes: Mapping[str, Scene]) -> Names:
    """Read a mapping; without one, names are used as they are. Raises MappingError."""
    if path is None:
        return Names()
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MappingError(
            f"{path} is not valid TOML: {error}; see specs/portability.md, I2"
        ) from error
    try:
        _require_form(tables)
        names = Names(**tables)
        _require_meaning(names, scenes)
    except MappingError as error:
        raise MappingError(f"{path}: {error}") from error
    return names


def _require_form(tables: Mapping[str, Any]) -> None:
    if unknown := sorted(tables.keys() - {*_TABLES, "ignore"}):
        raise MappingError(
            f"want ignore and the tables {', '.join(_TABLES)}, found {unknown}: correct the names"
        )
    for name, table in tables.items():
        values = table if name == "ignore" else table.values() if isinstance(table, dict) else None
        whole = isinstance(table, list if name == "ignore" else dict)
        if not whole or not all(isinstance(each, str) for each in values or ()):
            kind = "a list" if name == "ignore" else "a table"
            raise MappingError(f"want {kind} of texts in {name}, found something else: correct it")


def _require_meaning(names: Names, scenes: Mapping[str, Scene]) -> None:
    """Raises MappingError if something is mapped to what does not exist here."""
    open_ = {each.id: each for each in scenes.values() if not each.locked}
    items = {name for each in open_.values() for name in each.fields}
    _require_known("columns", names.columns, COLUMNS)
    _require_known("scenes", names.scenes.values(), sorted(open_))
    _require_known("items", names.items.values(), [EVERY_ITEM, *sorted(items)])
    _require_known("status", names.status.values(), STATUSES)
    _require_known("time", names.time, ["format"])
    theirs = [*names.columns.values(), *names.ignore]
    if twice := sorted({each for each in theirs if theirs.count(each) > 1}):
        raise MappingError(f"want each column once in [columns] and ignore, found {twice} twice")
    try:
        for each in names.until.values():
            if each != NO_END:
                moment.parse(each)
        if (form := names.time.get("format")) is not None:
            moment.require_format(form)
    except MomentError as error:
        raise MappingError(f"{error} (or {NO_END}, in [until]): correct it") from error


def _require_known(table: str, names: Iterable[str], wanted: Iterable[str]) -> None:
    if unknown := sorted({*names} - {*wanted}):
        raise MappingError(
            f"want only {', '.join(wanted)} in [{table}], found {unknown}: correct it"
        )
