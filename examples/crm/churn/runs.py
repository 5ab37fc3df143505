"""Trains the churn model and reports its accuracy: what a schedule starts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from examples.crm.churn import model as churn
from examples.crm.churn import report
from examples.crm.churn.model import ChurnDataError, ChurnModel
from examples.crm.gate_calls import Desk
from sovereign_client import Client, Personal

SCENE, SERVICE, PURPOSE = "leaving-risk", "care-team", "CustomerRelationshipManagement"
SIGNAL = "leaving-model-accuracy"
FILE = "churn.json"


class _Listed(msgspec.Struct, frozen=True):
    """What training needs of a manifest (specs/manifest.md)."""

    model: str
    scene: str
    fields: list[str]
    entries: list[tuple[int, str]]


def train(folder: Path, gate: Client, manifest: Path) -> ChurnModel:
    """Train on the customers who allow it now, and store the model.

    `manifest`: made by `sovereign manifest make NAME --scene leaving-risk` just before. It names
    nobody, so the number of customers is what can be compared. Raises ChurnDataError and GateError.
    """
    body = manifest.read_bytes()
    try:
        listed = msgspec.json.decode(body, type=_Listed)
    except msgspec.DecodeError as error:
        raise ChurnDataError(f"{manifest}: want a manifest: {error}") from error
    if listed.scene != SCENE or not {*churn.FIELDS} <= {*listed.fields}:
        raise ChurnDataError(f"{manifest}: want a manifest of {SCENE} with all of {churn.FIELDS}")
    rows, entries = _rows(gate), len(listed.entries)
    if len(rows) != entries:
        raise ChurnDataError(
            f"{manifest}: lists {entries} customers, the gate answers {len(rows)}: make it again"
        )
    used = [row for customer, row in rows.items() if not churn.held_out(customer)]
    digest = sha256(body).hexdigest()
    made = ChurnModel(listed.model, digest, entries, len(used), churn.weights(used))
    (folder / FILE).write_bytes(msgspec.json.encode(made))
    return made


def evaluate(folder: Path, gate: Client, desk: Desk, key: Path) -> int:
    """Evaluate the stored model with customers it was not trained on, and report the accuracy.

    In ten-thousandths. Raises ChurnDataError, SignalKeyError, GateError and CallError.
    """
    try:
        model = msgspec.json.decode((folder / FILE).read_bytes(), type=ChurnModel)
    except (OSError, msgspec.DecodeError) as error:
        raise ChurnDataError(f"{folder / FILE}: want a trained model: {error}") from error
    rows = [row for customer, row in _rows(gate).items() if churn.held_out(customer)]
    accuracy = churn.accuracy(model, rows)
    desk.report(report.signed(SIGNAL, accuracy, datetime.now(UTC), key))
    return accuracy


def _rows(gate: Client) -> dict[str, Mapping[str, Any]]:
    """The customers who allow all fields, and nobody else. What is not personal is left out."""
    with gate.rows(SCENE, churn.FIELDS, purpose=PURPOSE) as rows:
        return {
            row.customer: {name: each.value for name, each in own.items()}
            for row in rows
            if (own := _own(row.fields)) is not None
        }


def _own(fields: Mapping[str, Any]) -> Mapping[str, Personal] | None:
    own = {name: each for name, each in fields.items() if isinstance(each, Personal)}
    return own if len(own) == len(fields) else None
