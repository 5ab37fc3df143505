"""Scores customers in bulk, explains decisions, and forgets what it may no longer know (M27)."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from examples.crm import database, scoring
from examples.crm.gate_calls import Desk
from examples.crm.scoring import LeadScore
from sovereign_client import Client

SCENE, SERVICE, PURPOSE = "lead-scoring", "lead-desk", "CustomerRelationshipManagement"
HOT = 0.5  # from here on the sales desk calls, which is a decision about the customer
OUTCOME = "the sales desk answers first"
MAX_INPUT = 2000  # characters of a text among the inputs of an explained decision


def run(folder: Path, gate: Client, desk: Desk, customers: Sequence[str]) -> dict[str, LeadScore]:
    """Score these customers, at most 10,000. Raises GateError and CallError."""
    forget(folder, gate)
    scores = {}
    with gate.named(SCENE, customers, scoring.FIELDS, purpose=PURPOSE) as rows:
        for row in rows:
            scores[row.customer] = scoring.score(row.fields)
    decisions = dict(_decisions(gate, desk, scores))
    with database.writing(folder) as connection:
        for customer, score in scores.items():
            _store(connection, customer, score, decisions.get(customer))
    return scores


def forget(folder: Path, gate: Client) -> int:
    """Follow the gate's changes from where the last run stopped; how many scores were deleted."""
    with database.reading(folder) as connection:
        row = connection.execute("SELECT token FROM feed").fetchone()
        stored = [each["customer"] for each in connection.execute("SELECT customer FROM lead")]
    token, gone = row["token"] if row else None, set[str]()
    for change in gate.changes(token):
        if change.do == "forget" and change.scene in {None, SCENE}:
            gone |= {*filter(change.concerns, stored)}
        token = change.token
    with database.writing(folder) as connection:
        connection.executemany("DELETE FROM lead WHERE customer = ?", [(c,) for c in gone])
        connection.execute("INSERT OR REPLACE INTO feed VALUES (1, ?)", (token,))
    return len(gone)


def _decisions(gate: Client, desk: Desk, scores: dict[str, LeadScore]) -> Iterator[tuple[str, int]]:
    """Explain each decision by a read of that customer alone, which their page can show."""
    for customer in [each for each, score in scores.items() if score.score >= HOT]:
        answer = gate.read(SCENE, customer, scoring.FIELDS, purpose=PURPOSE)
        score = scores[customer] = scoring.score(answer.fields)
        if score.score < HOT or not score.used:  # withdrawn meanwhile, or a guess alone
            continue
        cut = {k: v[:MAX_INPUT] if isinstance(v, str) else v for k, v in score.used.items()}
        yield (
            customer,
            desk.explain(
                {
                    "subject": customer,
                    "outcome": f"{OUTCOME} (score {score.score})",
                    "inputs": cut,
                    "reasons": [*score.reasons],
                    "model": scoring.MODEL,
                    "model_version": scoring.VERSION,
                    "read_log": answer.read_log,
                    "entry": answer.entry,
                }
            ),
        )


def _store(
    connection: sqlite3.Connection, customer: str, score: LeadScore, decision: int | None
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO lead VALUES (?, ?, ?, ?, ?, ?)",
        (
            customer,
            score.score,
            score.confidence,
            json.dumps(score.used, ensure_ascii=False),
            json.dumps(score.missing),
            decision,
        ),
    )
