"""Selects PostgreSQL's columns so that every value has a representation outside of it.

    date, timestamp     infinity, years BC and years after 9999 have none: null
    numeric             NaN, infinity, and more digits than 29 before or 9 after the point have none
    money               as numeric(22, 4)
    uuid, inet, json …  as PostgreSQL writes them: text

A value that has none is null in tables, and UNREADABLE when one customer is read.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gate.reads.sources.related import quoted

TEXT = "string"
_PLAIN = {  # PostgreSQL's name of the type -> Ibis's
    "boolean": "boolean",
    "smallint": "int16",
    "integer": "int32",
    "bigint": "int64",
    "real": "float32",
    "double precision": "float64",
    "text": TEXT,
    "boolean[]": "array<boolean>",
    "integer[]": "array<int32>",
    "bigint[]": "array<int64>",
    "text[]": "array<string>",
}
_TEXTS = re.compile(r"character( varying)?(\([0-9]+\))?|name")
_NUMERIC = re.compile(r"numeric(\(([0-9]+),(-?[0-9]+)\))?")
_TIMESTAMP = re.compile(r"timestamp(\([0-9]\))? (with|without) time zone")
MAX_DIGITS = 38  # of Arrow's decimals
_DECIMALS = 9  # of a numeric that declares none
_DESCRIBED = """
SELECT a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid),
                              CASE WHEN t.typbasetype = 0 THEN a.atttypmod ELSE t.typtypmod END)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class PostgresColumn:
    """A column, its Ibis type when it is selected, and the SQL that finds values without one.

    `guard` and `cast` are SQL with `{}` for the quoted column. `guard`: whether the value has a
    representation; empty if every value has. `cast`: its representation.
    """

    name: str
    type: str
    guard: str = ""
    cast: str = "{}"

    @property
    def quoted(self) -> str:
        return quoted(self.name)

    @property
    def selected(self) -> str:
        """SQL: the representation under the column's name, or null."""
        return f"{self.value} AS {self.quoted}"

    @property
    def value(self) -> str:
        cast = self.cast.format(self.quoted)
        if not self.guard:
            return cast
        return f"CASE WHEN {self.guard.format(self.quoted)} THEN {cast} END"

    @property
    def unreadable(self) -> str:
        """SQL: whether the value is one without a representation."""
        if not self.guard:
            return "FALSE"
        return f"({self.quoted} IS NOT NULL AND NOT ({self.guard.format(self.quoted)}))"


def described(connection: Any, table: str, key: str = "") -> dict[str, PostgresColumn]:
    """The columns of a table by name; empty if there is no such table. The key is read as text.

    Raises psycopg.Error.
    """
    return represented(kinds(connection, table), key)


def kinds(connection: Any, table: str) -> dict[str, str]:
    """The columns of a table, with PostgreSQL's names of their types. Raises psycopg.Error."""
    rows: Sequence[tuple[str, str]] = connection.execute(_DESCRIBED, [quoted(table)]).fetchall()
    return dict(rows)


def represented(kinds: Mapping[str, str], key: str = "") -> dict[str, PostgresColumn]:
    """How columns of these types are selected. The key is read as text."""
    return {
        name: PostgresColumn(name, TEXT, cast="{}::text") if name == key else _column(name, kind)
        for name, kind in kinds.items()
    }


def select(relation: str, columns: Mapping[str, PostgresColumn]) -> str:
    """SQL that selects all columns of a relation in their representation."""
    return f"SELECT {', '.join(each.selected for each in columns.values())} FROM {relation}"  # noqa: S608 - quoted


def _column(name: str, kind: str) -> PostgresColumn:
    if kind in _PLAIN:
        return PostgresColumn(name, _PLAIN[kind])
    for form, make in _FORMS:
        if match := form.fullmatch(kind):
            return make(name, match)
    return PostgresColumn(name, TEXT, cast="{}::text")


def _numeric(name: str, match: re.Match[str]) -> PostgresColumn:
    if match[1] and int(match[2]) <= MAX_DIGITS and 0 <= int(match[3]) <= int(match[2]):
        return PostgresColumn(name, f"decimal({match[2]}, {match[3]})", "{0} <> 'NaN'::numeric")
    whole = MAX_DIGITS - _DECIMALS
    return PostgresColumn(
        name,
        f"decimal({MAX_DIGITS}, {_DECIMALS})",
        f"CASE WHEN {{0}}::text IN ('NaN', 'Infinity', '-Infinity') THEN FALSE"
        f" ELSE abs({{0}}) < 1e{whole} AND {{0}} = round({{0}}, {_DECIMALS}) END",
        f"{{}}::numeric({MAX_DIGITS}, {_DECIMALS})",
    )


def _timestamp(name: str, match: re.Match[str]) -> PostgresColumn:
    zone = "'UTC', " if match[2] == "with" else ""
    limits = "{0} >= '0001-01-02' AND {0} < '9999-12-31'"  # a day off, for every time zone
    return PostgresColumn(name, f"timestamp({zone}6)", limits)


_FORMS: Sequence[tuple[re.Pattern[str], Callable[[str, re.Match[str]], PostgresColumn]]] = (
    (_TEXTS, lambda name, _: PostgresColumn(name, TEXT, cast="{}::text")),
    (_NUMERIC, _numeric),
    (_TIMESTAMP, _timestamp),
    (
        re.compile("date"),
        lambda name, _: PostgresColumn(name, "date", "{0} >= '0001-01-01' AND {0} <= '9999-12-31'"),
    ),
    (
        re.compile("money"),
        lambda name, _: PostgresColumn(name, "decimal(22, 4)", cast="{}::numeric(22, 4)"),
    ),
)
