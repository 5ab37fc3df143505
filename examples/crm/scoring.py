"""The score of one lead (M27), a pure function of what the gate answered.

    opened .1   clicked .3   replied .5   meeting .9   each time it happened
    +.2 once if the last message has a word about prices or contracts   1.0 at most

A drawn (synthetic) count is an estimate: it counts, and lowers the confidence. What is withheld
counts as nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from examples.crm import words
from sovereign_client import Generalised, Personal, Synthetic, Value, Withheld

MODEL, VERSION = "weights of interactions", "1.0"
TENTHS = {"mails_opened": 1, "links_clicked": 3, "replies": 5, "meetings": 9}
TERMS_TENTHS = 2
MESSAGE = "last_message"
FIELDS = (*TENTHS, MESSAGE)


@dataclass(frozen=True, slots=True)
class LeadScore:
    """`score`: 0 to 1. `confidence`: the share of the fields that were the customer's own, 0 to 1.

    `missing`: the names of the others. `used`: the customer's own values.
    """

    score: float
    confidence: float
    missing: tuple[str, ...]
    used: Mapping[str, Any]
    reasons: tuple[str, ...]


def score(fields: Mapping[str, Value]) -> LeadScore:
    """Always answers, whatever the views of `fields` are. It wants all of FIELDS."""
    used = {
        name: each.value
        for name, each in fields.items()
        if isinstance(each, Personal | Generalised)
    }
    missing = tuple(name for name in FIELDS if name not in used)
    parts = [*_parts(fields)]
    tenths = min(10, sum(tenths for tenths, _ in parts))
    reasons = [f"+{part / 10}: {why}" for part, why in parts]
    if missing:
        reasons.append(f"not the customer's own: {', '.join(missing)}")
    confidence = (len(FIELDS) - len(missing)) / len(FIELDS)
    return LeadScore(tenths / 10, confidence, missing, used, tuple(reasons or ["no interaction"]))


def _parts(fields: Mapping[str, Value]) -> Iterator[tuple[int, str]]:
    for name, tenths in TENTHS.items():
        if count := _value(fields[name]):
            yield tenths * max(0, int(count)), f"{name} {count}"
    if words.asks_for_terms(str(_value(fields[MESSAGE]) or "")):
        yield TERMS_TENTHS, "the last message has a word about prices or contracts"


def _value(value: Value) -> Any:
    match value:
        case Personal(own) | Generalised(own):
            return own
        case Synthetic(drawn):
            return drawn
        case Withheld():
            return None
