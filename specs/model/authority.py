"""Who may say what, in obvious lines: everything is found anew in the whole history.

A history is a list of pairs: the JSON of an instruction that was recorded, and the id of the key
that signed it (base64), or None. Signatures themselves are taken as good; see specs/instruction.md.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from specs.vectors.vector import canonical

Said = dict[str, Any]
History = list[tuple[Said, str | None]]
SCENE_ACTS = {"granted", "withdrawn", "trigger-set", "trigger-cleared", "imported"}
WITHOUT_KEY = {"withdrawn", "recovery-requested", "recovery-cancelled", "key-recovered"}
WITHOUT_KEY |= {"mandate-ended"}


def name(said: Said) -> str:
    return b64encode(sha256(canonical(said).encode()).digest()).decode()


def key_id(key: dict[str, Any]) -> str:
    return b64encode(sha256(b64decode(key["public"])).digest()).decode()


def keys(history: History) -> list[str]:
    """In force, by id."""
    found: list[str] = []
    for number, (said, _) in enumerate(history):
        act = said["act"]
        if act["type"] in {"key-replaced", "key-removed"}:
            found = [each for each in found if each != act["old"]]
        if act["type"] in {"key-enrolled", "key-replaced"}:
            found = [*found, key_id(act["key"])]
        if act["type"] == "key-recovered":
            found = [key_id(waiting(history[:number])["act"]["key"])]
    return found


def waiting(history: History) -> Said:
    """The request of a recovery that waits; an empty one if none does."""
    for said, _ in reversed(history):
        if said["act"]["type"] in {"recovery-cancelled", "key-recovered"}:
            return {}
        if said["act"]["type"] == "recovery-requested":
            return said
    return {}


def mandates(history: History) -> dict[str, Said]:
    found: dict[str, Said] = {}
    for said, _ in history:
        if said["act"]["type"] == "mandate-given":
            found[name(said)] = said["act"]
        if said["act"]["type"] == "mandate-ended":
            found.pop(said["act"]["mandate"], None)
        if said["act"]["type"] == "key-recovered":
            found = {}
    return found


def threshold(history: History, trigger: Said) -> int | None:
    """Of the trigger in force on the same scene, template and signal."""
    for said, _ in reversed(history):
        act = said["act"]
        same = all(act.get(part) == trigger[part] for part in ("scene", "template", "signal"))
        if same and act["type"] in {"trigger-set", "trigger-cleared"}:
            found: int | None = act.get("threshold")
            return found
    return None


def allowed(history: History, said: Said, signer: str | None, kind: str) -> bool:
    """`kind`: of the key that signed, "passkey" or "browser"; of none, "session"."""
    classes = {"passkey": {"A"}, "browser": {"B"}, "session": {"C", "D"}}
    if said["evidence"] not in classes[kind] or not sensible(history, said):
        return False
    if signer is None:
        return "mandate" not in said and session(history, said["act"])
    if "mandate" in said:
        return mandated(history, said, signer)
    replaced = said["act"]["type"] == "key-replaced"
    return signer in keys(history) and (not replaced or signer == said["act"]["old"])


def session(history: History, act: Said) -> bool:
    """Whether a session suffices."""
    if not keys(history) or act["type"] in WITHOUT_KEY:
        return True
    held = threshold(history, act) if act["type"] == "trigger-set" else 0
    return act["type"] == "trigger-set" and held in {None, act["threshold"]}


def mandated(history: History, said: Said, signer: str) -> bool:
    given = mandates(history).get(said["mandate"])
    if given is None or said["act"]["type"] not in SCENE_ACTS:
        return False
    in_time = time(said["at"]) < time(given["until"])
    return in_time and said["act"]["scene"] in given["scenes"] and signer == key_id(given["key"])


def sensible(history: History, said: Said) -> bool:
    """Whether there is what the act is about."""
    act = said["act"]
    if "old" in act and act["old"] not in keys(history):
        return False
    return all(holds(history, said) for holds in SENSE.get(act["type"], ()))


def new(history: History, said: Said) -> bool:
    return key_id(said["act"]["key"]) not in keys(history)


def few_keys(history: History, _said: Said) -> bool:
    return len(keys(history)) < MAX_ACTIVE


def lost(history: History, said: Said) -> bool:
    """There is a key to lose, nothing waits yet, and this would wait for three days."""
    soonest = time(said["at"]) + timedelta(hours=72)
    return (
        bool(keys(history)) and not waiting(history) and time(said["act"]["not_before"]) >= soonest
    )


def waits(history: History, said: Said) -> bool:
    request = waiting(history)
    return bool(request) and name(request) == said["act"]["request"]


def due(history: History, said: Said) -> bool:
    return time(said["at"]) >= time(waiting(history)["act"]["not_before"])


def worth_giving(history: History, said: Said) -> bool:
    ahead = time(said["at"]) < time(said["act"]["until"])
    return bool(said["act"]["scenes"]) and ahead and len(mandates(history)) < MAX_ACTIVE


def holds_still(history: History, said: Said) -> bool:
    return said["act"]["mandate"] in mandates(history)


MAX_ACTIVE = 20
SENSE: dict[str, tuple[Callable[[History, Said], bool], ...]] = {
    "key-enrolled": (new, few_keys),
    "key-replaced": (new,),
    "recovery-requested": (new, lost),
    "recovery-cancelled": (waits,),
    "key-recovered": (waits, due),
    "mandate-given": (worth_giving,),
    "mandate-ended": (holds_still,),
}


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)
