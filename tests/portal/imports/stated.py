"""What a file of earlier consents states: a small strict reader, independent of the product.

It understands one form of everything. A file of which it does not understand each row must be
refused; of any other file, an import must leave exactly the permissions that it states.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

NS = 1_000_000_000
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the names in a file mean. `columns`, `status` and the like: theirs -> ours."""

    mapping: str | None  # the same, in TOML for the command
    columns: Mapping[str, str]
    scenes: Mapping[str, str]
    items: Mapping[str, str]
    status: Mapping[str, bool]
    endless: frozenset[str]
    dotted: bool = False  # days as 1.3.2026, instead of ISO 8601
    ignored: frozenset[str] = frozenset()
    receipts: bool = False
    state: str | None = None  # the member of a receipt with its status


@dataclass(frozen=True, slots=True)
class Statement:
    """One row. `items`: None in a withdrawal of everything. `begin`, `end`: in ns since 1970."""

    line: int
    subject: str
    scene: str
    granted: bool
    items: frozenset[str] | None
    begin: int
    end: int
    until: int | None = None  # seconds


@dataclass(frozen=True, slots=True)
class Permission:
    items: frozenset[str]
    at: int  # seconds since 1970
    until: int | None


Permissions = Mapping[tuple[str, str], Permission]


@dataclass(slots=True)
class Reading:
    """`unclear`: the lines that are not understood; None among them: the file is not."""

    statements: list[Statement] = field(default_factory=list)
    unclear: list[int | None] = field(default_factory=list)


def read(
    data: bytes, dialect: Dialect, customers: Iterable[str], scenes: Mapping[str, Sequence[str]]
) -> Reading:
    """`scenes`: the items of each scene that can be consented to."""
    records = _receipts(data, dialect) if dialect.receipts else _rows(data, dialect)
    found, known = Reading(), {*customers}
    if records is None:
        found.unclear.append(None)
        return found
    for line, cells in records:
        made = _statement(line, cells, dialect, scenes) if cells is not None else None
        if made is None or made.subject not in known:
            found.unclear.append(line)
        else:
            found.statements.append(made)
    found.unclear += _contradictions(found.statements)
    return found


def after(before: Permissions, statements: Iterable[Statement]) -> Permissions:
    """The permissions once the statements were made, in the order of their times."""
    left = dict(before)
    for each in sorted(statements, key=lambda each: each.begin):
        key = (each.subject, each.scene)
        if each.granted:
            left[key] = Permission(each.items or frozenset(), each.begin // NS, each.until)
        elif key in left:
            items = left[key].items - (each.items or left[key].items)
            left[key] = replace(left[key], items=items)
    return {key: each for key, each in left.items() if each.items}


def instant(text: str) -> tuple[int, int] | None:
    """Begin and end of an ISO 8601 day, or time with a zone, in ns since 1970."""
    day, clock = _day(text[:10]), text[11:]
    if day is None or not text.isascii() or len(text) == 10:
        return None if day is None or not text.isascii() else (day * NS, (day + DAY_S) * NS)
    time, zone = (clock[:-1], "+00:00") if clock.endswith("Z") else (clock[:-6], clock[-6:])
    length, offset = _clock(time), _offset(zone)
    if text[10] not in "T " or length is None or offset is None:
        return None
    first = day * NS + length[0] - offset * 60 * NS
    return (first, first + length[1]) if first >= DAY_S * NS else None


def _day(text: str) -> int | None:
    """The beginning of a day, in seconds since 1970."""
    if [each for each in text if not each.isdigit()] != ["-", "-"] or text >= "9999":
        return None
    try:
        begin = (date.fromisoformat(text) - date(1970, 1, 1)).days * DAY_S
    except ValueError:
        return None
    return begin if begin >= DAY_S else None


def _offset(zone: str) -> int | None:
    """Minutes."""
    numbers = zone[1:3] + zone[4:]
    whole = zone[:1] in ("+", "-") and zone[3:4] == ":" and len(numbers) == 4 and numbers.isdigit()
    if not whole or int(zone[1:3]) > 14 or int(zone[4:]) > 59:
        return None
    return int(f"{zone[0]}1") * (int(zone[1:3]) * 60 + int(zone[4:]))


def _clock(text: str) -> tuple[int, int] | None:
    """A time of day in ns, and how exact it is."""
    hours, minutes, seconds, digits = text[:2], text[3:5], text[6:8], text[9:]
    whole = f"{hours}:{minutes}" + (f":{seconds}" if text[5:] else "")
    whole += f".{digits}" if text[8:] else ""
    numbers = (hours, minutes, seconds or "00", digits or "0")
    if whole != text or not all(each.isdigit() for each in numbers) or len(digits) > 9:
        return None
    if not (len(hours) == len(minutes) == len(seconds or "00") == 2) or (text[8:] and not digits):
        return None
    if int(hours) > 23 or int(minutes) > 59 or int(seconds or "0") > 59:
        return None
    at = (int(hours) * 3600 + int(minutes) * 60 + int(seconds or "0")) * NS
    at += int(digits.ljust(9, "0")) if digits else 0
    exact: int = 10 ** (9 - len(digits)) if seconds else 60 * NS
    return at, exact


def _dotted(text: str) -> tuple[int, int] | None:
    parts = text.split(".")
    if len(parts) != 3 or not all(each.isascii() and each.isdigit() for each in parts):
        return None
    day, month, year = parts
    if len(year) != 4 or max(len(day), len(month)) > 2:
        return None
    return instant(f"{year}-{month:0>2}-{day:0>2}")


def _statement(
    line: int,
    cells: Mapping[str, Any],
    dialect: Dialect,
    scenes: Mapping[str, Sequence[str]],
) -> Statement | None:
    scene = dialect.scenes.get(cells["scene"], "")
    granted = dialect.status.get(cells["status"]) if "status" in cells else True
    at = cells["at"] if isinstance(cells["at"], tuple) else _time(cells["at"], dialect)
    if scene not in scenes or granted is None or at is None or at[0] > _now():
        return None
    every = frozenset(scenes[scene])
    items = _items(cells.get("fields"), dialect, every)
    if not granted:
        empty = dialect.receipts or not cells.get("fields", "").strip()
        if items is None and not empty:
            return None
        whole = empty or items == every
        return Statement(
            line, cells["subject"], scene, False, None if whole else items, at[0], at[1]
        )
    end = cells.get("until", "")
    until = None if end in dialect.endless else _time(end, dialect)
    if items is None or (until is None and end not in dialect.endless):
        return None
    seconds = None if until is None else until[0] // NS
    if seconds is not None and seconds <= at[0] // NS:
        return None
    return Statement(line, cells["subject"], scene, True, items, at[0], at[1], seconds)


def _now() -> int:
    return (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * NS


def _time(text: str, dialect: Dialect) -> tuple[int, int] | None:
    return _dotted(text) if dialect.dotted else instant(text)


def _items(
    cell: str | list[str] | None, dialect: Dialect, every: frozenset[str]
) -> frozenset[str] | None:
    if cell is None:
        return every
    names = [each.strip() for each in cell.split(";")] if isinstance(cell, str) else cell
    if names == ["*"]:
        return every
    items = [dialect.items.get(each, "") for each in names]
    whole = len({*names}) == len(names) > 0 and {*items} <= every
    return frozenset(items) if whole else None


def _contradictions(statements: Sequence[Statement]) -> Iterator[int]:
    """Lines of grants that another statement contradicts at what may be the same time."""
    for one in statements:
        for other in statements:
            same = (one.subject, one.scene) == (other.subject, other.scene)
            overlap = one.begin < other.end and other.begin < one.end
            said = [(each.granted, each.items, each.until) for each in (one, other)]
            if one is not other and same and overlap and one.granted and said[0] != said[1]:
                yield one.line


# CSV

_CELL = re.compile(r'("(?P<quoted>([^"]|"")*)"|(?P<plain>([^",\n][^,\n]*)?))(?P<end>[,\n])')


def _rows(data: bytes, dialect: Dialect) -> list[tuple[int, dict[str, str] | None]] | None:
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None
    records = [*_records(text)] if text[-1:] in ("\n", "\r") and "\0" not in text else []
    if len(records) < 2 or None in records:
        return None
    (_, head), *rows = [each for each in records if each is not None]
    known = dialect.columns.keys() | dialect.ignored
    if len({*head}) < len(head) or not {*head} <= known:
        return None
    names = [dialect.columns.get(each, "") for each in head]
    mapped = {*dialect.columns.values()} | dialect.ignored if dialect.mapping else set()
    if not {"subject", "scene", "at", *mapped} <= {*names, *head}:
        return None
    return [
        (line, dict(zip(names, cells, strict=True)) if len(cells) == len(head) else None)
        for line, cells in rows
    ]


def _records(text: str) -> Iterator[tuple[int, list[str]] | None]:
    """Records with the line that they end on; None for one that is not RFC 4180."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    cells, line, at = list[str](), 0, 0
    while at < len(text):
        if (found := _CELL.match(text, at)) is None:
            yield None
            return
        quoted = found["quoted"]
        cells.append(found["plain"] if quoted is None else quoted.replace('""', '"'))
        line, at = line + found[0].count("\n"), found.end()
        if found["end"] == "\n":
            if cells != [""]:
                yield line, cells
            cells = []


# Receipts

_ALLOWED = {
    "receipt": {
        *("version", "jurisdiction", "consentTimestamp", "collectionMethod", "consentReceiptID"),
        *("language", "piiPrincipalId", "piiControllers", "policyUrl", "services", "sensitive"),
        *("spiCat", "publicKey"),
    },
    "service": {"service", "purposes"},
    "purpose": {
        *("purpose", "purposeCategory", "consentType", "piiCategory", "primaryPurpose"),
        *("termination", "thirdPartyDisclosure", "thirdPartyName"),
    },
}


def _receipts(data: bytes, dialect: Dialect) -> list[tuple[int, dict[str, Any] | None]] | None:
    try:
        text = data.decode().removeprefix("\ufeff").strip()
        lines = [each for each in text.splitlines() if each.strip()]
        whole = _json(text) if text[:1] == "[" or len(lines) != text.count('"version"') else None
        documents = whole if isinstance(whole, list) else [whole]
        if whole is None:
            documents = [_json(each) for each in lines]
        json.dumps(documents, ensure_ascii=False).encode()  # no half of a surrogate
    except ValueError:
        return None
    found: list[tuple[int, dict[str, Any] | None]] = []
    for place, each in enumerate(documents, 1):
        found += ((place, cells) for cells in _purposes(each, dialect))
    return found or None


def _json(text: str) -> Any:
    """Strict JSON: every member once, whole numbers only."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError(pairs)
        return dict(pairs)

    def no_number(text: str) -> Any:
        raise ValueError(text)

    return json.loads(
        text, object_pairs_hook=members, parse_constant=no_number, parse_float=no_number
    )


def _purposes(receipt: Any, dialect: Dialect) -> list[dict[str, Any] | None]:
    try:
        return [*_cells(receipt, dialect)]
    except (KeyError, TypeError, ValueError):
        return [None]


def _cells(receipt: Any, dialect: Dialect) -> Iterator[dict[str, Any]]:
    """Raises KeyError, TypeError or ValueError for a receipt that is not understood."""
    allowed = _ALLOWED["receipt"] | ({dialect.state} if dialect.state else set())
    services = _listed(receipt["services"])
    purposes = [each for service in services for each in _listed(service["purposes"])]
    known = (
        {*receipt} <= allowed
        and all({*each} <= _ALLOWED["service"] for each in services)
        and all({*each} <= _ALLOWED["purpose"] for each in purposes)
    )
    stamp, version = receipt["consentTimestamp"], receipt["version"]
    at = (stamp * NS, (stamp + 1) * NS) if type(stamp) is int else instant(stamp)
    if not known or at is None or at[0] < DAY_S * NS or version != "KI-CR-v1.1.0" or not purposes:
        raise ValueError(receipt)
    for each in purposes:
        texts = {"subject": receipt["piiPrincipalId"], "scene": each["purpose"]}
        items: list[Any] = []
        if dialect.state:
            texts["status"] = receipt[dialect.state]
        if dialect.status.get(texts.get("status", "granted"), True):
            texts["until"] = each["termination"]
            items = _listed(each["piiCategory"])
        if each["consentType"] != "EXPLICIT" or any(
            type(text) is not str for text in (*texts.values(), *items)
        ):
            raise ValueError(each)
        yield {**texts, "at": at, "fields": items}


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value
