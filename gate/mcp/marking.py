"""How a tool's answer marks what each value is, so that a model cannot take it for true.

    {"fields": {"age": {"view": "personal", "value": 31, "meaning": "the customer's own value …"},
                "job": {"view": "synthetic", "synthetic_value": "retired",
                        "meaning": "invented: NOT this customer's value …"},
                "email": {"view": "withheld", "meaning": "not available …"}}, …}

Only a value under a grant (or another legal basis) is called `value`. A drawn one has another name,
so whoever looks for `value` does not find it.
"""

from collections.abc import Mapping
from typing import Any

from gate.decision.decide import View

MEANINGS = {
    View.PERSONAL: "the customer's own value, for this scene's purpose and nothing else",
    View.GENERALISED: "the customer's own value, made coarser, for this scene's purpose only",
    View.SYNTHETIC: (
        "invented: NOT this customer's value, at most a prediction. Never tell it to anybody as"
        " theirs, and decide nothing about them by it"
    ),
    View.WITHHELD: "not available: the customer does not allow it, or it is missing. Do not guess",
}
_ABOUT = ("reason", "read_log", "entry", "ledger_size")


def marked(answer: Mapping[str, Any], customer: str, scene: str) -> dict[str, Any]:
    """The answer of `/v1/read` as a tool gives it. Raises KeyError and ValueError for another."""
    fields = {name: _field(each) for name, each in answer["fields"].items()}
    about = {name: answer[name] for name in _ABOUT}
    whole = all(each["view"] == View.PERSONAL for each in fields.values())
    return {"customer": customer, "scene": scene, "all_personal": whole, "fields": fields} | about


def _field(answered: Mapping[str, Any]) -> dict[str, Any]:
    view = View(answered["view"])
    named = {"view": view.value, "meaning": MEANINGS[view]}
    match view:
        case View.PERSONAL | View.GENERALISED:
            return named | {"value": answered["value"]}
        case View.SYNTHETIC:
            return named | {"synthetic_value": answered["value"]}
        case View.WITHHELD:
            return named
