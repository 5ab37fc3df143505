"""A short executable model of who may sign: everything is derived from the whole history.

A history is a list of pairs: the JSON of a recorded instruction, and the id of the key that signed
it (base64), or None. Signatures are assumed to be valid; see specs/instruction.md.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from specs.vectors.vector import canonical

InstructionJson = dict[str, Any]
History = list[tuple[InstructionJson, str | None]]
SCENE_ACTS = {"granted", "withdrawn", "trigger-set", "trigger-cleared", "imported"}
WITHOUT_KEY = {"withdrawn", "recovery-requested", "recovery-cancelled", "key-recovered"}
WITHOUT_KEY |= {"mandate-ended", "source-deleted", "limited", "merged", "split", "renamed"}


def name(instruction: InstructionJson) -> str:
    return b64encode(sha256(canonical(instruction).encode()).digest()).decode()


def key_id(key: dict[str, Any]) -> str:
    return b64encode(sha256(b64decode(key["public"])).digest()).decode()


def keys(history: History) -> list[str]:
    """The ids of the active keys."""
    active: list[str] = []
    for number, (instruction, _) in enumerate(history):
        act = instruction["act"]
        if act["type"] in {"key-replaced", "key-removed"}:
            active = [each for each in active if each != act["old"]]
        if act["type"] in {"key-enrolled", "key-replaced"}:
            active = [*active, key_id(act["key"])]
        if act["type"] == "key-recovered":
            active = [key_id(waiting(history[:number])["act"]["key"])]
    return active


def waiting(history: History) -> InstructionJson:
    """The pending recovery request; empty if there is none."""
    for instruction, _ in reversed(history):
        if instruction["act"]["type"] in {"recovery-cancelled", "key-recovered"}:
            return {}
        if instruction["act"]["type"] == "recovery-requested":
            return instruction
    return {}


def mandates(history: History) -> dict[str, InstructionJson]:
    active: dict[str, InstructionJson] = {}
    for instruction, _ in history:
        if instruction["act"]["type"] == "mandate-given":
            active[name(instruction)] = instruction["act"]
        if instruction["act"]["type"] == "mandate-ended":
            active.pop(instruction["act"]["mandate"], None)
        if instruction["act"]["type"] == "key-recovered":
            active = {}
    return active


def threshold(history: History, trigger: InstructionJson) -> int | None:
    """The threshold of the active trigger with the same scene, template and signal, or None."""
    for instruction, _ in reversed(history):
        act = instruction["act"]
        same = all(act.get(part) == trigger[part] for part in ("scene", "template", "signal"))
        if same and act["type"] in {"trigger-set", "trigger-cleared"}:
            value: int | None = act.get("threshold")
            return value
    return None


def allowed(history: History, instruction: InstructionJson, signer: str | None, kind: str) -> bool:
    """Whether the instruction may be recorded.

    `kind`: of the key that signed, "passkey" or "browser"; without a signature "session".
    """
    classes = {"passkey": {"A"}, "browser": {"B"}, "session": {"C", "D"}}
    if instruction["evidence"] not in classes[kind] or not sensible(history, instruction):
        return False
    if signer is None:
        return "mandate" not in instruction and session(history, instruction["act"])
    if "mandate" in instruction:
        return mandated(history, instruction, signer)
    replaced = instruction["act"]["type"] == "key-replaced"
    return signer in keys(history) and (not replaced or signer == instruction["act"]["old"])


def session(history: History, act: InstructionJson) -> bool:
    """Whether a session suffices."""
    if not keys(history) or act["type"] in WITHOUT_KEY:
        return True
    current = threshold(history, act) if act["type"] == "trigger-set" else 0
    return act["type"] == "trigger-set" and current in {None, act["threshold"]}


def mandated(history: History, instruction: InstructionJson, signer: str) -> bool:
    given = mandates(history).get(instruction["mandate"])
    if given is None or instruction["act"]["type"] not in SCENE_ACTS:
        return False
    in_time = time(instruction["at"]) < time(given["until"])
    return (
        in_time
        and instruction["act"]["scene"] in given["scenes"]
        and signer == key_id(given["key"])
    )


def sensible(history: History, instruction: InstructionJson) -> bool:
    """Whether the keys, recovery or mandate that the act refers to exist."""
    act = instruction["act"]
    if "old" in act and act["old"] not in keys(history):
        return False
    return all(holds(history, instruction) for holds in SENSE.get(act["type"], ()))


def new(history: History, instruction: InstructionJson) -> bool:
    return key_id(instruction["act"]["key"]) not in keys(history)


def few_keys(history: History, _instruction: InstructionJson) -> bool:
    return len(keys(history)) < MAX_ACTIVE


def lost(history: History, instruction: InstructionJson) -> bool:
    """There is an active key, no recovery is pending, and this one waits for three days."""
    soonest = time(instruction["at"]) + timedelta(hours=72)
    return (
        bool(keys(history))
        and not waiting(history)
        and time(instruction["act"]["not_before"]) >= soonest
    )


def waits(history: History, instruction: InstructionJson) -> bool:
    request = waiting(history)
    return bool(request) and name(request) == instruction["act"]["request"]


def due(history: History, instruction: InstructionJson) -> bool:
    return time(instruction["at"]) >= time(waiting(history)["act"]["not_before"])


def worth_giving(history: History, instruction: InstructionJson) -> bool:
    ahead = time(instruction["at"]) < time(instruction["act"]["until"])
    return bool(instruction["act"]["scenes"]) and ahead and len(mandates(history)) < MAX_ACTIVE


def holds_still(history: History, instruction: InstructionJson) -> bool:
    return instruction["act"]["mandate"] in mandates(history)


MAX_ACTIVE = 20
SENSE: dict[str, tuple[Callable[[History, InstructionJson], bool], ...]] = {
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
