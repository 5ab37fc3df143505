"""Proofs in the verifiable map, and state proofs: those with a signed root (specs/statemap.md)."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from specs.model import statemap, tree
from specs.vectors.signing import LOG, STRANGER, Key, checkpoint, note
from specs.vectors.vector import Vector, b64, canonical, cases, flipped

EMPTY = sha256(b"").digest()
CUSTOMERS = 40
STATE = Key("vectors.example/state", LOG)
SALT = bytes(range(32))
Leaves = dict[bytes, bytes]
Step = tuple[int, bytes]


def _label(number: int) -> bytes:
    return sha256(b"customer %d" % number).digest()


LEAVES = {_label(n): sha256(b"state %d" % n).digest() for n in range(CUSTOMERS)}


def prove(leaves: Leaves, label: bytes) -> tuple[bytes, list[Step]]:
    """The label at which the search for `label` ends, and the siblings from there up."""
    if len(leaves) == 1:
        return next(iter(leaves)), []
    bit = next(n for n in range(256) if len({_bit(each, n) for each in leaves}) > 1)
    halves: tuple[Leaves, Leaves] = ({}, {})
    for each, value in leaves.items():
        halves[_bit(each, bit)][each] = value
    side = _bit(label, bit)
    end, steps = prove(halves[side], label)
    return end, [*steps, (bit, _node(halves[1 - side]))]


def _node(leaves: Leaves) -> bytes:
    return statemap.root(leaves)


def _bit(label: bytes, bit: int) -> int:
    return int(f"{int.from_bytes(label):0256b}"[bit])


def _bytes(leaf: bytes, steps: list[Step]) -> bytes:
    return leaf + b"".join(bytes([bit]) + node for bit, node in steps)


def maps() -> Iterator[Vector]:
    """The map with `root` has `value` for `label`; null: it has none."""
    root = statemap.root(LEAVES).hex()
    for name, label in (("present", _label(7)), ("absent", _label(CUSTOMERS))):
        end, steps = prove(LEAVES, label)
        value = LEAVES[end].hex() if end == label else None
        valid = {"label": label.hex(), "value": value, "root": root}
        valid["proof"] = _bytes(end + LEAVES[end], steps).hex()
        yield from cases(name, valid, *_proofs(end + LEAVES[end], steps), *_claims(valid, end))
    one = {_label(0): LEAVES[_label(0)]}
    alone = {"label": _label(0).hex(), "value": one[_label(0)].hex()}
    alone |= {
        "root": statemap.root(one).hex(),
        "proof": _bytes(_label(0), []).hex() + alone["value"],
    }
    yield from cases(
        "the only one",
        alone,
        ("value: another", {"value": EMPTY.hex()}),
        ("proof: none", {"proof": ""}),
    )
    nothing = {"label": _label(0).hex(), "value": None, "root": EMPTY.hex(), "proof": ""}
    yield from cases(
        "an empty map",
        nothing,
        ("root: of a map that is not empty", {"root": root}),
        ("value: there is one", {"value": EMPTY.hex()}),
        ("proof: the leaf itself", {"proof": alone["proof"]}),
    )


def _proofs(leaf: bytes, steps: list[Step]) -> Iterator[tuple[str, Vector]]:
    (bit, node), rest = steps[0], steps[1:]
    changed = {
        "none": b"",
        "a byte short": _bytes(leaf, steps)[:-1],
        "a byte long": _bytes(leaf, steps) + b"\0",
        "its label: a bit flipped": _bytes(flipped(leaf, 31), steps),
        "its value: a bit flipped": _bytes(flipped(leaf, 32), steps),
        "a sibling: a bit flipped": _bytes(leaf, [(bit, flipped(node)), *rest]),
        "a bit number: one more": _bytes(leaf, [(bit + 1, node), *rest]),
        "the lowest step left out": _bytes(leaf, rest),
        "the highest step left out": _bytes(leaf, steps[:-1]),
        "a step doubled": _bytes(leaf, [steps[0], *steps]),
        "two steps swapped": _bytes(leaf, [steps[1], steps[0], *steps[2:]]),
        "a step more": _bytes(leaf, [(255, EMPTY), *steps]),
        "the leaf alone": leaf,
    }
    yield from ((f"proof: {why}", {"proof": each.hex()}) for why, each in changed.items())


def _claims(valid: Vector, end: bytes) -> Iterator[tuple[str, Vector]]:
    """A valid proof of something else."""
    other, steps = prove(LEAVES, _label(8))
    yield "proof: of another customer", {"proof": _bytes(other + LEAVES[other], steps).hex()}
    yield "root: a bit flipped", {"root": flipped(bytes.fromhex(valid["root"])).hex()}
    yield "root: of an empty map", {"root": EMPTY.hex()}
    yield "label: of another customer", {"label": _label(8).hex()}
    yield "label: a byte short", {"label": valid["label"][:-2]}
    if valid["value"] is None:
        yield "value: claimed to be there", {"value": LEAVES[end].hex()}
        yield "label: the one the search ended at", {"label": end.hex()}
    else:
        yield "value: claimed to be absent", {"value": None}
        yield "value: an older one", {"value": EMPTY.hex()}


def state_proofs() -> Iterator[Vector]:
    """`proof` shows the latest state at `label`, or that there is none, signed by `keys`."""
    shown = {"seq": 2, "head": b64(EMPTY), "scenes": {"segmentation": None}}
    for name, number in (("present", 7), ("absent", CUSTOMERS)):
        label = _label(number)
        leaves = LEAVES | {_label(7): _value(shown)}
        made = _State(leaves, label, shown if name == "present" else None)
        valid = {"keys": [STATE.vkey], "label": label.hex(), "proof": made.text()}
        yield from cases(name, valid, *_states(made), *_asked())


def _asked() -> Iterator[tuple[str, Vector]]:
    yield "label: of another customer", {"label": _label(9).hex()}
    yield "key: another log's", {"keys": [STRANGER.vkey]}
    yield "key: two, of which one signed", {"keys": [STATE.vkey, Key(STATE.name, LOG, "2").vkey]}


def _value(shown: dict[str, Any]) -> bytes:
    data = canonical(shown).encode()
    digest = sha256(b"sovereign/state/v1\0" + SALT + data).digest()
    return sha256(b"sovereign/state/v2\0" + shown["seq"].to_bytes(8) + digest).digest()


class _State:
    """A state log of three entries, the newest of which has the map's root."""

    def __init__(self, leaves: Leaves, label: bytes, shown: dict[str, Any] | None) -> None:
        end, steps = prove(leaves, label)
        self.leaf, self.steps = end + leaves[end], steps
        hashes = {"map": statemap.root(leaves).hex(), "root": bytes(32).hex()}
        entry = hashes | {"size": CUSTOMERS, "type": "state-root"}
        self.extra: dict[str, Any] = {"entry": entry, "proof": b64(_bytes(self.leaf, steps))}
        if shown is not None:
            self.extra |= {"state": shown, "salt": SALT.hex()}
        self.entries = [b"first", b"second", canonical(entry).encode()]
        self.index = 2

    def text(self, **but: Any) -> str:
        """The proof, with other parts."""
        extra = b64(canonical(self.extra | but.pop("extra", {})).encode())
        path = but.pop("path", tree.path(self.index, self.entries))
        head = checkpoint(len(self.entries), tree.mth(self.entries), STATE.name)
        lines = "".join(f"{b64(each)}\n" for each in path)
        index, key = but.pop("index", self.index), but.pop("key", STATE)
        signed = note(head, key.line(head))
        return f"c2sp.org/tlog-proof@v1\nextra {extra}\nindex {index}\n{lines}\n{signed}"


def _states(made: _State) -> Iterator[tuple[str, Vector]]:
    changed = {
        "index: of an older entry": made.text(index=1),
        "index: a zero before": made.text(index="02"),
        "path: a hash missing": made.text(path=[]),
        "path: a hash too many": made.text(path=[*tree.path(2, made.entries), EMPTY]),
        "path: a bit flipped": made.text(path=[flipped(tree.path(2, made.entries)[0])]),
        "checkpoint: signed by a stranger": made.text(key=STRANGER),
        "extra: another map": made.text(
            extra={"entry": made.extra["entry"] | {"map": EMPTY.hex()}}
        ),
        "extra: another size": made.text(extra={"entry": made.extra["entry"] | {"size": 41}}),
        "extra: a part too many": made.text(extra={"more": 1}),
        "extra: a map proof of another": made.text(extra={"proof": _other_proof()}),
        "an older entry, which was the newest once": _older(made),
        "line ends of another system": made.text().replace("\n", "\r\n"),
        "cut off": made.text()[:-10],
    }
    if "state" in made.extra:
        state = made.extra["state"]
        changed |= {
            "state: withdrawn to granted": made.text(
                extra={"state": state | {"scenes": {"segmentation": {"fields": ["age"]}}}}
            ),
            "state: another seq": made.text(extra={"state": state | {"seq": 1}}),
            "salt: a bit flipped": made.text(extra={"salt": flipped(SALT).hex()}),
            "state: left out": _without_state(made),
        }
    else:
        there = {"state": {"seq": 1}, "salt": SALT.hex()}
        changed["state: one put in"] = made.text(extra=there)
    yield from ((why, {"proof": text}) for why, text in changed.items())


def _other_proof() -> str:
    end, steps = prove(LEAVES, _label(8))
    return b64(_bytes(end + LEAVES[end], steps))


def _older(made: _State) -> str:
    """The tree has grown, so the entry is no longer the newest."""
    grown = _State(LEAVES, _label(7), None)
    grown.extra = made.extra
    grown.entries = [*made.entries, canonical({"newer": True}).encode()]
    return grown.text()


def _without_state(made: _State) -> str:
    absent = _State(LEAVES, _label(7), None)
    absent.entries, absent.extra = made.entries, json.loads(canonical(made.extra))
    del absent.extra["state"], absent.extra["salt"]
    return absent.text()
