"""Answers all open conversations of a role, and carries out what a person decided.

open      no answer yet                 draft     not of high risk: a person at the CRM sends it
waiting   in the review queue           closed    the customer's message may not be read
sent      approved or edited, in the outbox       refused   nothing is sent
"""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.crm import database
from examples.crm.agents import conversation
from examples.crm.agents.conversation import AgentAnswer
from examples.crm.agents.gate_tools import GateTools, connected
from examples.crm.agents.model import Model
from examples.crm.agents.roles import AgentRole


async def run(
    folder: Path, gate: str, token: str, role: AgentRole, model: Model
) -> Mapping[str, int]:
    """Conversations of the role by state. Raises ModelError and AgentGateError."""
    async with connected(gate, token) as tools:
        for each in _rows(folder, role, "open"):
            done = await conversation.answer(tools, model, role, each["customer"])
            # If we crash here, the text is handed in again: two wait, and one of them is sent.
            store(folder, each["event"], model, done)
        for each in _rows(folder, role, "waiting"):
            await _carry_out(folder, tools, each)
    with database.reading(folder) as connection:
        counted = connection.execute(
            "SELECT state, count(*) FROM conversation WHERE role = ? GROUP BY state", (role.name,)
        )
        return {str(state): int(count) for state, count in counted}


def store(folder: Path, event: str, model: Model, done: AgentAnswer) -> None:
    """Record an answer with every call that was made for it."""
    state = "waiting" if done.proposal is not None else "draft" if done.text else "closed"
    values = (state, done.text, done.proposal, done.decision, model.name, done.tokens, event)
    calls = [
        (event, number, each.tool, json.dumps(dict(each.arguments)), each.refused, each.entry)
        for number, each in enumerate(done.calls)
    ]
    with database.writing(folder) as connection:
        connection.execute(
            "UPDATE conversation SET state = ?, text = ?, proposal = ?, decision = ?, model = ?,"
            " tokens = ? WHERE event = ?",
            values,
        )
        connection.executemany("INSERT INTO agent_call VALUES (?, ?, ?, ?, ?, ?)", calls)


async def _carry_out(folder: Path, tools: GateTools, each: sqlite3.Row) -> None:
    """One transaction, and the proposal's number is the outbox's key: a letter leaves once."""
    asked = {"customer": each["customer"], "number": each["proposal"]}
    decided: dict[str, Any] = await tools.required("review_of_action", asked)
    if not decided["decided"]:
        return
    text = decided["text"]
    with database.writing(folder) as connection:
        changed = connection.execute(
            "UPDATE conversation SET state = ? WHERE event = ? AND state = 'waiting'",
            ("refused" if text is None else "sent", each["event"]),
        )
        if changed.rowcount and text is not None:
            letter = (each["proposal"], each["customer"], str(text))
            connection.execute("INSERT INTO outbox VALUES (?, ?, ?)", letter)


def _rows(folder: Path, role: AgentRole, state: str) -> list[sqlite3.Row]:
    query = "SELECT * FROM conversation WHERE role = ? AND state = ? ORDER BY event"
    with database.reading(folder) as connection:
        return connection.execute(query, (role.name, state)).fetchall()
