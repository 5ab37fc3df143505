"""Parses a CSV file (RFC 4180, UTF-8) into rows, by a declared mapping.

    subject,scene,fields,status,at,until
    c00001,direct-marketing,name;email,granted,2024-03-01T09:00:00Z,2026-03-01T00:00:00Z

`fields`, `status`, `until` and `words` may be missing. The file then says: all items, granted, no
end before the contract's longest duration, unknown words. A column that is there is read, or the
mapping declares it ignored; no other one is passed over.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from gate.contracts.scene import Scene
from ledger.vault.commitments import canonical
from portal.imports import encoding, foreign, row
from portal.imports.mapping import COLUMNS, MappingError, Names
from portal.imports.row import Bad, ImportRow, RowError
from portal.imports.subjects import folded

WANTED = ("subject", "scene", "at")
SEPARATOR = ";"


def rows(
    data: bytes, names: Names, scenes: Mapping[str, Scene], now: datetime
) -> Iterator[ImportRow | Bad]:
    """One row per record after the header.

    Raises MappingError if the file is not CSV in UTF-8, is cut off, lacks a column, or has one that
    is not declared.
    """
    foreign.refuse(data, receipts=False)
    records = _records(_whole(encoding.decoded(data)))
    _, head = next(records, (0, []))
    columns = _columns(head, names)
    for place, cells in records:
        row: dict[str, str] = {}
        try:
            row = _cells(cells, len(head), columns)
            yield _row(place, row, names, scenes, now)
        except RowError as error:
            yield Bad(place, str(error), _subject(cells, columns))


def _whole(content: str) -> str:
    """Raises MappingError unless the last line ends: c00041 may be the beginning of c000412."""
    if content.endswith(("\n", "\r")):
        return content
    line = len(re.split(r"\r\n|\r|\n", content))
    raise MappingError(
        f"line {line}: want a line break after the last row, found none: the file may be cut off. "
        "Export it again, or add the line break if the row is whole"
    )


def _records(content: str) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not an empty line, with the line that it ends on."""
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise MappingError(
                f"line {reader.line_num}: want a row of CSV, found {error}: correct the quotes; "
                "nothing after it was read"
            ) from error
        if cells is None:
            return
        if cells:
            yield reader.line_num, cells


def _columns(head: Sequence[str], names: Names) -> dict[str, int]:
    """Our name of each column that is read, and its position. Raises MappingError."""
    if twice := [name for name, count in Counter(head).items() if count > 1]:
        raise MappingError(f"line 1: want each column once, found {twice} twice: remove one")
    theirs = {ours: names.columns.get(ours, ours) for ours in COLUMNS}
    wanted = [theirs[ours] for ours in WANTED]
    if twofold := [each for each, count in Counter(theirs.values()).items() if count > 1]:
        raise MappingError(
            f"line 1: want each column for one meaning, found {twofold} for two: map the other one "
            "in [columns], too"
        )
    wanted += [theirs[ours] for ours in names.columns if ours not in WANTED]
    if missing := [each for each in (*wanted, *names.ignore) if each not in head]:
        raise MappingError(
            f"line 1: want the columns {missing}, found {[*head][:20]}"
            f"{_hint(missing, head)}: {_separated(head)}{foreign.product(head)}"
        )
    _require_values(head, theirs, names)
    unread = [each for each in head if each not in {*theirs.values(), *names.ignore}]
    if unread:
        raise MappingError(
            f"line 1: want only columns that are read, found {unread[:20]} too"
            f"{_hint(unread, [*theirs.values()])}: one of them could end or limit a consent. Map "
            f'each in [columns], or declare in the mapping ignore = ["…"]{foreign.product(head)}'
        )
    return {ours: head.index(name) for ours, name in theirs.items() if name in head}


def _require_values(head: Sequence[str], theirs: Mapping[str, str], names: Names) -> None:
    """Check the optional columns that the file lacks.

    Raises MappingError if the mapping has values for one of them, or ignores a column of its name.
    """
    tables = {"status": names.status, "fields": names.items, "until": names.until}
    for ours, values in tables.items():
        if theirs[ours] in head:
            continue
        if values:
            raise MappingError(
                f"line 1: want the column {theirs[ours]!r}, whose values the mapping has, found "
                f"{[*head][:20]}: map its name in [columns], or remove the values"
            )
        if namesake := [each for each in names.ignore if folded(each) == folded(ours)]:
            raise MappingError(
                f"line 1: want {namesake[0]!r} as the column {ours!r}, found it in ignore: map it "
                "in [columns]"
            )


def _separated(head: Sequence[str]) -> str:
    """What to do about a header that lacks a column."""
    found = next((each for each in ";\t|" if len(head) == 1 and each in head[0]), None)
    if found is not None:
        return f"write commas between the cells instead of {found!r}"
    return "map their names in [columns]"


def _hint(names: Sequence[str], known: Sequence[str]) -> str:
    """The `names` that differ from a known one only in how they are written; "" if none does."""
    near = [f"{a!r} is written {b!r}" for a in names for b in known if folded(a) == folded(b)]
    return f" ({'; '.join(near[:5])})" if near else ""


def _cells(cells: Sequence[str], count: int, columns: Mapping[str, int]) -> dict[str, str]:
    """The cells by our column names. Raises RowError unless there are as many as in the header."""
    if len(cells) != count:
        raise RowError(
            f"want as many cells as in the header, {count}, found {len(cells)}: quote values with "
            "commas"
        )
    return {ours: cells[at] for ours, at in columns.items()}


def _subject(cells: Sequence[str], columns: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(cells[columns["subject"] :][:1])


def _row(
    place: int,
    cells: Mapping[str, str],
    names: Names,
    scenes: Mapping[str, Scene],
    now: datetime,
) -> ImportRow:
    subject = row.subject(cells["subject"])
    within = row.scene(cells["scene"], names, scenes)
    granted = row.status(cells["status"], names) if "status" in cells else True
    at = row.past(cells["at"], names, now)
    return ImportRow(
        place,
        subject,
        within.id,
        _fields(cells.get("fields"), names, within) if granted else _ended(cells, names, within),
        granted,
        at,
        _end(cells.get("until", ""), names, at.at) if granted else None,
        cells.get("words", "").encode() or canonical(dict(cells)),
    )


def _fields(cell: str | None, names: Names, within: Scene) -> tuple[str, ...]:
    if cell is None:
        return tuple(within.fields)
    return row.fields([each.strip() for each in cell.split(SEPARATOR)], names, within)


def _ended(cells: Mapping[str, str], names: Names, within: Scene) -> tuple[str, ...]:
    """The items that a withdrawal ends; none if it ends the whole scene."""
    if not (cell := cells.get("fields", "")).strip() and cell not in names.items:
        return ()
    ended = _fields(cell, names, within)
    return () if len(ended) == len(within.fields) else ended


def _end(cell: str, names: Names, begin: datetime) -> datetime | None:
    return row.end(cell, names, begin) if cell or cell in names.until else None
