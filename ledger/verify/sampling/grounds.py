"""What an opened answer rests on: a plan that was announced, and an instruction that allows it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import product
from typing import Any

from ledger.vault import commitments
from ledger.verify.event_profile import ProfileError, require_event
from ledger.verify.read_log_entry import OWN
from ledger.verify.sampling.population import ConsentActs
from ledger.verify.times.from_log import moment

PERSONAL = "personal"
UNKNOWN_SCENE = "unknown-scene"
# Reasons of answers that rest on an instruction of the customer.
_RESTING = frozenset(
    {"expired", "field-not-granted", "frozen", "granted", "lapsed", "objected", "withdrawn"}
)
_OF_CONSENT = frozenset({"granted", "field-not-granted", "legitimate-interest"})


def plan_finding(entry: Mapping[str, Any], size: int, consent: ConsentActs) -> str | None:
    """What is wrong with the plan that an entry names; `size`: its position in the consent log."""
    if entry["action"] == OWN:  # read_log_entry.parse: it names no service, scene or plan
        return None
    if entry["plan"] == "":
        refused = entry["reason"] == UNKNOWN_SCENE and not entry["views"]
        return None if refused else "it names no plan, and is no refusal of an unknown scene"
    for grounds in _plans(entry["service"], entry["scene"], size, consent):
        if sha256("\n".join(grounds).encode()).hexdigest() == entry["plan"]:
            return None
    return "its plan follows from no policy, contract and release that were announced by then"


def _plans(service: str, scene: str, size: int, consent: ConsentActs) -> Iterator[Sequence[str]]:
    """What each plan of a service in a scene rests on, as gate.policy.compiled hashes it."""
    before = [each.event for each in consent.acts if each.index < size]
    policies = _named(consent, "policy-published")
    contracts = [e["digest"] for e in _of(before, "scene-published", scene)]
    releases = [e["release"] for e in _of(before, "synthetic-released", scene)]
    anchors = [e["release"] for e in before if e["type"] == "synthetic-released"]
    for policy, contract in product(policies[::-1], contracts[::-1]):
        for release in ("None", *releases[::-1]):
            yield policy, contract, service, release
            for anchor in anchors[::-1]:  # also of a scene for statistics
                yield policy, contract, service, release, anchor


def _named(consent: ConsentActs, kind: str) -> list[str]:
    return [each.event["digest"] for each in consent.acts if each.event["type"] == kind]


def _of(events: Sequence[Mapping[str, Any]], kind: str, scene: str) -> Iterator[Mapping[str, Any]]:
    return (e for e in events if e["type"] == kind and e["scene"] == scene)


def position_finding(
    entry: Mapping[str, Any], position: int | None, size: int, consent: ConsentActs
) -> str | None:
    """What is wrong with the entry of the consent log that an answer rests on.

    `size`: the position of the answer in the consent log. Raises UnreadableError.
    """
    if position is None:
        resting = entry["views"] and entry["reason"] in _RESTING
        return f"{entry['reason']}, and it rests on no instruction" if resting else None
    if not entry["views"]:
        return f"it is refused, and rests on entry {position}"
    if position >= size:
        return f"it rests on entry {position} of a consent log of {size} entries"
    if not consent.entry(position).startswith(commitments.PERSONAL):
        return f"it rests on entry {position}, which is no instruction of a customer"
    return None


def instruction_finding(
    entry: Mapping[str, Any], position: int, shown: Mapping[str, Any], consent: ConsentActs
) -> str | None:
    """What is wrong with an instruction as the ground of an answer. Raises UnreadableError."""
    event, opening = shown["event"], _opening(shown)
    try:
        require_event(event)
        leaf = commitments.personal_entry(opening, commitments.canonical(event))
    except (ProfileError, ValueError) as error:
        return f"the instruction of entry {position}: {error}"
    if leaf != consent.entry(position):
        return f"entry {position} of the consent log is another instruction than the one shown"
    act = event["act"]
    if act.get("scene", entry["scene"]) != entry["scene"]:
        return f"the instruction of entry {position} is about {act['scene']}"
    personal = {name for name, view in entry["views"].items() if view == PERSONAL}
    if not personal or entry["reason"] not in _OF_CONSENT:
        return None
    denied = _denied(act, personal, entry)
    return None if denied is None else f"the instruction of entry {position} {denied}"


def _denied(act: Mapping[str, Any], personal: set[str], entry: Mapping[str, Any]) -> str | None:
    """Why an act does not allow the personal fields of an entry; None: it may."""
    look: Callable[[], str | None] | None = {
        "granted": lambda: _beyond(act, personal, entry),
        "imported": lambda: _beyond(act, personal, entry),
        "limited": lambda: _beyond(act, personal, entry),
        "withdrawn": lambda: _withdrawn(act, personal),
        "source-deleted": lambda: "deletes the customer at the source",
    }.get(act["type"])
    return None if look is None else look()


def _beyond(act: Mapping[str, Any], personal: set[str], entry: Mapping[str, Any]) -> str | None:
    if more := sorted(personal - {*act["fields"]}):
        return f"does not allow {', '.join(more)}"
    until = act.get("until")
    if until is not None and moment(entry["at"]) >= moment(until):
        return f"ended at {until}, before the answer of {entry['at']}"
    return None


def _withdrawn(act: Mapping[str, Any], personal: set[str]) -> str | None:
    fields = act.get("fields")
    taken = personal if fields is None else personal & {*fields}
    return f"withdraws {', '.join(sorted(taken))}" if taken else None


def _opening(shown: Mapping[str, Any]) -> commitments.Opening:
    return commitments.Opening(bytes.fromhex(shown["tag"]), bytes.fromhex(shown["salt"]))
