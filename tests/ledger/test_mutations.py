"""A small run of `python -m tests.ledger.mutations`; the large one is a command of its own."""

import random
from pathlib import Path

import pytest

from tests.ledger import mutations


def test_no_mutation_of_what_a_verifier_reads_is_accepted(tmp_path: Path) -> None:
    assert list(mutations.accepted(tmp_path, count=20_000, seed=7)) == []


@pytest.mark.parametrize("mutator", mutations.MUTATORS, ids=lambda each: each.__name__)
def test_every_mutator_changes_what_it_is_given(mutator: mutations.Mutator) -> None:
    generator = random.Random(1)
    text = "checkpoint\n12\n\n— name Zm9v/+A=\n".encode()
    changed = [mutator(text, generator) for _ in range(20)]
    assert any(each != text for each in changed)
    assert isinstance(mutator(b"", generator), bytes)


def test_a_verifier_that_accepts_a_mutation_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = mutations.Target("careless", b"1234", lambda data: int(data.decode() or "0"))
    monkeypatch.setattr(mutations, "targets", lambda _: [careless])
    assert list(mutations.accepted(tmp_path, count=50, seed=1))
