"""Parses a CSV file (RFC 4180, UTF-8) into rows, by a declared mapping.

    subject,scene,fields,status,at,until
    c00001,direct-marketing,name;email,granted,2024-03-01T09:00:00Z,2026-03-01T00:00:00Z

`fields`, `status`, `until` and `words` may be missing. They default to all items, granted, no end
and unknown words.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import datetime

from gate.contracts.scene import Scene
from ledger.vault.commitments import canonical
from portal.imports import row
from portal.imports.row import Bad, ImportRow, MappingError, Names, RowError

WANTED = ("subject", "scene", "at")
OPTIONAL = ("fields", "status", "until", "words")
SEPARATOR = ";"


def rows(
    data: bytes, names: Names, scenes: Mapping[str, Scene], now: datetime
) -> Iterator[ImportRow | Bad]:
    """One row per line after the header. Raises MappingError if the header lacks a column."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MappingError(f"want UTF-8, found {error}: convert the file first") from error
    read = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = _columns(read.fieldnames or [], names)
    while True:
        try:
            line = next(read, None)
            if line is None:
                return
            cells = _cells(line, columns)
            yield _row(read.line_num, cells, names, scenes, now)
        except RowError as error:
            yield Bad(read.line_num, str(error))
        except csv.Error as error:
            yield Bad(read.line_num, f"want a row of CSV, found {error}: correct the quotes")
            return


def _cells(line: Mapping[str | None, object], columns: Mapping[str, str]) -> dict[str, str]:
    """The cells by our column names. Raises RowError unless there are as many as in the header."""
    if None in line or None in line.values():
        raise RowError(
            "want as many cells as in the header, found another number: quote values with commas"
        )
    return {ours: str(line[theirs]) for ours, theirs in columns.items()}


def _columns(head: object, names: Names) -> dict[str, str]:
    found = [*head] if isinstance(head, (list, tuple)) else []
    columns = {ours: names.columns.get(ours, ours) for ours in (*WANTED, *OPTIONAL)}
    if missing := [columns[ours] for ours in WANTED if columns[ours] not in found]:
        raise MappingError(
            f"want the columns {missing}, found {found[:20]}: map their names in [columns]"
        )
    if strange := sorted(names.columns.keys() - columns.keys()):
        raise MappingError(f"want {[*columns]} in [columns], found {strange}: remove them")
    return {ours: theirs for ours, theirs in columns.items() if theirs in found}


def _row(
    place: int,
    cells: Mapping[str, str],
    names: Names,
    scenes: Mapping[str, Scene],
    now: datetime,
) -> ImportRow:
    within = row.scene(cells["scene"], names, scenes)
    items = [each.strip() for each in cells.get("fields", "").split(SEPARATOR) if each.strip()]
    at = row.past(cells["at"], names, now)
    return ImportRow(
        place,
        row.subject(cells["subject"]),
        within.id,
        row.fields(items, names, within),
        row.status(cells.get("status") or "granted", names),
        at,
        row.end(cells.get("until", ""), names, at),
        cells.get("words", "").encode() or canonical(dict(cells)),
    )
