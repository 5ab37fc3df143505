"""State proofs whose label is bound to the customer's id (specs/statemap.md, "Labels")."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from specs.model import statemap, tree, vrf
from specs.vectors import make_map, make_vrf
from specs.vectors.make_map import SALT, STATE
from specs.vectors.signing import STRANGER, checkpoint, note
from specs.vectors.vector import Vector, b64, canonical, cases, flipped

ME, OTHER, NOBODY = "c-00007", "c-00008", "c-00009"
SEED, SECOND = make_vrf.SEED, sha256(b"vectors second").digest()
KEY = vrf.public(SEED)
MAP_KEY = f"vrf {STATE.name} {KEY.hex()} 1"


def _input(subject: str) -> bytes:
    return b"sovereign/label/v2\0" + subject.encode()


def _label(subject: str, seed: bytes = SEED) -> bytes:
    point = vrf.hashed(vrf.public(seed), _input(subject))
    return vrf.output(vrf.times(vrf.secret(seed), point))[:32]


def _state(subject: str) -> dict[str, Any]:
    head = b64(sha256(subject.encode()).digest())
    return {"head": head, "scenes": {"segmentation": None}, "seq": 2, "subject": subject}


def _digest(state: dict[str, Any]) -> bytes:
    return sha256(b"sovereign/state/v1\0" + SALT + canonical(state).encode()).digest()


def _value(state: dict[str, Any], version: int | None = None) -> bytes:
    number = (state["seq"] if version is None else version).to_bytes(8)
    return sha256(b"sovereign/state/v2\0" + number + _digest(state)).digest()


SECRET = sha256(b"a label of the company's own").digest()  # of a second history
LEAVES = make_map.LEAVES | {_label(each): _value(_state(each)) for each in (ME, OTHER)}
LEAVES |= {SECRET: _value(_state(ME) | {"seq": 1})}


def _proof(
    label: bytes,
    proven: bytes | None,
    state: dict[str, Any] | None,
    key: bytes | None = KEY,
    leaves: dict[bytes, bytes] = LEAVES,
    **but: Any,
) -> str:
    """The proof of `state` at `label`, under a state log's newest entry, which names `key`."""
    end, steps = make_map.prove(leaves, label)
    in_map = end + leaves[end] + b"".join(bytes([bit]) + node for bit, node in steps)
    hashes = {"map": statemap.root(leaves).hex(), "root": bytes(32).hex()}
    entry = hashes | {"size": 40, "type": "state-root"}
    entry |= {} if key is None else {"vrf": key.hex()}
    extra: dict[str, Any] = {"entry": entry, "proof": b64(in_map)}
    extra |= {} if proven is None else {"vrf": b64(proven)}
    extra |= {} if state is None else {"state": state, "salt": SALT.hex()}
    entries = [b"first", b"second", canonical(entry).encode()]
    index = but.get("index", 2)
    head = checkpoint(len(entries), tree.mth(entries), STATE.name)
    path = "".join(f"{b64(each)}\n" for each in tree.path(index, entries))
    lines = f"extra {b64(canonical(extra | but.get('extra', {})).encode())}\nindex {index}\n{path}"
    return f"c2sp.org/tlog-proof@v1\n{lines}\n{note(head, but.get('by', STATE).line(head))}"


def vectors() -> Iterator[Vector]:
    """`proof` proves the latest state of `subject`, or that there is none, signed by `keys`."""
    mine, nobody = vrf.prove(SEED, _input(ME)), vrf.prove(SEED, _input(NOBODY))
    trusted = {"keys": [STATE.vkey], "map_key": MAP_KEY}
    valid = trusted | {"subject": ME, "proof": _proof(_label(ME), mine, _state(ME))}
    yield from cases("present", valid, *_trust(), *_subjects(), *_proofs(mine), *_keys(mine))
    of_before = LEAVES | {_label(ME): _digest(_state(ME))}  # no instruction since
    earlier = _proof(_label(ME), mine, _state(ME), leaves=of_before)
    yield from cases(
        "of before versions", trusted | {"subject": ME, "proof": earlier}, *_versions()
    )
    absent = trusted | {"subject": NOBODY, "proof": _proof(_label(NOBODY), nobody, None)}
    yield from cases(
        "absent",
        absent,
        *_trust(),
        ("subject: another", {"subject": OTHER}),
        ("subject: one who is there", {"subject": ME}),
        ("proof: of another label", {"proof": _proof(SECRET[::-1], nobody, None)}),
    )


def _trust() -> Iterator[tuple[str, Vector]]:
    yield "keys: a stranger's", {"keys": [STRANGER.vkey]}
    for why, line in {
        "another key": f"vrf {STATE.name} {vrf.public(SECOND).hex()} 1",
        "of another log": f"vrf vectors.example/other {KEY.hex()} 1",
        "from a later entry on": f"vrf {STATE.name} {KEY.hex()} 3",
        "a zero before": f"vrf {STATE.name} {KEY.hex()} 01",
        "a digit short": f"vrf {STATE.name} {KEY.hex()[1:]} 1",
    }.items():
        yield f"map_key: {why}", {"map_key": line}


def _subjects() -> Iterator[tuple[str, Vector]]:
    for why, subject in {
        "another": OTHER,
        "a space more": f"{ME} ",
        "in capitals": ME.upper(),
        "a look-alike letter": ME.replace("c", "\u0441"),
        "none": "",
    }.items():
        yield f"subject: {why}", {"subject": subject}


def _proofs(mine: bytes) -> Iterator[tuple[str, Vector]]:
    label, second = _label(ME), _state(ME) | {"seq": 1}
    others = vrf.prove(SEED, _input(OTHER))
    of_another = LEAVES | {label: _value(_state(OTHER))}
    changed = {
        "a second history at a label of its own": _proof(SECRET, mine, second),
        "a second history, with the proof of another id": _proof(SECRET, others, second),
        "a second history, with no proof of its label": _proof(SECRET, None, second),
        "the label of another customer": _proof(_label(OTHER), others, _state(OTHER)),
        "the state of another customer at this label": _proof(
            label, mine, _state(OTHER), leaves=of_another
        ),
        "no proof of the label": _proof(label, None, _state(ME)),
        "the proof of the label: a bit flipped": _proof(label, flipped(mine, 40), _state(ME)),
        "the proof of the label: a byte long": _proof(label, mine + b"\0", _state(ME)),
        "another state": _proof(label, mine, _state(ME) | {"seq": 3}),
        "without the state": _proof(label, mine, None),
        "of an older entry": _proof(label, mine, _state(ME), index=1),
        "signed by a stranger": _proof(label, mine, _state(ME), by=STRANGER),
        "a part too many": _proof(label, mine, _state(ME), extra={"more": 1}),
        "the salt: null": _proof(label, mine, _state(ME), extra={"salt": None}),
        "the proof of the label: null": _proof(label, mine, _state(ME), extra={"vrf": None}),
    }
    yield from ((f"proof: {why}", {"proof": text}) for why, text in changed.items())


def _versions() -> Iterator[tuple[str, Vector]]:
    """Values that name another version than the state does, or none that there is."""
    label, mine = _label(ME), vrf.prove(SEED, _input(ME))
    for why, state, version in (
        ("the value names a later version", _state(ME), 3),
        ("the value names version 0", _state(ME), 0),
        ("the state has version 0", _state(ME) | {"seq": 0}, 0),
        ("the state's version is a text", _state(ME) | {"seq": "2"}, 2),
        ("the state's version is true", _state(ME) | {"seq": True}, 1),
    ):
        leaves = LEAVES | {label: _value(state, version)}
        yield f"proof: {why}", {"proof": _proof(label, mine, state, leaves=leaves)}
    without = {name: value for name, value in _state(ME).items() if name != "seq"}
    leaves = LEAVES | {label: _digest(without)}
    yield "proof: the state has no version", {"proof": _proof(label, mine, without, leaves=leaves)}
    both = LEAVES | {label: sha256(_value(_state(ME))).digest()}
    yield "proof: another value", {"proof": _proof(label, mine, _state(ME), leaves=both)}


def _keys(mine: bytes) -> Iterator[tuple[str, Vector]]:
    """Keys that the company would like to have beside the one that the policy lists."""
    label, theirs = _label(ME, SECOND), vrf.prove(SECOND, _input(ME))
    leaves = LEAVES | {label: _value(_state(ME))}
    other = _proof(label, theirs, _state(ME), vrf.public(SECOND), leaves)
    yield "proof: the entry names another key", {"proof": other}
    yield "proof: the entry names no key", {"proof": _proof(_label(ME), mine, _state(ME), None)}
    forged = make_vrf.forged(vrf.encode(vrf.ZERO), vrf.ZERO, _input(ME))
    small, proven = bytes.fromhex(forged["key"]), bytes.fromhex(forged["proof"])
    label = bytes.fromhex(forged["output"])[:32]
    text = _proof(label, proven, _state(ME), small, LEAVES | {label: _value(_state(ME))})
    line = f"vrf {STATE.name} {small.hex()} 1"
    yield "map_key: of small order, and named by the entry", {"map_key": line, "proof": text}
