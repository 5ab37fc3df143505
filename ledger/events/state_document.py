"""What a customer has in force, as the canonical document whose salted hash stands in the map.

    {"head":"<base64>","scenes":{"segmentation":{"at":"2026-11-21T12:00:00Z","fields":["age"],
     "index":7,"until":null}},"seq":1,"subject":"c-00001","triggers":{}}

A withdrawn scene has `"fields":null`. Of a customer whose own keys sign there stand also, as far
as there are any, "keys", "mandates" and "recovery".
Whoever has the customer's instructions folds them with `ledger.events.reducer` and finds the same
document: see specs/statemap.md, "State".
"""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from ledger.events import authority
from ledger.events.authority import NOBODY
from ledger.events.reducer import ActiveTrigger, ConsentState, SceneConsent, SceneWithdrawal


def document(state: ConsentState) -> dict[str, Any]:
    """JSON without floats; equal states have equal documents."""
    document: dict[str, Any] = {
        "head": b64encode(state.head).decode(),
        "scenes": {scene: _scene(held) for scene, held in state.scenes.items()},
        "seq": state.seq,
        "subject": state.subject,
        "triggers": {scene: _triggers(held) for scene, held in state.triggers.items() if held},
    }
    return document if state.authority is NOBODY else document | authority.document(state.authority)


def _scene(held: SceneConsent | SceneWithdrawal) -> dict[str, Any]:
    match held:
        case SceneConsent(fields, until, at, index):
            end = None if until is None else _time(until)
            return {"at": _time(at), "fields": sorted(fields), "index": index, "until": end}
        case SceneWithdrawal(at, index):
            return {"at": _time(at), "fields": None, "index": index, "until": None}


def _triggers(held: tuple[ActiveTrigger, ...]) -> list[dict[str, Any]]:
    found = sorted(held, key=lambda trigger: (trigger.template, trigger.signal))
    return [{"signal": t.signal, "template": t.template, "threshold": t.threshold} for t in found]


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
