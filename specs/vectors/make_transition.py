"""Transitions of the map (specs/statemap.md): two whole logs, and what changed between."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from specs.model import statemap, tree
from specs.vectors.make_event import INSTRUCTION, NOON
from specs.vectors.signing import ED, LOG, ORIGIN, STRANGER, Key, checkpoint, note
from specs.vectors.vector import Vector, canonical, cases, flipped

STATES = Key(f"{ORIGIN}/state", LOG)
MAP_KEY, ANOTHER = bytes(range(32)), bytes(range(1, 33))
HEADER = b"sovereign/transitions/v1\n"
Changes = Mapping[bytes, tuple[int, bytes]]  # label -> version, digest
Records = Sequence[tuple[int, bytes]]  # number of the entry, record


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()


ANN, BEN, CAT = (_hash(name) for name in ("ann", "ben", "cat"))
ERASED = b"\x02" + canonical({"at": NOON, "type": "subject-erased"}).encode()
PUBLIC = b"\x02" + canonical({"at": NOON, "days": 400, "type": "reads-kept"}).encode()
IN_CLEAR = b"\x02" + canonical(INSTRUCTION).encode()


def _said(*numbers: int) -> list[bytes]:
    """Entries of instructions: commitments."""
    return [b"\x01" + bytes(24) + _hash(f"instruction {number}") for number in numbers]


def _to(version: int) -> tuple[int, bytes]:
    return version, _hash(f"digest {version}")


def _value(version: int, digest: bytes) -> bytes:
    return sha256(b"sovereign/state/v2\0" + version.to_bytes(8) + digest).digest()


@dataclass(frozen=True)
class Step:
    """What one entry of the state log follows: entries of the consent log, and changed labels."""

    entries: Sequence[bytes]
    changes: Changes = field(default_factory=dict)
    key: bytes | None = MAP_KEY
    values: Mapping[bytes, bytes] = field(default_factory=dict)  # changed, and not recorded
    but: Mapping[str, Any] = field(default_factory=dict)  # other members of the entry


def record(changes: Changes) -> bytes:
    parts = [label + version.to_bytes(8) + digest for label, (version, digest) in changes.items()]
    return b"\x01" + b"".join(parts)


def base(values: Mapping[bytes, bytes]) -> bytes:
    return b"\x00" + b"".join(label + value for label, value in sorted(values.items()))


def file(records: Records) -> str:
    parts = [index.to_bytes(8) + len(data).to_bytes(8) + data for index, data in records]
    return (HEADER + b"".join(parts)).hex()


def _records(steps: Sequence[Step]) -> list[tuple[int, bytes]]:
    return [
        (index, record(dict(sorted(each.changes.items()))))
        for index, each in enumerate(steps)
        if each.changes
    ]


def _made(steps: Sequence[Step], records: Records | None = None, more: int = 0) -> Vector:
    """Both logs, and the file. `more`: further entries of the consent log."""
    consent, states, values = list[bytes](), list[str](), dict[bytes, bytes]()
    for each in steps:
        consent += each.entries
        values |= {label: _value(*stated) for label, stated in each.changes.items()}
        values |= each.values
        entry: dict[str, Any] = {
            "map": statemap.root(values).hex(),
            "root": tree.mth(consent).hex(),
        }
        entry |= {} if each.key is None else {"vrf": each.key.hex()}
        entry |= {"size": len(consent), "type": "state-root", **each.but}
        states.append(canonical(entry))
    consent += _said(*range(100, 100 + more))
    return _signed(states, consent) | {
        "transitions": file(_records(steps) if records is None else records)
    }


def _signed(states: list[str], consent: list[bytes]) -> Vector:
    return {
        "consent": [each.hex() for each in consent],
        "consent_note": _note(ED, consent),
        "keys": [STATES.vkey, ED.vkey],
        "states": states,
        "states_note": _note(STATES, [each.encode() for each in states]),
    }


def _note(key: Key, entries: list[bytes]) -> str:
    text = checkpoint(len(entries), tree.mth(entries), key.name)
    return note(text, key.line(text))


PLAIN = (
    Step([PUBLIC, *_said(1, 2, 3)], {ANN: _to(2), BEN: _to(1)}),
    Step([PUBLIC]),
    Step(_said(4), {BEN: _to(2)}),
    Step(_said(5, 6), {ANN: _to(3), CAT: _to(1)}),
)
RETURNED = (
    Step(_said(1, 2), {ANN: _to(2)}),
    Step([ERASED]),
    Step(_said(3), {ANN: _to(1)}),
)
UNRECORDED = {ANN: _hash("an earlier value"), BEN: _hash("another")}
MIGRATED = (
    Step(_said(1), values={ANN: _hash("the first")}, key=None),
    Step(_said(2, 3), values=UNRECORDED, key=None),
    Step(_said(4, 5), {ANN: _to(4), CAT: _to(1)}, key=None),
)
BASE = [(1, base(UNRECORDED)), (2, record(dict(sorted(MIGRATED[2].changes.items()))))]
BOUND = (
    Step(_said(1, 2), {_hash("by the first instruction"): _to(2)}, key=None),
    Step([], {ANN: _to(2)}),
    Step(_said(3), {ANN: _to(3)}),
)


def vectors() -> Iterator[Vector]:
    """All entries of a state log and of a consent log, and right transitions between them."""
    plain = _made(PLAIN, more=1)
    yield from cases("three customers", plain, *_acts(), *_files(plain), *_logs(plain))
    returned = _made(RETURNED)
    twice = (*RETURNED, Step(_said(4), {ANN: _to(1)}))
    yield from cases(
        "a customer comes back after an erasure",
        returned,
        ("states: a second restart", _made(twice)),
        (
            "states: version 0 after an erasure",
            _made((*RETURNED[:1], Step([ERASED], {ANN: _to(0)}))),
        ),
        ("consent: no erasure is announced", _made((RETURNED[0], Step([PUBLIC]), RETURNED[2]))),
    )
    yield from cases("a map from before there were transitions", _made(MIGRATED, BASE), *_bases())
    yield from cases("a map that is bound to the ids", _made(BOUND), *_bindings())
    yield from cases("no entries", _made(()))
    clear = (Step([IN_CLEAR, *_said(1)], {ANN: _to(1)}),)
    yield from cases("an instruction in clear, which does not count", _made(clear))
    yield from cases("records of later entries", _made(PLAIN, [*_records(PLAIN), (9, b"?")]))


def _acts() -> Iterator[tuple[str, Vector]]:
    """What a company with all its keys makes."""
    last = PLAIN[-1]
    changed: dict[str, tuple[Step, ...]] = {
        "an instruction left out": (*PLAIN[:3], replace(last, changes={ANN: _to(3)})),
        "a version too far": (*PLAIN[:3], replace(last, changes={ANN: _to(4), CAT: _to(1)})),
        "an earlier state": (*PLAIN[:3], replace(last, changes={ANN: _to(1), CAT: _to(1)})),
        "a state changed, its version did not": (
            *PLAIN[:3],
            Step([PUBLIC], {BEN: (2, _hash("another digest"))}),
        ),
        "a change without an instruction": (*PLAIN, Step([PUBLIC], {CAT: _to(2)})),
        "a change that is not recorded": (*PLAIN, Step([PUBLIC], values={CAT: bytes(32)})),
        "another key of the map": (*PLAIN[:3], replace(last, key=ANOTHER)),
        "no key of the map any more": (*PLAIN[:3], replace(last, key=None)),
        "the same size twice": (*PLAIN, Step([])),
        "another root of the consent log": (*PLAIN, Step([PUBLIC], but={"root": bytes(32).hex()})),
        "a size beyond the consent log": (*PLAIN, Step([PUBLIC], but={"size": 99})),
        "another type": (*PLAIN, Step([PUBLIC], but={"type": "root"})),
        "a member more": (*PLAIN, Step([PUBLIC], but={"more": 1})),
        "a hash in capitals": (*PLAIN, Step([PUBLIC], but={"vrf": MAP_KEY.hex().upper()})),
        "a size that is a text": (*PLAIN, Step([PUBLIC], but={"size": "9"})),
    }
    yield from ((f"states: {why}", _made(steps)) for why, steps in changed.items())


def _files(plain: Vector) -> Iterator[tuple[str, Vector]]:
    records = _records(PLAIN)
    (one, first), *rest = records
    descending = record(dict(sorted(PLAIN[0].changes.items(), reverse=True)))
    lists: dict[str, Records] = {
        "none": [],
        "the first record left out": rest,
        "the last record left out": records[:-1],
        "a record of another entry": [(one, first), (1, rest[0][1]), *rest[1:]],
        "two records exchanged": [(one, rest[0][1]), (rest[0][0], first), *rest[1:]],
        "a record twice": [(one, first), *records],
        "records that descend": records[::-1],
        "labels that descend": [(one, descending), *rest],
        "a label twice": [(one, first + first[-72:]), *rest],
        "version 0": [(one, first[:33] + bytes(8) + first[41:]), *rest],
        "version 2^53": [(one, first[:33] + (1 << 53).to_bytes(8) + first[41:]), *rest],
        "a digest: a bit flipped": [(one, flipped(first, -1)), *rest],
        "a record a byte short": [(one, first[:-1]), *rest],
        "a record of another kind": [(one, b"\x02" + first[1:]), *rest],
        "a record of a later entry, out of order": [*records, (2, b"?")],
        "a map instead of a change": [*records[:-1], (3, base({}))],
        "a map that begins after the log": [(9, base({}))],
    }
    yield from ((f"transitions: {why}", {"transitions": file(it)}) for why, it in lists.items())
    whole: str = plain["transitions"]
    texts: dict[str, Callable[[str], str]] = {
        "nothing": lambda _: "",
        "another header": lambda data: "73" + data.replace("76", "77", 1)[2:],
        "cut off in a record": lambda data: data[:-2],
        "cut off in a record of a later entry": lambda data: data + file([(9, b"??")])[50:-2],
        "cut off in a number": lambda data: data[: 2 * len(HEADER) + 20],
        "a record of 2^40 bytes": lambda data: data[:66] + (1 << 40).to_bytes(8).hex() + data[82:],
    }
    for why, change in texts.items():
        yield f"transitions: {why}", {"transitions": change(whole)}


def _logs(plain: Vector) -> Iterator[tuple[str, Vector]]:
    states, consent = plain["states"], plain["consent"]
    yield "states: an entry changed, not signed", {"states": [*states[:-1], states[0]]}
    yield "states: an entry less", {"states": states[:-1]}
    yield "states: an entry more", {"states": [*states, states[-1]]}
    spaced = [each.replace(":", ": ") for each in states]
    yield "states: JSON with spaces, signed", _resigned(plain, spaced, consent)
    yield "consent: an entry changed, not signed", {"consent": [*consent[:-1], consent[0]]}
    yield "consent: an entry less", {"consent": consent[:-1]}
    yield "consent: an entry less, signed", _resigned(plain, states, consent[:-2])
    exchanged = [consent[1], consent[0], *consent[2:]]
    yield "consent: two entries exchanged, signed", _resigned(plain, states, exchanged)
    yield "keys: another log's", {"keys": [STRANGER.vkey, ED.vkey]}
    yield "keys: exchanged", {"keys": [ED.vkey, STATES.vkey]}
    yield "states_note: of the consent log", {"states_note": plain["consent_note"]}


def _resigned(plain: Vector, states: list[str], consent: list[str]) -> Vector:
    made = _signed(states, [bytes.fromhex(each) for each in consent])
    return {name: value for name, value in made.items() if value != plain[name]}


def _bases() -> Iterator[tuple[str, Vector]]:
    first, last = BASE
    lists: dict[str, Records] = {
        "the map is left out": [last],
        "another map": [(1, base(UNRECORDED | {ANN: bytes(32)})), last],
        "a label less": [(1, base({ANN: UNRECORDED[ANN]})), last],
        "half a label": [(1, first[1][:-1]), last],
        "the map of another entry": [(0, first[1]), last],
        "labels that descend": [(1, b"\0" + first[1][65:] + first[1][1:65]), last],
        "an unknown version restarts": [
            first,
            (2, record(dict(sorted({ANN: _to(1), CAT: _to(1)}.items())))),
        ],
    }
    yield from ((f"transitions: {why}", {"transitions": file(it)}) for why, it in lists.items())
    slow = (*MIGRATED[:2], replace(MIGRATED[2], changes={CAT: _to(1)}))
    fast = (*MIGRATED[:2], replace(MIGRATED[2], changes={CAT: _to(3)}))
    for why, steps in (("an instruction left out", slow), ("a version too far", fast)):
        records = [first, (2, record(steps[2].changes))]
        yield f"states: {why}", _made(steps, records)


def _bindings() -> Iterator[tuple[str, Vector]]:
    many = (BOUND[0], Step([], {ANN: _to(3)}), Step(_said(3), {ANN: _to(4)}))
    yield "states: it binds more than the log has", _made(many)
    smaller = (BOUND[0], Step([], {ANN: _to(2)}, but={"size": 1, "root": tree.mth(_said(1)).hex()}))
    yield "states: it binds an earlier size", _made(smaller)
    twice = (*BOUND, Step([], {ANN: _to(4)}))
    yield "states: it binds a second time", _made(twice)
