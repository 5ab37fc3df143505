"""Files of earlier consents, each made from a good one by one change or two.

    pytest -s --prove tests/portal/imports/test_mutated.py      all of them, and random pairs

`singles` changes each good file in each known way. `pairs` makes two changes to the cells or the
header of a CSV file.
"""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.portal.imports import notations
from tests.portal.imports.runs import receipt
from tests.portal.imports.stated import Dialect

ONE, TWO, THREE, FOUR = "c00041", "c00042", "c00043", "c00044"
OURS = ("subject", "scene", "fields", "status", "at", "until")
ITEMS = ("name", "email", "phone", "postcode", "age", "job", "housing")
OPEN = ("direct-marketing", "segmentation", "service-reminder")
MAPPING = """
ignore = ["Filiale"]
[columns]
subject = "Kunde"
scene = "Zweck"
fields = "Merkmale"
status = "Status"
at = "Datum"
until = "Ende"
[scenes]
Werbung = "direct-marketing"
Segment = "segmentation"
[items]
"E-Mail" = "email"
Name = "name"
Alter = "age"
[status]
J = "granted"
N = "withdrawn"
[until]
"bis auf Widerruf" = "none"
[time]
format = "%d.%m.%Y"
"""
STATES = """
ignore = []
[columns]
status = "state"
[status]
ACTIVE = "granted"
REVOKED = "withdrawn"
"""
_SAME = {each: each for each in OPEN}
_ITEMS = {each: each for each in ITEMS}
_STATUS = {"granted": True, "withdrawn": False}
PLAIN = Dialect(None, {each: each for each in OURS}, _SAME, _ITEMS, _STATUS, frozenset({""}))
GERMAN = Dialect(
    MAPPING,
    dict(zip(("Kunde", "Zweck", "Merkmale", "Status", "Datum", "Ende"), OURS, strict=True)),
    _SAME | {"Werbung": "direct-marketing", "Segment": "segmentation"},
    _ITEMS | {"E-Mail": "email", "Name": "name", "Alter": "age"},
    _STATUS | {"J": True, "N": False},
    frozenset({"", "bis auf Widerruf"}),
    dotted=True,
    ignored=frozenset({"Filiale"}),
)
KANTARA = replace(PLAIN, receipts=True, endless=frozenset())
STATED = replace(
    KANTARA, mapping=STATES, state="state", status=_STATUS | {"ACTIVE": True, "REVOKED": False}
)


@dataclass(frozen=True, slots=True)
class File:
    """`same`: whether it states what the good file states, in another form."""

    why: str
    data: bytes
    dialect: Dialect
    same: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    dialect: Dialect

    def put(self, row: int, column: int, value: str) -> "Sheet":
        """The sheet with another cell; row -1 is the header."""
        cells = list(self.head if row < 0 else self.rows[row])
        cells[column] = value
        if row < 0:
            return replace(self, head=tuple(cells))
        return replace(self, rows=(*self.rows[:row], tuple(cells), *self.rows[row + 1 :]))

    def text(self, separator: str = ",", *, quoted: bool = False) -> str:
        return "".join(
            separator.join(_cell(each, separator, quoted=quoted) for each in row) + "\n"
            for row in (self.head, *self.rows)
        )


GOOD_PLAIN = Sheet(
    OURS,
    (
        (ONE, OPEN[0], "name;email", "granted", "2026-03-01T09:00:00Z", "2027-03-01T00:00:00Z"),
        (ONE, OPEN[1], "age", "granted", "2026-03-02T10:30:00+02:00", ""),
        (TWO, OPEN[0], "*", "granted", "2026-03-01", ""),
        (TWO, OPEN[0], "", "withdrawn", "2026-04-01T09:00:00Z", ""),
        (THREE, OPEN[1], "", "withdrawn", "2026-04-01", ""),
        (FOUR, OPEN[0], "email", "withdrawn", "2026-04-02T08:00:00.5Z", ""),
    ),
    PLAIN,
)
GOOD_GERMAN = Sheet(
    ("Kunde", "Filiale", "Zweck", "Merkmale", "Status", "Datum", "Ende"),
    (
        (ONE, "Ost", "Werbung", "Name;E-Mail", "J", "01.03.2026", "01.03.2027"),
        (TWO, "West", "Segment", "Alter", "J", "02.03.2026", "bis auf Widerruf"),
        (THREE, "Ost", "Werbung", "", "N", "01.04.2026", ""),
        (FOUR, "Ost", "Segment", "", "N", "02.04.2026", ""),
    ),
    GERMAN,
)
SHEETS = {"plain": GOOD_PLAIN, "mapped": GOOD_GERMAN}
RECEIPTS: Sequence[dict[str, Any]] = (
    receipt(piiPrincipalId=ONE),
    receipt(
        {"purpose": OPEN[1], "piiCategory": ["age", "job"], "termination": "2028-01-01"},
        piiPrincipalId=TWO,
        consentTimestamp="2026-03-02T10:30:00+02:00",
    ),
)
REVOKED: Sequence[dict[str, Any]] = (
    receipt(piiPrincipalId=ONE, state="ACTIVE"),
    receipt(piiPrincipalId=THREE, state="REVOKED"),
)


def singles() -> list[File]:
    """Every file with one change."""
    made: list[File] = []
    for name, sheet in SHEETS.items():
        for why, changed in _changed(sheet):
            made.append(File(f"{name}: {why}", changed.text().encode(), sheet.dialect))
        made += _packed(name, sheet)
        made += _cut(name, sheet.text().encode(), sheet.dialect)
    for name, documents, dialect in (
        ("receipts", RECEIPTS, KANTARA),
        ("receipts with states", REVOKED, STATED),
    ):
        made += _documents(name, documents, dialect)
    different = {(each.data, each.dialect.mapping): each for each in reversed(made)}
    return [*different.values()]


def pairs(count: int, random: Random) -> Iterator[File]:
    """Files with two changes."""
    first_changes = {name: [*_changed(sheet)] for name, sheet in SHEETS.items()}
    for _ in range(count):
        name = random.choice([*SHEETS])
        first, once = random.choice(first_changes[name])
        second, twice = random.choice([*_changed(once), ("nothing else", once)])
        yield File(f"{name}: {first}, {second}", twice.text().encode(), twice.dialect)


def _cell(value: str, separator: str, *, quoted: bool) -> str:
    if quoted or any(each in value for each in f'{separator}"\r\n'):
        doubled = value.replace('"', '""')
        return f'"{doubled}"'
    return value


def _changed(sheet: Sheet) -> Iterator[tuple[str, Sheet]]:
    """The sheet with other cells, rows and columns; none if a change before took some away."""
    if any(len(row) != len(sheet.head) for row in sheet.rows):
        return
    ours = [sheet.dialect.columns.get(each, each) for each in sheet.head]
    rows = range(len(sheet.rows))
    for column, name in enumerate(ours):
        for row in (rows[0], rows[-2]) if name in notations.CELLS else ():
            for value in (*notations.CELLS[name], *notations.written(sheet.rows[row][column])):
                yield f"{name} {value!r} in row {row}", sheet.put(row, column, value)
        for value in notations.heads(sheet.head[column]):
            yield f"head {value!r} for {name}", sheet.put(-1, column, value)
    yield from _moved(sheet)
    if {"status", "fields"} <= {*ours}:
        yield from _repeated(sheet, ours)


def _moved(sheet: Sheet) -> Iterator[tuple[str, Sheet]]:
    """Columns without their heads, and heads without their columns."""
    for column, name in enumerate(sheet.head):
        others = [each for each in range(len(sheet.head)) if each != column]
        for other in others:
            swapped = sheet.put(-1, column, sheet.head[other]).put(-1, other, name)
            yield f"heads {name} and {sheet.head[other]} exchanged", swapped
        yield f"no column {name}", _columns(sheet, others)
        yield f"column {name} twice", _columns(sheet, [*others, column, column])
        yield f"column {name} last", _columns(sheet, [*others, column])
    for extra in notations.EXTRA_HEADS:
        added = tuple((*row, "1") for row in sheet.rows)
        yield f"column {extra!r} added", replace(sheet, head=(*sheet.head, extra), rows=added)


def _columns(sheet: Sheet, order: Sequence[int]) -> Sheet:
    head, *rows = (tuple(row[each] for each in order) for row in (sheet.head, *sheet.rows))
    return replace(sheet, head=head, rows=tuple(rows))


def _repeated(sheet: Sheet, ours: Sequence[str]) -> Iterator[tuple[str, Sheet]]:
    """Rows twice, rows that contradict each other, rows of another length."""
    yes, no = ("J", "N") if "J" in sheet.dialect.status else ("granted", "withdrawn")
    status = ours.index("status")
    for row, cells in enumerate(sheet.rows):
        opposite = list(cells)
        opposite[status] = no if cells[status] == yes else yes
        if opposite[status] == yes and not opposite[ours.index("fields")]:
            opposite[ours.index("fields")] = "*"
        for at in (0, len(sheet.rows)):
            for why, more in (("again", cells), ("and its opposite", tuple(opposite))):
                added = (*sheet.rows[:at], more, *sheet.rows[at:])
                yield f"row {row} {why} at {at}", replace(sheet, rows=added)
        for why, other in (
            ("a cell less", cells[:-1]),
            ("a cell more", (*cells, no)),
            ("an empty first cell", ("", *cells)),
            ("nothing but its customer", cells[:1]),
        ):
            changed = (*sheet.rows[:row], other, *sheet.rows[row + 1 :])
            yield f"row {row} with {why}", replace(sheet, rows=changed)


def _packed(name: str, sheet: Sheet) -> Iterator[File]:
    """The sheet in other encodings, separators and containers."""
    text, dialect = sheet.text(), sheet.dialect
    turned = replace(sheet, rows=sheet.rows[::-1])
    for why, same in {
        "CRLF": text.replace("\n", "\r\n"),
        "CR": text.replace("\n", "\r"),
        "a byte order mark": f"\ufeff{text}",
        "quotes": sheet.text(quoted=True),
        "empty lines": text.replace("\n", "\n\n"),
        "the rows turned round": turned.text(),
        "the columns turned round": _columns(sheet, [*range(len(sheet.head))][::-1]).text(),
    }.items():
        yield File(f"{name}: {why}", same.encode(), dialect, same=True)
    accented = text.replace(ONE, f"{ONE}é", 1)
    for encoding in ("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7", "cp500"):
        yield File(f"{name}: {encoding}", accented.encode(encoding), dialect)
    yield File(f"{name}: GB18030", text.replace(ONE, "客户一号").encode("gb18030"), dialect)
    for separator in ";\t|:^\x1f":
        yield File(f"{name}: separator {separator!r}", sheet.text(separator).encode(), dialect)
        note = f"sep={separator}\n{sheet.text(separator)}"
        yield File(f"{name}: a note on separator {separator!r}", note.encode(), dialect)
    for why, other in {
        "gzip": gzip.compress(text.encode()),
        "ZIP": _zipped(text),
        "two byte order marks": f"\ufeff\ufeff{text}".encode(),
        "NUL bytes at the end": text.encode() + bytes(3),
        "an end-of-file character": text.encode() + b"\x1a",
        "single quotes": text.replace(",", "','").encode(),
        "a comment first": b"# exported by crm\n" + text.encode(),
        "an empty line with spaces": text.encode() + b"  \n",
        "a sum last": text.encode() + f"total,{len(sheet.rows)}\n".encode(),
        "the header again": text.encode() * 2,
        "an open quote": text.replace(ONE, f'"{ONE}', 1).encode(),
        "a quote inside": text.replace(ONE, f'{ONE}"', 1).encode(),
        "a line break in a cell": text.replace(TWO, f'"{TWO}\n"', 1).encode(),
        "two rows in one cell": text.replace(f"\n{TWO}", f'\n"{TWO}', 1).encode() + b'"\n',
        "no header": text.partition("\n")[2].encode(),
        "a header alone": text.partition("\n")[0].encode() + b"\n",
        "JSON": json.dumps(
            [dict(zip(sheet.head, row, strict=True)) for row in sheet.rows]
        ).encode(),
        "YAML": "".join(f"- {{{row[0]}: no}}\n" for row in sheet.rows).encode(),
    }.items():
        yield File(f"{name}: {why}", other, dialect)


def _zipped(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("consents.csv", text)
    return out.getvalue()


def _cut(name: str, data: bytes, dialect: Dialect) -> Iterator[File]:
    """The file cut off within its last two lines: after each byte, or at 200 places."""
    begin = data.rindex(b"\n", 0, data.rindex(b"\n", 0, len(data) - 1))
    for size in range(begin, len(data), 1 + (len(data) - begin) // 200):
        yield File(f"{name}: cut off after {size} bytes", data[:size], dialect)


def _documents(name: str, good: Sequence[dict[str, Any]], dialect: Dialect) -> Iterator[File]:
    whole = json.dumps([*good])
    lines = "".join(f"{json.dumps(each)}\n" for each in good)
    for why, same in {
        "indented": json.dumps([*good], indent=2),
        "one a line": lines,
        "one a line, CRLF": lines.replace("\n", "\r\n"),
        "a byte order mark": f"\ufeff{whole}",
        "members in another order": json.dumps([dict(reversed(each.items())) for each in good]),
        "turned round": json.dumps([*good][::-1]),
        "escapes": whole.replace("direct-marketing", "\\u0064irect-marketing"),
    }.items():
        yield File(f"{name}: {why}", same.encode(), dialect, same=True)
    for why, text in notations.documents(whole).items():
        yield File(f"{name}: {why}", text.encode("utf-8", "surrogatepass"), dialect)
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        yield File(f"{name}: {encoding}", whole.encode(encoding), dialect)
    yield from _cut(name, f"\n{lines}".encode(), dialect)
    for why, change in _changes(good):
        documents = deepcopy([*good])
        change(documents)
        yield File(f"{name}: {why}", json.dumps(documents).encode(), dialect)


def _changes(
    good: Sequence[dict[str, Any]],
) -> Iterator[tuple[str, Callable[[list[dict[str, Any]]], None]]]:
    """Other values for each member of the last receipt, and members more or less."""
    place = len(good) - 1
    for level, values in notations.MEMBERS.items():
        for member, others in values.items():
            for value in others:
                yield f"{level} {member} {value!r}", _setting(place, level, member, value)
            yield f"{level} without {member}", _setting(place, level, member, notations.ABSENT)


def _setting(
    place: int, level: str, member: str, value: Any
) -> Callable[[list[dict[str, Any]]], None]:
    def change(documents: list[dict[str, Any]]) -> None:
        service = documents[place]["services"][0]
        levels = {
            "receipt": documents[place],
            "service": service,
            "purpose": service["purposes"][0],
        }
        if value is notations.ABSENT:
            levels[level].pop(member, None)
        else:
            levels[level][member] = value

    return change
