"""Clause L97 of specs/ledger.md."""

import random

from tests.ledger import mutate

COUNT = 20_000  # `python -m tests.ledger.mutate` tries a million


def test_l97_no_mutation_is_accepted() -> None:
    tried, accepted = mutate.campaign(COUNT, seed=7)
    assert [*accepted] == []
    assert tried.total() == COUNT
    assert min(tried.values()) > COUNT // 12


def test_l97_the_campaign_notices_what_is_accepted() -> None:
    lenient = mutate.Thing(b"thing", lambda _: None)
    assert mutate.accepts(lenient, b"thong")


def test_l97_every_mutator_changes_something() -> None:
    data = b"one 12\ntwo\n\nthree\n"
    for mutator in mutate.MUTATORS:
        assert any(mutator(data, random.Random(seed)) != data for seed in range(9)), mutator
