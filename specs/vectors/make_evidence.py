"""Evidence (specs/instruction.md, I70 to I75): a customer's history, and their keys."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from specs.vectors.histories import (
    BROWSER,
    DELEGATE,
    ENROLLED,
    GRANT,
    HAND,
    LAST_SECOND,
    THIRD,
    TRIGGER,
    WITHDRAWN,
    at,
    enrolled,
    lives,
    only,
)
from specs.vectors.signing import LOG, MLDSA, STRANGER, TIME, W1, W2, Key
from specs.vectors.story import (
    FIRST,
    FIRST_STATES,
    SECOND,
    SECOND_STATES,
    Entry,
    Shown,
    Story,
    evidence,
    key_id,
    key_of,
    policies,
    vector,
)
from specs.vectors.vector import Vector, canonical, cases

QUANTUM = Key(W1.name, MLDSA)
UNWITNESSED = "quorum none\n"
DAY = 86_400


def short() -> tuple[Story, Entry]:
    """A key is enrolled and signs; the keys of both logs are rotated between."""
    story = Story()
    story.other()
    story.say(ENROLLED)
    story.rotate(SECOND, FIRST, SECOND)
    story.say(GRANT, HAND)
    story.keep(1, SECOND, W1, W2)
    story.rotate(SECOND_STATES, SECOND)
    story.other()
    return story, enrolled((HAND, 1))


def long() -> tuple[Story, Entry]:
    """A key after another, a mandate, a recovery, all signed as they must be."""
    story = Story()
    story.say(ENROLLED)
    story.say({"key": key_of(BROWSER), "old": key_id(HAND), "type": "key-replaced"}, HAND)
    story.say(TRIGGER | {"threshold": 1}, BROWSER)
    story.say(TRIGGER | {"threshold": 1})  # again, in a session: it narrows
    given = {"key": key_of(DELEGATE), "scenes": ["😀", "segmentation", "￿"]}
    mandate = story.say(given | {"type": "mandate-given", "until": at(9)}, BROWSER)
    story.say(GRANT, DELEGATE, mandate=mandate)
    asked = {"key": key_of(THIRD), "not_before": at(4), "proof": "card"}
    request = story.say(asked | {"type": "recovery-requested"}, at=at(1))
    story.say({"request": request, "type": "recovery-cancelled"}, at=at(1))
    again = story.say(asked | {"type": "recovery-requested"}, at=at(1))
    for day in (1, 4):  # witnesses saw the request, and 72 hours later a log without its end
        story.keep(len(story.said) - 1, FIRST, W1, W2, time=TIME + day * DAY)
    story.say({"request": again, "type": "key-recovered"}, at=at(4))
    story.say(ENROLLED, THIRD, at=at(5))
    story.say({"old": key_id(HAND), "type": "key-removed"}, THIRD, at=at(5))
    story.say(WITHDRAWN, at=at(5))
    return story, enrolled((THIRD, 9))


def vectors() -> Iterator[Vector]:
    """`evidence` is right under `policies`: that of the consent log, and of its state log."""
    story, signers = short()
    members = evidence(story, story.state(signers), 2)
    yield from cases(
        "rotations, and a kept receipt",
        vector(members, policies()),
        *_members(members),
        *_texts(members),
        *_trusted(),
        *_stated(),
        *_rotated(),
        *_kept(story, signers),
    )
    newest = policies([SECOND], [SECOND_STATES])
    yield from cases("policies of after the rotations", vector(members | {"kept": []}, newest))
    story, signers = long()
    late = Shown(time=TIME + 5 * DAY)
    members = evidence(story, story.state(signers), 11, late)
    yield from cases("a whole life of keys", vector(members, policies()), *_waits(), *lives())
    yield from _others()


def _waits() -> Iterator[tuple[str, Vector]]:
    """Recoveries whose 72 hours witnesses did not see pass (specs/instruction.md, I76)."""
    story, signers = long()
    late = Shown(time=TIME + 5 * DAY)
    first, second = story.kept
    shown = {
        "kept: nothing of the request": [],
        "kept: the first of the request alone": [first],
        "kept: the last of the request alone": [second],
        "kept: in another order": [second, first],
    }
    for why, kept in shown.items():
        story.kept = kept
        yield why, only(evidence(story, story.state(signers), 11, late))
    story.kept = [first]
    story.keep(8, FIRST, W1, W2, time=TIME + 4 * DAY)
    yield (
        "kept: under a log that has the end",
        only(evidence(story, story.state(signers), 11, late)),
    )


def _others() -> Iterator[Vector]:
    story = Story()
    story.say(GRANT)
    state, plain = story.state(), policies(witnesses=UNWITNESSED)
    alone = vector(evidence(story, state, how=Shown(())), plain)
    yield from cases("a session, without witnesses", alone, *_chains())
    unbound = vector(evidence(story, state, how=Shown(is_bound=False)), policies(since=5))
    early = {"policies": policies(since=1)}
    yield from cases("a map that is not bound yet", unbound, ("policies: it was bound", early))
    end = Shown(time=LAST_SECOND)
    yield from cases(
        "witnesses who state the last second of all",
        vector(evidence(story, state, how=end), policies()),
        ("evidence: a second later", only(evidence(story, state, how=Shown(time=end.time + 1)))),
        ("evidence: a time beyond", only(evidence(story, state, how=Shown(time=1 << 62)))),
    )
    watched = f"witness w1 {QUANTUM.vkey}\nquorum w1\n"
    pq = Key(FIRST.name, MLDSA)
    both = Shown((QUANTUM,), more=(pq,))
    beyond = Shown((QUANTUM,), time=1 << 62, more=(pq,))
    trusted = policies([FIRST, pq], witnesses=watched)
    yield from cases(
        "a log and a witness with keys of ML-DSA-44",
        vector(evidence(story, state, how=both), trusted),
        ("evidence: a time that is none", only(evidence(story, state, how=beyond))),
        ("evidence: by Ed25519 alone", only(evidence(story, state, how=Shown((QUANTUM,))))),
    )


def _members(members: Entry) -> Iterator[tuple[str, Vector]]:
    for why, change in CHANGES.items():
        changed = deepcopy(members)
        change(changed)
        yield f"evidence: {why}", only(changed)


def _exchanged(entries: list[Entry], name: str) -> None:
    one, two = entries
    one[name], two[name] = two[name], one[name]


def _public(members: Entry) -> Entry:
    """The rotation as an entry."""
    (rotation, *_) = members["rotations"]
    event = {"at": at(0), "keys": [SECOND.vkey], "origin": SECOND.name, "type": "key-rotated"}
    return {"extra": {"event": event}, "index": 2, "proof": rotation["proof"]}


def _without(text: str, *keys: Key) -> str:
    lines = text.splitlines(keepends=True)
    names = tuple(f"— {key.name} " for key in keys)
    return "".join(line for line in lines if not line.startswith(names))


# Parts left out, exchanged, of another type.
CHANGES: dict[str, Callable[[Entry], object]] = {
    "an entry left out": lambda m: m["entries"].pop(0),
    "the last entry left out": lambda m: m["entries"].pop(),
    "no entries": lambda m: m.update(entries=[]),
    "an entry twice": lambda m: m["entries"].append(m["entries"][1]),
    "entries in another order": lambda m: m["entries"].reverse(),
    "an entry's place as true": lambda m: m["entries"][0].update(index=True),
    "an entry's place as a text": lambda m: m["entries"][0].update(index="1"),
    "another place": lambda m: m["entries"][0].update(index=2),
    "a negative place": lambda m: m["entries"][0].update(index=-1),
    "a path left out": lambda m: m["entries"][0].update(proof=[]),
    "a hash a byte short": lambda m: m["entries"][0]["proof"].__setitem__(0, "A" * 40),
    "a path that is a text": lambda m: m["entries"][0].update(proof=""),
    "a hash that is a number": lambda m: m["entries"][0]["proof"].__setitem__(0, 1),
    "a member of an entry more": lambda m: m["entries"][0].update(more=1),
    "an event that is a text": lambda m: m["entries"][0]["extra"].update(event="granted"),
    "an event that is null": lambda m: m["entries"][0]["extra"].update(event=None),
    "the places of two exchanged": lambda m: _exchanged(m["entries"], "index"),
    "the paths of two exchanged": lambda m: _exchanged(m["entries"], "proof"),
    "another salt": lambda m: m["entries"][0]["extra"].update(salt="00" * 32),
    "a signature left out": lambda m: [
        m["entries"][1]["extra"].pop(name) for name in ("signature", "signer")
    ],
    "another act": lambda m: m["entries"][1]["extra"]["event"].update(act=WITHDRAWN),
    "a public act among the entries": lambda m: m["entries"].insert(1, _public(m)),
    "about none": lambda m: m.update(seq=0),
    "about one to come": lambda m: m.update(seq=3),
    "about true": lambda m: m.update(seq=True),
    "another type": lambda m: m.update(type="sovereign-evidence/v2"),
    "a member more": lambda m: m.update(more=1),
    "a member missing": lambda m: m.pop("rotations"),
    "entries that are no list": lambda m: m.update(entries={}),
    "a checkpoint that is a number": lambda m: m.update(checkpoint=1),
    "a state that is a number": lambda m: m.update(state=1),
    "a state that is null": lambda m: m.update(state=None),
    "the state as the checkpoint": lambda m: m.update(checkpoint=m["state"]),
    "an older checkpoint": lambda m: m.update(checkpoint=m["kept"][0].partition("\n\n")[2]),
    "no rotations": lambda m: m.update(rotations=[]),
    "the first rotation left out": lambda m: m["rotations"].pop(0),
    "the last rotation left out": lambda m: m["rotations"].pop(),
    "rotations in another order": lambda m: m["rotations"].reverse(),
    "a rotation twice": lambda m: m["rotations"].append(m["rotations"][1]),
    "a rotation's path left out": lambda m: m["rotations"][0].update(proof=[]),
    "a rotation that is a text": lambda m: m["rotations"].__setitem__(0, "rotation"),
    "a kept receipt as a rotation": lambda m: m["rotations"][0].update(receipt=m["kept"][0]),
    "a rotation as a kept receipt": lambda m: m.update(kept=[m["rotations"][0]["receipt"]]),
    "a kept receipt twice": lambda m: m.update(kept=m["kept"] * 2),
    "a kept receipt that is null": lambda m: m.update(kept=[None]),
    "kept receipts that are null": lambda m: m.update(kept=None),
    "a kept receipt that nobody cosigned": lambda m: m.update(
        kept=[_without(m["kept"][0], W1, W2)]
    ),
    "a kept receipt with a cosignature missing": lambda m: m.update(
        kept=[_without(m["kept"][0], W2)]
    ),
    "a cosignature missing": lambda m: m.update(checkpoint=_without(m["checkpoint"], W1)),
    "a cosignature of the state missing": lambda m: m.update(state=_without(m["state"], W2)),
}


def _texts(members: Entry) -> Iterator[tuple[str, Vector]]:
    whole = canonical(members)
    changed = {
        "no newline at the end": whole,
        "two newlines at the end": whole + "\n\n",
        "a space": whole.replace('"seq":2', '"seq": 2', 1) + "\n",
        "cut off": whole[:-10] + "\n",
        "nothing": "",
        "null": "null\n",
        "a list": f"[{whole}]\n",
        "a member twice": whole.replace('"seq":2,', '"seq":2,"seq":2,', 1) + "\n",
    }
    yield from ((f"evidence: {why}", {"evidence": text}) for why, text in changed.items())


def _trusted() -> Iterator[tuple[str, Vector]]:
    consent, states = policies()
    unmapped = "".join(line for line in states.splitlines(True) if not line.startswith("vrf"))
    changed = {
        "of the consent log alone": [consent],
        "of the state log alone": [states],
        "none": [],
        "no key of the map": [consent, unmapped],
        "another key of the map": [consent, states.replace(" 0\n", " 9\n", 1)],
        "another log": policies([STRANGER]),
        "another key of the log": policies([Key(FIRST.name, LOG, "another")]),
        "a third witness": policies(witnesses=f"witness w3 {STRANGER_W.vkey}\nquorum w3\n"),
    }
    yield from ((f"policies: {why}", {"policies": each}) for why, each in changed.items())


STRANGER_W = Key("witness.example/w9", W1.kind)


def _stated() -> Iterator[tuple[str, Vector]]:
    """The state that the company shows is another one."""
    story, signers = short()
    of_true = enrolled((HAND, 1))
    of_true["keys"][0]["index"] = True
    shown: dict[str, Entry] = {
        "without keys": story.state(),
        "with another key": story.state(enrolled((THIRD, 1))),
        "with a key more": story.state(enrolled((HAND, 1), (THIRD, 2))),
        "with a key that another entry enrolled": story.state(enrolled((HAND, 2))),
        "with a place that is true": story.state(of_true),
        "with a recovery": story.state(signers, recovery=None),
        "of fewer instructions": story.state(signers, seq=1),
        "of another head": story.state(signers, head=key_id(HAND)),
        "of another customer": story.state(signers, subject="c-00008"),
    }
    for why, state in shown.items():
        yield f"state: {why}", only(evidence(story, state, 2))
    older = evidence(story, story.state(signers), 2, Shown(size=5))
    yield "state: of an older size", only(older)
    early = evidence(story, story.state(signers), 2, Shown(time=TIME - 301))
    yield "checkpoint: cosigned before the instructions", only(early | {"kept": []})


def _kept(story: Story, signers: Entry) -> Iterator[tuple[str, Vector]]:
    event = {"at": at(0), "keys": [SECOND_STATES.vkey], "origin": SECOND_STATES.name}
    public = story.receipt({"event": event | {"type": "key-rotated"}}, 4, SECOND, W1, W2)
    members = evidence(story, story.state(signers), 2)
    yield "evidence: a public act, kept", only(members | {"kept": [public]})


def _rotated() -> Iterator[tuple[str, Vector]]:
    """Rotations that are none."""

    def story(*signers: Key, new: Key = SECOND, **but: Any) -> Vector:
        made = Story()
        made.other()
        made.say(ENROLLED)
        made.rotate(new, *signers, **but)
        made.say(GRANT, HAND)
        made.rotate(SECOND_STATES, made.consent)
        made.other()
        return only(evidence(made, made.state(enrolled((HAND, 1))), 2))

    yield "rotation: the key before did not sign", story(SECOND)
    yield "rotation: the new key did not sign", story(FIRST)
    yield "rotation: nobody signed but a stranger", story(STRANGER)
    yield "rotation: to no keys", story(FIRST, SECOND, keys=[])
    named = Key("other.example/consent", LOG)
    yield "rotation: of another log", story(FIRST, new=named)
    states = story(FIRST, new=SECOND_STATES, keys=[named.vkey])
    yield "rotation: of the state log, to a key of another name", states
    yield "rotation: to a key of another name", story(FIRST, SECOND, keys=[named.vkey])
    yield "rotation: to a key that is none", story(FIRST, SECOND, keys=["key"])
    yield "rotation: another event", story(FIRST, SECOND, type="policy-published")


def _chains() -> Iterator[tuple[str, Vector]]:
    """Logs and states of the company's, in which entries do not follow one another."""
    changes: dict[str, Entry] = {
        "a predecessor that is another": {"prev": key_id(HAND)},
        "a number left out": {"seq": 3},
        "another customer": {"subject": "c-00008"},
    }
    for why, but in changes.items():
        story = Story()
        story.say(GRANT)
        story.say(WITHDRAWN, **but)
        yield f"entries: {why}", only(evidence(story, story.state(), how=Shown(())))
    story = Story()
    story.say(GRANT)
    story.say(WITHDRAWN)
    story.log.reverse()
    story.said = [each | {"index": 1 - each["index"]} for each in story.said]
    yield (
        "entries: a later one earlier in the log",
        only(evidence(story, story.state(), how=Shown(()))),
    )
    story = Story()
    story.say(GRANT)
    story.keep(0, FIRST, W1)
    yield (
        "kept: cosigned by nobody whom the policy names",
        only(evidence(story, story.state(), how=Shown(()))),
    )
    yield "state: in a log of another name", _elsewhere()


def _elsewhere() -> Vector:
    story = Story(states=Key("other.example/consent/state", LOG))
    story.say(GRANT)
    consent, states = policies(states=[story.states], witnesses=UNWITNESSED)
    named = states.replace(f"vrf {FIRST_STATES.name} ", f"vrf {story.states.name} ")
    return vector(evidence(story, story.state(), how=Shown(())), [consent, named])
