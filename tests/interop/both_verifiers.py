"""Mutate what both verifiers read, and compare their verdicts: there must be no difference.

    python -m tests.interop.both_verifiers --count 1000000 --seed 1

Both are asked about the same cases: the Python of ledger.verify and ledger.statemap, and the
JavaScript of portal/web/static, run by Node. Half of the cases are valid vectors with one member
changed: receipts, evidence, state and transition proofs, checkpoints, policies. The other half is
what a company with its own keys can make: an event or a state that was changed, in a log and a map
that say so and are signed; transitions; histories of customers' keys; policies, and notes by some.

A case that both accept must say what a valid one says, or be one that the company made, which then
has to be an event or a state of the profile: `meanings.permitted` says why. An error that is no
verdict is reported, too.
"""

import argparse
import json
import random
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import perf_counter
from typing import Any

from ledger.statemap import map_proof
from ledger.statemap.vrf_key import VrfKey
from ledger.tlog import signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.merkle import leaf_hash
from ledger.vault import commitments
from tests.interop.company import made_evidence, made_policy, made_transition
from tests.interop.meanings import MEMBERS, VALID, log_keys, permitted
from tests.interop.opinions import ACCEPTS, FAILS, answers, has_node
from tests.ledger.judges import JUDGES
from tests.ledger.mutations import mutate
from tests.ledger.mutators import LINES, _changed
from tests.ledger.targets import REFUSALS, VECTORS

AT_ONCE = 20_000
Case = dict[str, Any]
ORIGIN = "both.example/consent"
SIGNER = signed_note.generate(ORIGIN)
STATES = signed_note.generate(f"{ORIGIN}/state")
KEY = VrfKey(sha256(b"both").digest())
TAG, SALT = bytes(24), bytes(32)


# Which judge of ours answers, where it has another name: of `order`, keys as lines of a policy.
OURS = {"order": "range", "believed": "receipt", "signatures": "note"}


@dataclass(frozen=True)
class Question:
    kind: str
    case: Case
    origin: str  # what it was made from, and how

    def python(self) -> int:
        try:
            JUDGES[OURS.get(self.kind, self.kind)](self.case)
        except REFUSALS:
            return 0
        except Exception:  # noqa: BLE001 - whatever it is, it is no verdict
            return FAILS
        return ACCEPTS

    def javascript(self) -> Sequence[object]:
        if self.kind == "receipt":
            return ["receipt", self.case["receipt"], log_keys(self.case["policy"])]
        return ["order" if self.kind == "range" else self.kind, self.case]


@dataclass
class Verdicts:
    tried: int = 0
    differing: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)  # and outside the permitted classes
    permitted: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        return not (self.differing or self.failing or self.accepted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not has_node():
        sys.exit("needs Node: install Node.js 20 or later, and run this again")
    start = perf_counter()
    found = compared(options.count, options.seed)
    for name in ("differing", "failing", "accepted"):
        for each in getattr(found, name)[:20]:
            sys.stdout.write(f"{name.upper()} {each}\n")
    for why, count in found.permitted.most_common():
        sys.stdout.write(f"  {count:,} accepted by both: {why}\n")
    sys.stdout.write(
        f"{found.tried:,} cases, seed {options.seed}, {perf_counter() - start:.0f} s: "
        f"{len(found.differing)} verdicts differ, {len(found.failing)} errors that are no verdict, "
        f"{len(found.accepted)} accepted that must not be\n"
    )
    sys.exit(not found.is_clean)


def compared(count: int, seed: int) -> Verdicts:
    """The verdicts of both on `count` cases."""
    generator = random.Random(seed)
    made = _questions(generator)
    found = Verdicts()
    while found.tried < count:
        batch = [next(made) for _ in range(min(AT_ONCE, count - found.tried))]
        found.tried += len(batch)
        told = answers(each.javascript() for each in batch)
        for question, theirs in zip(batch, told, strict=True):
            _compare(found, question, question.python(), theirs)
    return found


def _compare(found: Verdicts, question: Question, ours: int, theirs: int) -> None:
    told = f"{question.origin}: Python {ours}, JavaScript {theirs}: {json.dumps(question.case)}"
    if FAILS in (ours, theirs):
        found.failing.append(told)
    elif ours != theirs:
        found.differing.append(told)
    elif ours == ACCEPTS:
        if (why := permitted(question.kind, question.case, question.origin)) is None:
            found.accepted.append(told)
        else:
            found.permitted[why] += 1


KINDS = (
    *("receipt",) * 4,
    *("evidence",) * 4,
    *("policy",) * 4,
    *("transition", "bound", "inclusion") * 2,
    *("range", "order", "vrf", "believed", "cosignature", "signatures"),
)


def _questions(generator: random.Random) -> Iterator[Question]:
    while True:
        yield generator.choice((_mutated, _made))(generator)


def _made(generator: random.Random) -> Question:
    ways = (_made_receipt, _made_state, *map(_made_by, ("policy", "transition", "evidence")))
    return generator.choices(ways, (8, 4, 3, 3, 3))[0](generator)


def _made_by(kind: str) -> Callable[[random.Random], Question]:
    return lambda generator: Question(kind, MAKERS[kind](generator), f"made {kind}")


MAKERS = {"policy": made_policy, "transition": made_transition, "evidence": made_evidence}


def _mutated(generator: random.Random) -> Question:
    kind = generator.choice(KINDS)
    case = generator.choice(VALID[kind])
    member = generator.choice(MEMBERS[kind])
    value = case[member]
    while value == case[member] or (member == "keys" and "\n" in "".join(value)):
        other = generator.choice(VALID[kind])  # a key is one line
        change = _changed_evidence if member == "evidence" else _other
        value = change(case[member], other[member], generator)
    origin = f"{kind} vector, {case.get('case', '')}, {member}"
    return Question(kind, case | {member: value}, origin)


def _other(value: Any, other: Any, generator: random.Random) -> Any:
    """Another value of the same form: text, hexadecimal, a number, or a list of them."""
    if isinstance(value, int):
        return max(0, generator.choice((value + 1, value - 1, 2 * value, other, 1 << 40)))
    if isinstance(value, list):
        return _others(value, other, generator)
    if set(value) <= set("0123456789abcdef") and len(value) % 2 == 0:
        return _text(mutate(bytes.fromhex(value), bytes.fromhex(other), (), generator).hex())
    return _text(mutate(value.encode(), other.encode(), LINES, generator))


def _changed_evidence(value: str, other: str, generator: random.Random) -> str:
    """The text, one of the texts in it, or any place of its JSON, which is canonical again."""
    if generator.random() < 0.2:
        return _text(mutate(value.encode(), other.encode(), LINES, generator))
    members, theirs = json.loads(value), json.loads(other)
    if generator.random() < 0.4:
        changed = _changed(members, theirs, generator)
    else:
        holder, place = generator.choice([*_inside(members)])
        mine, donor = holder[place], generator.choice([text for _, text in _read(theirs)])
        holder[place] = _text(mutate(mine.encode(), donor.encode(), LINES, generator))
        changed = members
    return _text(_canonical(changed)) + "\n"


def _inside(members: Any) -> Iterator[tuple[Any, Any]]:
    """Where the texts are that end with a signed note, in the JSON of evidence."""
    yield from ((members, name) for name in ("checkpoint", "state"))
    yield from ((each, "receipt") for each in members["rotations"])
    yield from ((members["kept"], place) for place in range(len(members["kept"])))


def _read(members: Any) -> Iterator[tuple[Any, str]]:
    yield from ((holder, holder[place]) for holder, place in _inside(members))


def _others(value: list[Any], other: list[Any], generator: random.Random) -> list[Any]:
    if not value:
        return other
    at = generator.randrange(len(value))
    changed = _other(value[at], generator.choice(other or value), generator)
    return generator.choice(
        (
            [*value[:at], changed, *value[at + 1 :]],
            [*value[:at], *value[at + 1 :]],
            [*value, value[at]],
            value[::-1],
            other,
        )
    )


def _text(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode("utf-8", "replace")


EVENTS = [
    json.loads(each["event"])
    for each in json.loads((VECTORS / "event.json").read_text())
    if each["mutation"] is None
]


def _made_receipt(generator: random.Random) -> Question:
    """A company's receipt of an event with some places changed, in a log of one entry."""
    event, other = generator.choice(EVENTS), generator.choice(EVENTS)
    for _ in range(generator.choice((1, 1, 2))):
        event = _changed(event, other, generator)
    extra: dict[str, Any] = {"event": event}
    if isinstance(event, dict) and event.get("type") == "instruction":
        extra |= {"salt": SALT.hex(), "tag": TAG.hex()}
        if generator.random() < 0.9 and "origin" in event:
            event["origin"] = ORIGIN
    data = _canonical(event)
    entry = commitments.public_entry(data)
    if "tag" in extra:
        entry = commitments.personal_entry(commitments.Opening(TAG, SALT), data)
    text = _proof(extra, leaf_hash(entry), SIGNER)
    policy = f"log {SIGNER.verifier}\nquorum none\n"
    return Question("receipt", {"policy": policy, "receipt": text}, "made receipt")


STATE: dict[str, Any] = {
    "subject": "c1",
    "seq": 3,
    "head": b64encode(bytes(32)).decode(),
    "scenes": {"segmentation": {"fields": ["age"], "until": None}, "marketing": None},
    "keys": [{"id": "a", "since": 4}],
}


def _made_state(generator: random.Random) -> Question:
    """A company's state proof with some places of the state or of the entry changed."""
    state = STATE
    for _ in range(generator.choice((1, 1, 2))):
        state = _changed(state, STATE, generator)
    digest = sha256(b"sovereign/state/v1\x00" + SALT + _canonical(state)).digest()
    seq = state.get("seq") if isinstance(state, dict) else None
    number = seq if type(seq) is int and 0 <= seq < 1 << 64 else 1
    value = sha256(b"sovereign/state/v2\x00" + number.to_bytes(8) + digest).digest()
    value = generator.choice((value, value, value, digest))
    label = map_proof.label(KEY.output(map_proof.label_input("c1")))
    entry: Any = {"map": sha256(label + value).hexdigest(), "root": bytes(32).hex(), "size": 9}
    entry |= {"type": "state-root", "vrf": KEY.public.hex()}
    if generator.random() < 0.3:
        entry = _changed(entry, STATE, generator)
    proof = {"vrf": b64encode(PROVEN).decode(), "proof": b64encode(label + value).decode()}
    extra = {"entry": entry, "state": state, "salt": SALT.hex(), **proof}
    text = _proof(extra, leaf_hash(_canonical(entry)), STATES)
    case = {"proof": text, "subject": "c1", "keys": [str(STATES.verifier)]}
    case["map_key"] = f"vrf {STATES.name} {KEY.public.hex()} 0"
    return Question("bound", case, "made state")


PROVEN = KEY.prove(map_proof.label_input("c1"))


def _proof(extra: Any, leaf: bytes, signer: signed_note.Signer) -> str:
    note = signed_note.sign(str(Checkpoint(signer.name, 1, leaf)), [signer])
    return (
        f"c2sp.org/tlog-proof@v1\nextra {b64encode(_canonical(extra)).decode()}\nindex 0\n\n{note}"
    )


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


if __name__ == "__main__":
    main()
