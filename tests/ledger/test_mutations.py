"""A small run of `python -m tests.ledger.mutations`; the large one is a command of its own."""

import random

import pytest

from tests.campaign import sized
from tests.ledger import mutations, mutators
from tests.ledger.mutators import BYTES, EVERY, Mutator
from tests.ledger.targets import Target, targets


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    return targets(tmp_path_factory.mktemp("targets"))


@pytest.mark.campaign
def test_l97_no_mutation_of_what_a_verifier_reads_is_accepted(chosen: list[Target]) -> None:
    found = list(mutations.accepted(chosen, count=sized(5_000, 250_000), seed=7))
    assert [each for each in found if each.same is None] == []


def test_l97_each_format_with_a_verifier_is_a_target(chosen: list[Target]) -> None:
    assert {each.kind for each in chosen} == {
        "bundle",
        "consistency",
        "evidence",
        "inclusion",
        "key",
        "log",
        "log signed again",
        "map",
        "note",
        "receipt",
        "signature",
        "state",
        "submission",
        "tile",
        "timestamp",
    }


TEXT = (
    "checkpoint\nextra eyJhIjpbMSx7ImIiOiJjIn1dfQ==\nindex 12\n\nhead\n7\n\n— name Zm9vYmE/+A==\n"
).encode()
OTHER = b"other\nextra eyJhIjpbMl19\nindex 3\n\nhead\n8\n\n" + "— name Zm9vYmF6YmE=\n".encode()


@pytest.mark.parametrize("mutator", EVERY, ids=lambda each: each.__name__)
def test_every_mutator_changes_what_it_fits_and_takes_whatever_it_is_given(
    mutator: Mutator,
) -> None:
    generator = random.Random(1)
    assert any(mutator(TEXT * 4, OTHER, generator) != TEXT * 4 for _ in range(20))
    for data in (b"", b"\n", b"\xff" * 70, TEXT):
        for other in (b"", TEXT):
            assert isinstance(mutator(data, other, generator), bytes)


def test_what_stands_in_base64_is_changed_and_encoded_again() -> None:
    changed = [mutators.members(TEXT, OTHER, random.Random(seed)) for seed in range(50)]
    assert all(each.startswith(b"checkpoint\nextra ") for each in changed)
    assert len({*changed}) > 10


def careless(data: bytes, reads: object = None) -> Target:
    """Whoever wrote its check forgot that other texts are the same number."""
    return Target("number", "careless", data, lambda found: int(found.decode() or "0"))


def test_a_verifier_that_accepts_a_mutation_is_reported() -> None:
    found = list(mutations.accepted([careless(b"1234")], count=50, seed=1))
    assert any(each.same is None for each in found)


def test_l98_what_says_the_same_is_counted_apart() -> None:
    found = list(mutations.accepted([careless(b"12"), careless(b"1")], count=300, seed=1))
    assert any(each.same is not None for each in found)
    assert any(each.same is None for each in found)
    assert all((each.same is not None) == (each.data in {b"12", b"1"}) for each in found)


def test_a_mutation_is_never_the_thing_itself(chosen: list[Target]) -> None:
    generator = random.Random(3)
    for target in chosen:
        for _ in range(20):
            changed = mutations.mutate(target.data, target.data, target.mutators, generator)
            assert changed != target.data


def test_bytes_and_structure_are_both_changed() -> None:
    assert {*BYTES} < {*EVERY}


def test_l98_a_signature_that_was_never_made_is_no_other_writing_of_the_same(
    chosen: list[Target],
) -> None:
    """If a key's signature could be rewritten and still verify, that would count as accepted."""
    note = next(each for each in chosen if each.kind == "note" and each.asked)
    made = frozenset(note.data.split(b"\n"))
    text, _, lines = note.data.rpartition(b"\n\n")
    rewritten = text + b"\n\n" + lines.replace(lines[-8:-4], b"AAAA")
    assert note.meaning(rewritten, made) != note.meaning(note.data, made)
    doubled = note.data + b"\xe2\x80\x94 stranger.example AAAAAAAA\n"
    assert note.meaning(doubled, made) == note.meaning(note.data, made)
