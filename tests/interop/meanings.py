"""Why a changed case may be accepted: what a verifier relies on is what a valid case says."""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from ledger.statemap import transition
from ledger.statemap.transition import MalformedTransitionError
from ledger.tlog import policy, signed_note
from ledger.tlog.policy import CosignerKey, LogKey
from specs.vectors.signing import W1, W2, W3
from tests.ledger.targets import VECTORS

Case = dict[str, Any]
MADE = "signed by the company, and of the profile"
SAME = "it says what a valid one says"
# What makes a case of these kinds is in them whole: nothing else may be accepted.
MEMBERS: dict[str, tuple[str, ...]] = {  # what is changed, and how often
    "receipt": ("receipt",),
    "bound": ("proof",) * 6 + ("subject", "map_key", "keys"),
    "range": ("note", "note", "keys"),
    "order": ("note", "note", "keys"),
    "inclusion": ("proof", "proof", "leaf", "root", "index", "size"),
    "vrf": ("proof", "proof", "key", "alpha", "output"),
    "policy": ("policy",) * 3 + ("note",),
    "believed": ("policy", "receipt"),
    "cosignature": ("note", "note", "key", "time"),
    "signatures": ("note", "note", "keys"),
    "transition": ("transitions",) * 4
    + ("states", "consent", "states_note", "consent_note", "keys"),
    "evidence": ("evidence",) * 5 + ("policies",),
}


def _vectors(name: str) -> list[Case]:
    cases = json.loads((VECTORS / f"{name}.json").read_text())
    return [each for each in cases if each["mutation"] is None]


VALID: dict[str, list[Case]] = {
    "receipt": [each for each in _vectors("receipt") if each["policy"].count("\n") == 2],
    "bound": _vectors("bound"),
    "range": _vectors("range"),
    "order": _vectors("order"),
    "inclusion": _vectors("inclusion"),
    "vrf": _vectors("vrf"),
    "policy": _vectors("policy"),
    "believed": _vectors("receipt"),
    "cosignature": _vectors("cosignature"),
    "signatures": _vectors("note") + _vectors("mldsa"),
    "transition": _vectors("transition"),
    "evidence": [each for each in _vectors("evidence") if not each["case"].startswith("policies")],
}


def permitted(kind: str, case: Case, origin: str) -> str | None:
    """Why the case may be accepted, `origin` being how it was made; None: it must not be."""
    if origin.startswith("made"):
        return MADE
    if kind in _READ:
        return _READ[kind](case)
    meaning = _meaning(kind, case)
    return SAME if meaning in [_meaning(kind, each) for each in VALID[kind]] else None


def _meaning(kind: str, case: Case) -> object:
    """What a verifier relies on: signatures that nobody asked for say nothing."""
    if kind == "receipt":
        return case["policy"], _unsigned(case["receipt"], log_keys(case["policy"]))
    if kind == "bound":
        keys = "\n".join(case["keys"])
        line = case["map_key"].split()[:-1]  # a number that is not later is as good
        return case["subject"], keys, line, _unsigned(case["proof"], keys)
    if kind in ("range", "order"):
        keys = "\n".join(
            sorted({each.split()[0] for each in case["keys"] if each.split()})
        )  # sizes may vary
        return keys, _unsigned(case["note"], keys)
    # The size of a tree is signed, not proven: some paths are those of two sizes.
    return json.dumps({name: case[name] for name in {*MEMBERS[kind]} - {"size"}}, sort_keys=True)


def log_keys(policy: str) -> str:
    words = [line.split(" ") for line in policy.splitlines()]
    return "\n".join(line[1] for line in words if line[0] == "log")


def _unsigned(text: str, keys: str) -> tuple[str, frozenset[str]]:
    body, _, lines = text.rpartition("\n\n")
    names = {line.split("+")[0] for line in keys.split("\n")}
    return body, frozenset(each for each in lines.split("\n") if _asked(each, names, keys))


def _asked(line: str, names: set[str], keys: str) -> bool:
    words = line.split(" ")
    if len(words) != 3 or words[1] not in names:
        return False
    signature = signed_note.decode_base64(words[2])
    return f"{words[1]}+{signature[:4].hex()}+" in keys


# A policy says whose signatures are needed: fewer may be asked for, and others may be there. What
# was signed is a text of a valid case, by lines of valid cases, and only keys of one count.


def _policy(case: Case) -> str | None:
    return _trusts([case["policy"]], [case["note"]], "policy", "note")


def _believed(case: Case) -> str | None:
    return _trusts([case["policy"]], [case["receipt"]], "believed", "receipt")


def _trusts(policies: list[str], texts: list[str], kind: str, member: str) -> str | None:
    keys = {str(key) for each in policies for key in _keys(each)}
    wanted = [_unsigned(each, "\n".join(keys)) for each in texts]
    good = all(body in _bodies(kind, member) and asked <= LINES for body, asked in wanted)
    return "it trusts no other key and no other text" if good and keys <= KEYS else None


def _keys(text: str) -> Iterator[LogKey | CosignerKey]:
    read = policy.parse(text.encode())
    yield from read.logs
    yield from read.witnesses.values()


@cache
def _bodies(kind: str, member: str) -> frozenset[str]:
    return frozenset(each[member].rpartition("\n\n")[0] for each in VALID[kind])


def _cosignature(case: Case) -> str | None:
    told = [_unsigned(case["note"], case["key"]), case["time"], case["key"]]
    valid = [
        [_unsigned(each["note"], each["key"]), each["time"], each["key"]]
        for each in VALID["cosignature"]
    ]
    return SAME if told in valid else None


def _signatures(case: Case) -> str | None:
    body, asked = _unsigned(case["note"], "\n".join(case["keys"]))
    good = body in _bodies("signatures", "note") and asked <= LINES
    return SAME if good and {*case["keys"]} <= KEYS else None


def _transition(case: Case) -> str | None:
    return SAME if _changes(case) in [_changes(each) for each in VALID["transition"]] else None


def _changes(case: Case) -> object:
    """What changed up to the last entry; records of later ones, and empty ones, say nothing."""
    records, last = list[tuple[int, bytes]](), len(case["states"])
    try:
        for index, data in transition.read(io.BytesIO(bytes.fromhex(case["transitions"]))):
            records += [(index, data)] if index < last and data not in (b"", b"\x01") else []
    except MalformedTransitionError:
        pass  # after the last that was needed: nobody reads on
    notes = [
        _unsigned(case[name], key)
        for name, key in zip(("states_note", "consent_note"), case["keys"], strict=True)
    ]
    return case["states"], case["consent"], case["keys"], notes, records


def _evidence(case: Case) -> str | None:
    """All that was said is as it was. About which instruction it is, what is kept, and which way
    leads to the keys, may differ: the keys are those that signed."""
    members = json.loads(case["evidence"])
    keys = {str(key) for each in case["policies"] for key in _keys(each)}
    said = [_said(json.loads(each["evidence"])) for each in VALID["evidence"]]
    lines = {
        line
        for text in (members["checkpoint"], members["state"], *members["kept"])
        for line in _unsigned(text, "\n".join(KEYS))[1]
    }
    kept = {each.rpartition("\n\n")[0] for each in members["kept"]}
    good = _said(members) in said and kept <= _kept() and lines <= LINES and keys <= KEYS
    return "all that was said is as it was" if good else None


def _said(members: Case) -> object:
    return members["entries"], *(
        members[name].rpartition("\n\n")[0] for name in ("checkpoint", "state")
    )


@cache
def _kept() -> frozenset[str]:
    found = (each for case in VALID["evidence"] for each in json.loads(case["evidence"])["kept"])
    return frozenset(each.rpartition("\n\n")[0] for each in found)


_READ: dict[str, Callable[[Case], str | None]] = {
    "policy": _policy,
    "believed": _believed,
    "cosignature": _cosignature,
    "signatures": _signatures,
    "transition": _transition,
    "evidence": _evidence,
}


def _all_texts() -> Iterator[str]:
    """Every text of the valid cases that ends with a signed note, and those inside evidence."""
    for kind in ("policy", "believed", "cosignature", "signatures"):
        for case in VALID[kind]:
            yield case["receipt"] if kind == "believed" else case["note"]
    for case in VALID["evidence"]:
        members = json.loads(case["evidence"])
        yield from (members["checkpoint"], members["state"], *members["kept"])
        yield from (each["receipt"] for each in members["rotations"])


def _all_keys() -> Iterator[Iterable[str]]:
    yield from (each["keys"] for each in VALID["signatures"])
    yield from ([each["key"]] for each in VALID["cosignature"])
    for case in (*VALID["policy"], *VALID["believed"]):
        yield map(str, _keys(case["policy"]))
    for case in VALID["evidence"]:
        for each in case["policies"]:
            yield map(str, _keys(each))
        for rotation in json.loads(case["evidence"])["rotations"]:
            yield _rotated(rotation["receipt"])


def _rotated(receipt: str) -> list[str]:
    extra = receipt.split("\n")[1].removeprefix("extra ")
    event: dict[str, Any] = json.loads(signed_note.decode_base64(extra))["event"]
    return list(event["keys"])


LINES = frozenset(line for text in _all_texts() for line in text.split("\n") if line[:1] == "—")
KEYS = frozenset(key for keys in _all_keys() for key in keys) | {W1.vkey, W2.vkey, W3.vkey}
