"""What a customer said, as a log, a map and evidence: by hand, with the trees of specs/model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any

from specs.model import statemap, tree, vrf
from specs.vectors.make_event import INSTRUCTION, NOON, ZEROS
from specs.vectors.make_instruction import PAGE, RP, VectorKey
from specs.vectors.make_map import prove
from specs.vectors.signing import LOG, ORIGIN, TIME, W1, W2, Key, checkpoint, note
from specs.vectors.vector import Vector, b64, canonical

STATE_LOG = f"{ORIGIN}/state"
FIRST, SECOND = (Key(ORIGIN, LOG, seed) for seed in ("", "the key after"))
FIRST_STATES, SECOND_STATES = (Key(STATE_LOG, LOG, seed) for seed in ("", "the key after"))
SEED = sha256(b"vectors story").digest()
MAP_KEY = vrf.public(SEED)
ME = "c-00007"
SALT, TAG = bytes(range(32)), bytes(24)
WITNESSED = f"witness w1 {W1.vkey}\nwitness w2 {W2.vkey}\ngroup both all w1 w2\nquorum both\n"
Entry = dict[str, Any]


def key_of(signing: VectorKey, **but: Any) -> dict[str, Any]:
    """The key as an act names it."""
    passkey = signing.kind == "passkey"
    return {
        "algorithm": signing.algorithm,
        "attestation": "none",
        "backed_up": False,
        "backup_eligible": passkey,
        "kind": signing.kind,
        "origins": [PAGE],
        "public": b64(signing.public),
        "rp": RP,
        **but,
    }


def key_id(signing: VectorKey) -> str:
    return b64(sha256(signing.public).digest())


@dataclass
class Story:
    """A consent log as it grows, with the customer's instructions and the rotations of its keys."""

    log: list[bytes] = field(default_factory=list)
    said: list[Entry] = field(default_factory=list)
    rotations: list[tuple[int, str]] = field(default_factory=list)  # index, receipt
    kept: list[str] = field(default_factory=list)
    consent: Key = FIRST
    states: Key = FIRST_STATES
    prev: str = ZEROS

    def say(
        self, act: Entry, signing: VectorKey | None = None, client: Entry | None = None, **but: Any
    ) -> str:
        """The digest of the instruction. `client`: other parts of what a page has signed."""
        evidence = {"": "C", "passkey": "A", "browser": "B"}[signing.kind if signing else ""]
        seq = {"seq": len(self.said) + 1, "prev": self.prev, "subject": ME}
        event = INSTRUCTION | seq | {"act": act, "evidence": evidence} | but
        extra: Entry = {"event": event, "salt": SALT.hex(), "tag": TAG.hex()}
        if signing:
            passkey = signing.kind == "passkey"
            signed = signing.asserted(event, client) if passkey else signing.bare(event)
            extra |= {"signature": signed, "signer": signing.signer}
        data = canonical(event).encode()
        self.said.append({"extra": extra, "index": len(self.log)})
        self.log.append(b"\x01" + TAG + sha256(b"sovereign/entry/v1\0" + SALT + data).digest())
        self.prev = b64(sha256(data).digest())
        return self.prev

    def other(self) -> None:
        """Somebody else says something."""
        self.log.append(b"\x01" + TAG + sha256(b"%d" % len(self.log)).digest())

    def rotate(self, new: Key, *signers: Key, **but: Any) -> None:
        """A rotation of the keys to `new`, whose receipt `signers` signed."""
        event = {"at": NOON, "keys": [new.vkey], "origin": new.name, "type": "key-rotated", **but}
        self.log.append(b"\x02" + canonical(event).encode())
        receipt = self.receipt({"event": event}, len(self.log) - 1, *(signers or (self.consent,)))
        self.rotations.append((len(self.log) - 1, receipt))
        if new.name == ORIGIN:
            self.consent = new
        else:
            self.states = new

    def keep(self, place: int, *signers: Key, time: int = TIME) -> None:
        """The customer keeps the receipt of their instruction at `place`, as it is now."""
        each = self.said[place]
        self.kept.append(self.receipt(each["extra"], each["index"], *signers, time=time))

    def receipt(self, extra: Entry, index: int, *signers: Key, time: int = TIME) -> str:
        head = checkpoint(len(self.log), tree.mth(self.log))
        path = "".join(f"{b64(each)}\n" for each in tree.path(index, self.log))
        signed = note(head, *(each.line(head, time) for each in signers))
        encoded = b64(canonical(extra).encode())
        return f"c2sp.org/tlog-proof@v1\nextra {encoded}\nindex {index}\n{path}\n{signed}"

    def state(self, signers: dict[str, Any] | None = None, **but: Any) -> Entry:
        scenes: Entry = {"segmentation": None}
        own = {"head": self.prev, "scenes": scenes, "seq": len(self.said), "subject": ME}
        return own | (signers or {}) | but


@dataclass(frozen=True)
class Shown:
    """How a story is shown as evidence."""

    witnesses: Sequence[Key] = (W1, W2)
    time: int = TIME
    is_bound: bool = True
    more: Sequence[Key] = ()  # further keys of the log that signed
    size: int | None = None  # of the log that the state's entry names


def evidence(story: Story, state: Entry, seq: int = 1, how: Shown | None = None) -> Entry:
    """The members of an evidence file."""
    how = how or Shown()
    head = checkpoint(len(story.log), tree.mth(story.log))
    lines = [key.line(head) for key in (story.consent, *how.more)]
    lines += [each.line(head, how.time) for each in how.witnesses]
    return {
        "checkpoint": note(head, *lines),
        "entries": [
            each | {"proof": _texts(tree.path(each["index"], story.log))} for each in story.said
        ],
        "kept": story.kept,
        "rotations": [
            {"proof": _texts(tree.path(index, story.log)), "receipt": receipt}
            for index, receipt in story.rotations
        ],
        "seq": seq,
        "state": _state_proof(story, state, how),
        "type": "sovereign-evidence/v1",
    }


def _state_proof(story: Story, state: Entry, how: Shown) -> str:
    first = canonical(story.said[0]["extra"]["event"]).encode()
    label, proven = _bound_label()
    if not how.is_bound:
        label = sha256(b"sovereign/label/v1\0" + sha256(first).digest()).digest()
    digest = sha256(b"sovereign/state/v1\0" + SALT + canonical(state).encode()).digest()
    number = state["seq"].to_bytes(8)
    value = sha256(b"sovereign/state/v2\0" + number + digest).digest()
    leaves = {label: value, bytes(32): bytes(32), b"\xff" * 32: bytes(32)}
    _, steps = prove(leaves, label)
    in_map = label + value + b"".join(bytes([bit]) + each for bit, each in steps)
    size = len(story.log) if how.size is None else how.size
    entry: Entry = {"map": statemap.root(leaves).hex(), "root": tree.mth(story.log[:size]).hex()}
    entry |= {"size": size, "type": "state-root"}
    extra: Entry = {"entry": entry, "proof": b64(in_map), "salt": SALT.hex(), "state": state}
    if how.is_bound:
        entry["vrf"] = MAP_KEY.hex()
        extra["vrf"] = b64(proven)
    entries = [b"an older entry", canonical(entry).encode()]
    head = checkpoint(2, tree.mth(entries), story.states.name)
    signed = note(
        head, story.states.line(head), *(each.line(head, how.time) for each in how.witnesses)
    )
    path = "".join(f"{b64(each)}\n" for each in tree.path(1, entries))
    encoded = b64(canonical(extra).encode())
    return f"c2sp.org/tlog-proof@v1\nextra {encoded}\nindex 1\n{path}\n{signed}"


@cache
def _bound_label() -> tuple[bytes, bytes]:
    alpha = b"sovereign/label/v2\0" + ME.encode()
    output = vrf.output(vrf.times(vrf.secret(SEED), vrf.hashed(MAP_KEY, alpha)))
    return output[:32], vrf.prove(SEED, alpha)


def policies(
    consent: Sequence[Key] = (FIRST,),
    states: Sequence[Key] = (FIRST_STATES,),
    witnesses: str = WITNESSED,
    since: int = 0,
) -> list[str]:
    return [
        "".join(f"log {key.vkey}\n" for key in consent) + witnesses,
        "".join(f"log {key.vkey}\n" for key in states)
        + f"vrf {STATE_LOG} {MAP_KEY.hex()} {since}\n{witnesses}",
    ]


def vector(members: Entry, trusted: list[str]) -> Vector:
    return {"evidence": canonical(members) + "\n", "policies": trusted}


def _texts(hashes: Sequence[bytes]) -> list[str]:
    return [b64(each) for each in hashes]
