"""Versions of a customer's contact items, and what happens if two systems write at once (M18, M23).

Every write is stored as a version of its own. A writer states the version it saw; if another was
written since, with another value, the two conflict. The company's source contract says whose value
counts: `{property: conflict, value: [contact-registry, care-desk]}`, the first system wins. An item
without such a rule keeps its value, and the conflict stays open for a person.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ITEM = "phone"


@dataclass(frozen=True, slots=True)
class Written:
    """A value as one system wrote it. `seen`: the version that its writer knew."""

    customer: str
    system: str
    value: str
    seen: int
    event: str


class ContactError(ValueError):
    """The write contradicts what is stored. Nothing was written."""


def write(connection: sqlite3.Connection, new: Written, rule: list[str]) -> None:
    """Store a value as the next version, and decide which one the gate will read."""
    last = latest(connection, new.customer)
    if new.seen > last:
        raise ContactError(f"version {new.seen} of {ITEM} was never written, the last is {last}")
    version = last + 1
    connection.execute(
        "INSERT INTO contact_write VALUES (?, ?, ?, ?, ?, ?, ?)",
        (new.customer, ITEM, version, new.system, new.value, new.seen, new.event),
    )
    counts: int | None = version
    if _contradicted(connection, new):
        counts = _winner(connection, new, rule)
        connection.execute(
            "INSERT INTO conflict VALUES (?, ?, ?, ?)", (new.customer, ITEM, version, counts)
        )
    if counts is not None:
        connection.execute(
            "UPDATE contact SET phone = (SELECT value FROM contact_write"
            " WHERE customer = ? AND item = ? AND version = ?) WHERE subscriber = ?",
            (new.customer, ITEM, counts, new.customer),
        )


def latest(connection: sqlite3.Connection, customer: str) -> int:
    """The last version of a customer's telephone number; 0: as the company's table had it."""
    query = "SELECT coalesce(max(version), 0) FROM contact_write WHERE customer = ? AND item = ?"
    (version,) = connection.execute(query, (customer, ITEM)).fetchone()
    return int(version)


def rule_of(company: Path) -> list[str]:
    """The systems that keep the item, the one that wins first; empty: the contract has no rule."""
    (path,) = (company / "sources").glob("*.odcs.yaml")
    for table in yaml.safe_load(path.read_text("utf-8"))["schema"]:
        for item in table["properties"]:
            if item["name"] == ITEM:
                extra: list[dict[str, Any]] = item["customProperties"]
                return [
                    s for each in extra if each["property"] == "conflict" for s in each["value"]
                ]
    raise ContactError(f"{path}: no item {ITEM}")


def _contradicted(connection: sqlite3.Connection, new: Written) -> bool:
    """Whether another value was written since the version that the writer saw."""
    query = (
        "SELECT count(*) FROM contact_write WHERE customer = ? AND item = ? AND version > ?"
        " AND value <> ?"
    )
    (others,) = connection.execute(query, (new.customer, ITEM, new.seen, new.value)).fetchone()
    return bool(others)


def _winner(connection: sqlite3.Connection, new: Written, rule: list[str]) -> int | None:
    """The last version, among those in conflict, of the first system of the rule."""
    query = (
        "SELECT system, max(version) FROM contact_write WHERE customer = ? AND item = ?"
        " AND version > ? GROUP BY system"
    )
    found = dict(connection.execute(query, (new.customer, ITEM, new.seen)).fetchall())
    return next((found[system] for system in rule if system in found), None)
