"""The state document: a customer's state as canonical JSON, whose salted hash is in the map.

    {"head":"<base64>","scenes":{"segmentation":{"at":"2026-11-21T12:00:00Z","fields":["age"],
     "index":7,"until":null}},"seq":1,"subject":"c-00001","triggers":{}}

A withdrawn scene has `"fields":null`. `"deleted":{"at":…,"index":…}` is added if the company
deleted the customer at its source. For a customer with keys of their own, the members "keys",
"mandates" and "recovery" are added, each only if there are any. Anyone who has the customer's
instructions computes the same document with `ledger.events.reducer`: see specs/statemap.md,
"State".
"""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from ledger.events import authority
from ledger.events.authority import EMPTY_AUTHORITY
from ledger.events.reducer import ActiveTrigger, ConsentState, SceneConsent, SceneWithdrawal


def document(state: ConsentState) -> dict[str, Any]:
    """The state as JSON without floats. Equal states have equal documents."""
    document: dict[str, Any] = {
        "head": b64encode(state.head).decode(),
        "scenes": {scene: _scene(consent) for scene, consent in state.scenes.items()},
        "seq": state.seq,
        "subject": state.subject,
        "triggers": {
            scene: _triggers(active) for scene, active in state.triggers.items() if active
        },
    }
    if (deleted := state.deleted) is not None:
        document["deleted"] = {"at": _time(deleted.at), "index": deleted.index}
    return (
        document
        if state.authority is EMPTY_AUTHORITY
        else document | authority.document(state.authority)
    )


def _scene(consent: SceneConsent | SceneWithdrawal) -> dict[str, Any]:
    match consent:
        case SceneConsent(fields, until, at, index):
            end = None if until is None else _time(until)
            return {"at": _time(at), "fields": sorted(fields), "index": index, "until": end}
        case SceneWithdrawal(at, index):
            return {"at": _time(at), "fields": None, "index": index, "until": None}


def _triggers(triggers: tuple[ActiveTrigger, ...]) -> list[dict[str, Any]]:
    ordered = sorted(triggers, key=lambda trigger: (trigger.template, trigger.signal))
    return [{"signal": t.signal, "template": t.template, "threshold": t.threshold} for t in ordered]


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
