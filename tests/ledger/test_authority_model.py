"""Clauses I20 to I42 once more: the ledger's rules and the model of specs/model say the same.

Histories are drawn so that most of what is tried is nearly right: a key in force, a request that
waits, a mandate that was given; and then one part is another.
"""

import random
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import pytest

from ledger.events.authority import Recovery
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    KeyEnrolled,
    KeyRecovered,
    KeyRemoved,
    KeyReplaced,
    MandateEnded,
    MandateGiven,
    RecoveryCancelled,
    RecoveryRequested,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.events.instruction_signature import InstructionError
from specs.model import authority as model
from tests.ledger.events import NOON
from tests.ledger.hands import BrowserKey, Customer, Hand, Passkey, class_of, document

HANDS: tuple[Hand, ...] = (Passkey(), *(BrowserKey() for _ in range(6)))
BY_ID = {hand.key.id: hand for hand in HANDS}
HISTORIES, LENGTH = 80, 40
T = TypeVar("T")


@dataclass
class Teller:
    """Draws what a customer says next, or somebody in their name."""

    chance: random.Random
    customer: Customer = field(default_factory=Customer)
    now: datetime = NOON

    def mostly(self, right: list[T], other: T) -> T:
        return self.chance.choice(right) if right and self.chance.random() < 0.85 else other

    def hand(self) -> Hand:
        return self.chance.choice(HANDS)

    def scene(self) -> str:
        return self.chance.choice(("a", "b"))

    def held(self) -> Hand:
        """A key that is usually active."""
        return self.mostly(
            [BY_ID[each] for each in self.customer.state.authority.keys], self.hand()
        )

    def act(self) -> Act:
        who, scene = self.customer.state.authority, self.scene()
        key, old, later = self.hand().key, self.held().key.id, self.now + self.days(9)
        request = self.mostly([who.recovery.request] if who.recovery else [], bytes(32))
        mandate = self.mostly([*who.mandates], bytes(32))
        scenes = self.chance.choice((("b",), ("a",), ("a",), ("b",), ("a", "b")))
        return self.chance.choice(
            (
                Granted(scene, ("age",), None),
                Withdrawn(scene),
                TriggerSet(scene, "below", "drift", self.chance.randrange(2)),
                TriggerCleared(scene, "below", "drift"),
                Imported(scene, ("age",), None, "legacy"),
                KeyEnrolled(key),
                KeyReplaced(old, key),
                KeyRemoved(old),
                RecoveryRequested(key, "card", later),
                RecoveryCancelled(request),
                KeyRecovered(request),
                MandateGiven(key, scenes, later),
                MandateGiven(key, scenes, later),
                MandateEnded(mandate),
            )
        )

    def days(self, most: int) -> timedelta:
        return timedelta(days=self.chance.randrange(most))

    def next(self) -> tuple[Instruction, Hand | None]:
        self.now += self.chance.choice((timedelta(), timedelta(), self.days(3)))
        who, branch = self.customer.state.authority, self.chance.random()
        if who.mandates and branch < 0.35:
            return self._mandated(self.chance.choice([*who.mandates]))
        if who.recovery and branch < 0.6:
            return self._recovering(who.recovery)
        hand = self.chance.choice((None, self.held(), self.held(), self.hand()))
        evidence = self.mostly([class_of(hand)], self.chance.choice([*EvidenceClass]))
        return self.customer.draft(self.act(), hand, at=self.now, evidence=evidence), hand

    def _mandated(self, name: bytes) -> tuple[Instruction, Hand | None]:
        """Under a mandate, with at most one thing wrong."""
        mandate = self.customer.state.authority.mandates[name]
        wrong = self.chance.choice(("nothing", "nothing", "hand", "scene", "time", "act"))
        hand = self.hand() if wrong == "hand" else BY_ID[mandate.key.id]
        scenes = ["a", "b"] if wrong == "scene" else sorted(mandate.scenes)
        act = Granted(self.chance.choice(scenes), ("age",), None)
        until = model.time(mandate.until)
        at = until if wrong == "time" else min(self.now, until - timedelta(minutes=1))
        said = self.act() if wrong == "act" else act
        return self.customer.draft(said, hand, at=at, mandate=name), hand

    def _recovering(self, waiting: Recovery) -> tuple[Instruction, Hand | None]:
        """The end of a recovery, or a minute too early."""
        due = model.time(waiting.not_before)
        self.now = max(self.now, due - timedelta(minutes=self.chance.randrange(2)))
        ends = (KeyRecovered(waiting.request), RecoveryCancelled(waiting.request))
        hand = self.chance.choice((None, None, self.held(), self.hand()))
        return self.customer.draft(self.chance.choice(ends), hand, at=self.now), hand


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_i20_to_i42_the_rules_are_those_of_the_model(seed: int) -> None:
    teller = Teller(random.Random(seed))
    history: model.History = []
    for _ in range(LENGTH):
        drafted, hand = teller.next()
        said = document(drafted)
        signer = b64encode(hand.key.id).decode() if hand else None
        kind = str(hand.key.kind) if hand else "session"
        wanted = model.allowed(history, said, signer, kind)
        assert heard(teller.customer, drafted, hand) == wanted, (said, signer)
        if wanted:
            history.append((said, signer))
        assert shown(teller.customer) == ({*model.keys(history)}, {*model.mandates(history)})


def test_i20_to_i42_every_act_is_tried_and_both_allowed_and_refused() -> None:
    told: Counter[tuple[str, bool]] = Counter()
    for seed in range(HISTORIES):
        teller = Teller(random.Random(seed))
        for _ in range(LENGTH):
            said, hand = teller.next()
            kind = "under a mandate" if said.mandate else type(said.act).__name__
            told[kind, heard(teller.customer, said, hand)] += 1
    assert len(told) == 2 * 14
    assert min(told.values()) >= 5, told


def heard(customer: Customer, said: Instruction, hand: Hand | None) -> bool:
    try:
        customer.hear(said, hand)
    except InstructionError:
        return False
    return True


def shown(customer: Customer) -> tuple[set[str], set[str]]:
    held = customer.state.authority
    keys, mandates = ({b64encode(n).decode() for n in each} for each in (held.keys, held.mandates))
    return keys, mandates
