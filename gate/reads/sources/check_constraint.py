"""Reads the values that a check constraint allows a column: `CHECK (plan IN ('basic', 'plus'))`.

    SQLite, DuckDB   plan IN ('basic', 'plus')
    PostgreSQL       ((plan = ANY (ARRAY['basic'::text, 'plus'::text])))

A constraint of any other form says nothing here.
"""

import re
from collections.abc import Iterable

_TEXT = r"'(?:[^']|'')*'"
_NAME = r'"?([A-Za-z_][A-Za-z0-9_]*)"?'
_CAST = r"(?:::[a-z ]+(?:\([0-9]+\))?(?:\[\])?)?"
_LIST = re.compile(
    rf"\(?{_NAME}\)?{_CAST}\s+IN\s*\(\s*({_TEXT}(?:\s*,\s*{_TEXT})*)\s*\)", re.IGNORECASE
)
_ANY = re.compile(
    rf"\(?{_NAME}\)?{_CAST}\s*=\s*ANY\s*\(+\s*ARRAY\[({_TEXT}{_CAST}(?:\s*,\s*{_TEXT}{_CAST})*)\]",
    re.IGNORECASE,
)
_CHECK = re.compile(r"\bCHECK\s*\(", re.IGNORECASE)
_SPACED = re.compile(r"\s+(AND|OR)\s+", re.IGNORECASE)


def allowed(constraints: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The values by column, in the order of the constraint. `constraints`: SQL expressions."""
    found: dict[str, tuple[str, ...]] = {}
    for each in constraints:
        plain = re.sub(_TEXT, "''", each)
        if _SPACED.search(plain) or re.search(r"\bNOT\b", plain, re.IGNORECASE):
            continue  # the list alone is not what it allows
        if match := _LIST.search(each) or _ANY.search(each):
            texts = re.findall(_TEXT, match[2])
            found[match[1]] = tuple(text[1:-1].replace("''", "'") for text in texts)
    return found


def of_statement(sql: str) -> list[str]:
    """The check constraints of a CREATE TABLE statement, as expressions."""
    return [_bracketed(sql, match.end()) for match in _CHECK.finditer(sql)]


def _bracketed(sql: str, begin: int) -> str:
    """What stands between the bracket that was opened before `begin` and its end."""
    depth, place, quoted = 1, begin, False
    while place < len(sql) and depth:
        quoted ^= sql[place] == "'"
        depth += 0 if quoted else (sql[place] == "(") - (sql[place] == ")")
        place += 1
    return sql[begin : place - 1]
