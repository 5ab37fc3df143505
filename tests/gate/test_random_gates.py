"""Whole gates answer as the model does; and a gate that did not would be noticed (G145)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest

from gate.decision import eligibility, eligibility_cache
from gate.decision.eligibility import Cohort
from gate.http import authzen
from gate.http.response import Response
from gate.http.searches import Searches
from gate.policy.compiled import Plan
from gate.reads import masking
from gate.reads.bulk import groups, table
from gate.reads.point import Gate
from gate.state.consent_bits import BitsArray
from gate.state.consent_index import ConsentIndex
from gate.state.erased import ErasedIds
from ledger.events.envelope import Act
from portal.commands.customers import narrowing
from tests.campaign import sized
from tests.gate import random_gates

Answers = Mapping[str, int]


@pytest.mark.campaign
def test_g145_gates_over_random_companies_answer_as_the_model_does() -> None:
    """`python -m tests.gate.random_gates --requests 100000 --seed 1`."""
    found = random_gates.run(sized(300, 30_000), seed=1)
    assert found.mismatches == []
    permits = sum(found.answered[each] for each in PERMITS)
    assert found.requests / 20 < permits < found.requests / 2
    assert found.values > found.requests / 6
    shapes = {each.split()[0] for each in found.answered}
    assert shapes - {"deletion", "merge", "split"} == {*random_gates.ASKS}


PERMITS = [f"{shape} {why}" for shape in ("read", "evaluate") for why in ("granted", "expired")]
PERMITS += ["search found", "rows rows", "table table", "named rows", "read legitimate-interest"]


def whoever_searches(
    app: Searches, _: str, body: bytes, headers: Mapping[bytes, bytes]
) -> Response:
    """Without the comparison of a search's subject with the service that asks."""
    search = msgspec.json.decode(body, type=authzen.ResourceSearch)
    return RESOURCES(app, search.subject.id, body, headers)


def any_signal(plan: Plan, all_bits: BitsArray, wanted: int, minute: int, stale: int = 0) -> Cohort:
    return eligibility.readable(plan, all_bits, wanted, minute, 0)


def whole_scenes_only(
    state: ConsentIndex,
    index: int,
    subject: str,
    at: datetime,
    scene: str,
    fields: tuple[str, ...] | None,
) -> None:
    """An exclusion of single items is ignored."""
    if fields is None:
        WITHDRAWS(state, index, subject, at, scene, fields)


def forgets(erased: ErasedIds, subject: object) -> bool:
    """Whoever was erased is silent again when they come back."""
    return False


def silence_is_everything(state: ConsentIndex, scene: str, _: int) -> bool:
    return bool(state.unsaid(scene))


def whoever_has_a_row(_gate: Gate, asked: Any, rows: Any, least: int) -> Any:
    """Customers without a key count for a group, whose rows do not leave."""
    return groups.published(rows, "id", asked.columns, asked.plan.scene.domain, least)


def only_numbers(text: str, _known: Sequence[object] = ()) -> str:
    return MASKS(text)


def nothing_shared(*_: object) -> Iterator[Act]:
    """A merge takes nothing from who stays."""
    return iter(())


RESOURCES, WITHDRAWS = Searches.resource, ConsentIndex._withdraw
MASKS = masking.mask
MUTANTS: dict[str, tuple[object, str, object, int]] = {  # with a seed that shows it soon
    "a search's subject is not compared with its service": (
        Searches,
        "resource",
        whoever_searches,
        3,
    ),
    "stale signals are ignored in cohorts": (eligibility_cache, "readable", any_signal, 7),
    "an exclusion is ignored": (ConsentIndex, "_withdraw", whole_scenes_only, 4),
    "an erased id is silent again": (ErasedIds, "__contains__", forgets, 1),
    "a group counts rows that do not leave": (table, "in_groups", whoever_has_a_row, 7),
    "known names leave in free texts": (masking, "mask", only_numbers, 1),
    "a merge takes nothing away": (narrowing, "shared", nothing_shared, 1),
    "silence covers items that came later": (
        ConsentIndex,
        "silence_covers",
        silence_is_everything,
        8,
    ),
}


@pytest.mark.parametrize("why", MUTANTS)
def test_g145_a_gate_that_answers_otherwise_is_noticed(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, name, mutant, seed = MUTANTS[why]
    monkeypatch.setattr(target, name, mutant)
    assert random_gates.run(6_000, seed).mismatches
