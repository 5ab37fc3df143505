"""Complaints become cases, risky answers wait for a person, and what was approved is sent once.

    open      a person at the CRM answers        waiting   a draft is in the review queue
    sent      approved or edited, in the outbox  refused   nothing is sent

Nothing is ever sent without a person's decision, also where the review queue would not want one.
"""

import sqlite3
from pathlib import Path
from typing import Any

from examples.crm import database, words
from examples.crm.gate_calls import Desk

SERVICE = "customer-care"


def open_case(connection: sqlite3.Connection, event: str, customer: str, text: str) -> None:
    """Open a case for a text of bad mood, or one that asks for something risky."""
    mood, operation = words.mood(text), words.operation(text)
    if mood >= 0 and operation is None:
        return
    draft = operation and words.draft(operation, words.language(text))
    connection.execute(
        "INSERT INTO support_case VALUES (?, ?, ?, ?, ?, NULL, 'open')",
        (event, customer, mood, operation, draft),
    )


def run(folder: Path, desk: Desk) -> dict[str, int]:
    """Hand in new drafts, and carry out what was decided. Cases by state. Raises CallError."""
    for case in _cases(folder, "state = 'open' AND draft IS NOT NULL AND proposal IS NULL"):
        number = desk.propose(case["customer"], case["draft"], case["operation"])
        # If we crash here, the draft is handed in again: two wait, and one of them is sent.
        with database.writing(folder) as connection:
            connection.execute(
                "UPDATE support_case SET proposal = ?, state = ? WHERE event = ?",
                (number, "open" if number is None else "waiting", case["event"]),
            )
    for case in _cases(folder, "state = 'waiting'"):
        decision = desk.reviewed(case["customer"], case["proposal"])
        if decision is not None:
            _carry_out(folder, case, decision["text"])
    with database.reading(folder) as connection:
        rows = connection.execute("SELECT state, count(*) FROM support_case GROUP BY state")
        return {str(state): int(count) for state, count in rows}


def _carry_out(folder: Path, case: sqlite3.Row, text: Any) -> None:
    """One transaction, and the proposal's number is the outbox's key: a letter leaves once."""
    with database.writing(folder) as connection:
        changed = connection.execute(
            "UPDATE support_case SET state = ? WHERE event = ? AND state = 'waiting'",
            ("refused" if text is None else "sent", case["event"]),
        )
        if changed.rowcount and text is not None:
            letter = (case["proposal"], case["customer"], str(text))
            connection.execute("INSERT INTO outbox VALUES (?, ?, ?)", letter)


def _cases(folder: Path, where: str) -> list[sqlite3.Row]:
    with database.reading(folder) as connection:
        query = f"SELECT * FROM support_case WHERE {where} ORDER BY event"  # noqa: S608 - constant
        return connection.execute(query).fetchall()
