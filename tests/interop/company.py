"""What a company with its own keys can make for verifiers: policies, transitions, evidence.

Most of it is nearly right: signed, in its form, and wrong in few places or none.
"""

import random
from functools import cache
from typing import Any

from specs.vectors import histories, make_transition, story
from specs.vectors.histories import BROWSER, DELEGATE, HAND, THIRD, at
from specs.vectors.make_instruction import VectorKey
from specs.vectors.make_note import OTHER
from specs.vectors.make_transition import ANN, BEN, CAT, ERASED, PUBLIC, Step
from specs.vectors.signing import ED, PQ, TIME, W1, W2, W3, Key, checkpoint, note
from specs.vectors.story import Shown, Story, key_id, key_of
from tests.ledger.mutators import _changed

Case = dict[str, Any]
HANDS = (HAND, BROWSER, THIRD, DELEGATE)
ROOT = bytes(range(32))
WITNESSES = (W1, W2, W3)


def made_policy(generator: random.Random) -> Case:
    """A policy of some keys, with sizes and quorums, and a note that some of them signed."""
    logs = generator.sample((ED, OTHER, PQ), generator.choice((1, 1, 2, 3)))
    lines = [f"log {key.vkey}" for key in logs]
    for key in logs:
        if generator.random() < 0.5:
            first, end = generator.choice((0, 6, 7, 8)), generator.choice((7, 8, 9, "*"))
            lines.append(f"range {key.name}+{key.id.hex()} {first} {end}")
    names = [f"w{n}" for n in range(1, 1 + generator.randrange(4))]
    lines += [f"witness {name} {key.vkey}" for name, key in zip(names, WITNESSES, strict=False)]
    quorum = generator.choice([*names, "none"])
    if len(names) > 1:
        inner = generator.sample(names, generator.randrange(1, len(names)))
        outer = ["inner", *(name for name in names if name not in inner)]
        lines.append(f"group inner {_count(len(inner), generator)} {' '.join(inner)}")
        lines.append(f"group outer {_count(len(outer), generator)} {' '.join(outer)}")
        quorum = generator.choice((quorum, "inner", "outer", "outer"))
    lines.append(f"quorum {quorum}")
    if generator.random() < 0.1:
        generator.shuffle(lines)
    size = generator.choice((6, 7, 8))
    keys = [key for key in (*logs, *WITNESSES) if generator.random() < 0.8]
    return {"policy": "\n".join([*lines, ""]), "note": _signed(size, keys)}


def _count(members: int, generator: random.Random) -> object:
    return generator.choice(("any", "all", generator.randrange(1, members + 1), members + 1))


def _signed(size: int, keys: list[Key]) -> str:
    return note(checkpoint(size, ROOT), *(_line(key, size) for key in keys))


@cache
def _line(key: Key, size: int) -> str:
    return key.line(checkpoint(size, ROOT), 0 if key is PQ else TIME)


def made_transition(generator: random.Random) -> Case:
    """Two logs and what changed between: versions that advance as they must, or nearly."""
    versions: dict[bytes, int] = {}
    steps, said, key = list[Step](), 0, generator.choice((None, make_transition.MAP_KEY))
    for _ in range(generator.randrange(1, 5)):
        entries, changes = list[bytes](), {}
        for label in generator.sample((ANN, BEN, CAT), generator.randrange(3)):
            by = generator.choice((1, 1, 2))
            entries += make_transition._said(*range(said, said + by))
            said += by
            versions[label] = versions.get(label, 0) + by
            changes[label] = versions[label], ROOT
        if generator.random() < 0.2 and versions:
            label = generator.choice(sorted(versions))
            entries += [generator.choice((ERASED, PUBLIC)), *make_transition._said(said)]
            said, versions[label], changes[label] = said + 1, 1, (1, ROOT)
        entries += [PUBLIC] * generator.choice((0, 1))
        if generator.random() < 0.1:
            entries = entries[1:]
        key = generator.choice((key, key, key, make_transition.MAP_KEY))
        steps.append(Step(entries, changes, key))
    records = make_transition._records(steps)
    if records and generator.random() < 0.2:
        records = _other_records(records, generator)
    return make_transition._made(steps, records, generator.choice((0, 0, 2)))


def _other_records(
    records: list[tuple[int, bytes]], generator: random.Random
) -> list[tuple[int, bytes]]:
    place = generator.randrange(len(records))
    index, data = records[place]
    changed = generator.choice(((index + 1, data), (index, data[:-72]), (index, data[:1]), None))
    return [*records[:place], *([changed] if changed else []), *records[place + 1 :]]


def made_evidence(generator: random.Random) -> Case:
    """A history of acts on keys in any order, signed by anybody, and a state that says so."""
    told, signers = Story(), _Signers()
    for number in range(generator.randrange(1, 6)):
        act = generator.choice(_acts(told, generator)) if number else histories.ENROLLED
        signing = generator.choice((None, signers.last, generator.choice(HANDS)))
        how: dict[str, Any] = {"at": at(generator.choice((0, 0, number, 4)))}
        if signers.mandate and generator.random() < 0.3:
            how["mandate"], signing = signers.mandate, generator.choice((DELEGATE, signing))
        if number == 0:
            signing, how = None, {}
        if generator.random() < 0.03:
            act = _changed(act, histories.GRANT, generator)
        signers.follow(act, told.say(act, signing, **how), told.said[-1]["index"])
        if generator.random() < 0.2:
            told.other()
    state = told.state(signers.document())
    if generator.random() < 0.1:
        state = _changed(state, told.state(), generator)
    if not isinstance(state, dict) or type(state.get("seq")) is not int or state["seq"] < 0:
        state = told.state(signers.document())
    shown = Shown((), time=TIME, is_bound=generator.random() < 0.8)
    seq = generator.randrange(1, len(told.said) + 1)
    members = story.evidence(told, state, seq, shown)
    since = 0 if shown.is_bound else 5
    return story.vector(members, story.policies(witnesses="quorum none\n", since=since))


class _Signers:
    """What the state of such a history says of who may sign: a guess that is mostly right."""

    def __init__(self) -> None:
        self.keys: dict[str, int] = {}
        self.last = HAND
        self.mandate: str | None = None
        self.mandates: list[Case] = []
        self.recovery: Case | None = None

    def follow(self, act: Any, digest: str, index: int) -> None:
        if isinstance(act, dict):
            key = next((each for each in HANDS if key_of(each) == act.get("key")), HAND)
            self._keys(act, key, index)
            self._mandates(act, key, digest, index)

    def _keys(self, act: Case, key: VectorKey, index: int) -> None:
        kind = act.get("type")
        if kind in ("key-replaced", "key-removed"):
            self.keys.pop(str(act.get("old")), None)
        if kind in ("key-enrolled", "key-replaced"):
            self.keys[key_id(key)], self.last = index, key
        if kind == "key-recovered" and self.recovery:
            self.keys, self.mandates = {self.recovery["key"]: index}, []

    def _mandates(self, act: Case, key: VectorKey, digest: str, index: int) -> None:
        kind = act.get("type")
        named = {"index": index, "key": key_id(key)}
        if kind == "recovery-requested":
            self.recovery = named | {"not_before": act.get("not_before"), "request": digest}
        if kind in ("recovery-cancelled", "key-recovered"):
            self.recovery = None
        if kind == "mandate-given":
            given = {"mandate": digest, "scenes": ["segmentation"], "until": act.get("until")}
            self.mandate = digest
            self.mandates.append(named | given)
        if kind == "mandate-ended":
            ended = act.get("mandate")
            self.mandates = [each for each in self.mandates if each["mandate"] != ended]

    def document(self) -> Case:
        keys = [{"index": index, "key": key} for key, index in self.keys.items()]
        members: Case = {"keys": keys, "mandates": self.mandates, "recovery": self.recovery}
        return {name: each for name, each in members.items() if each}


def _acts(told: Story, generator: random.Random) -> list[Case]:
    key = generator.choice(HANDS)
    asked = {"key": key_of(THIRD), "not_before": at(generator.choice((3, 4))), "proof": "card"}
    given = {"key": key_of(DELEGATE), "scenes": ["segmentation"], "until": at(9)}
    return [
        histories.GRANT,
        histories.GRANT,
        histories.WITHDRAWN,
        {"key": key_of(key), "type": "key-enrolled"},
        {"key": key_of(key), "old": key_id(generator.choice(HANDS)), "type": "key-replaced"},
        {"old": key_id(generator.choice(HANDS)), "type": "key-removed"},
        histories.TRIGGER | {"threshold": generator.choice((1, 2))},
        {**histories.TRIGGER, "type": "trigger-cleared"},
        {**asked, "type": "recovery-requested"},
        {"request": told.prev, "type": "recovery-cancelled"},
        {"request": told.prev, "type": "key-recovered"},
        {**given, "type": "mandate-given"},
        {"mandate": told.prev, "type": "mandate-ended"},
    ]
