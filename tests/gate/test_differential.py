"""Plan, full Cedar and the model decide alike; and whoever did not would be caught (G56)."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import cedarpy
import pytest

from gate.contracts.scene import Scene
from gate.decision.decide import Verdict, verdict
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy, Pair, PolicyFacts
from gate.policy.compiled import Plan
from gate.state import consent_bits
from specs.model import policy as model
from tests.campaign import sized
from tests.gate import differential
from tests.gate.differential import MISTAKES, PLAIN, Decides, _makes_mistakes, _rule
from tests.gate.test_policy import LAW, OURS

Fields = tuple[str, ...]


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [1, 2])
def test_g56_plan_cedar_and_model_decide_alike(seed: int) -> None:
    """`python -m benchmarks gate_differential` compares a million."""
    found = differential.run(sized(3_000, 100_000), seed)
    assert found.mismatches == []
    assert found.triples / 20 < found.permitted < found.triples / 2
    assert found.triples / 5 < found.mistaken < found.triples


def without_end(plan: Plan, fields: Fields, held: int, _minute: int, stale: int) -> Verdict:
    return verdict(plan, fields, held, 0, stale)


def a_minute_longer(plan: Plan, fields: Fields, held: int, minute: int, stale: int) -> Verdict:
    return verdict(plan, fields, held, minute - 1, stale)


def a_minute_shorter(plan: Plan, fields: Fields, held: int, minute: int, stale: int) -> Verdict:
    return verdict(plan, fields, held, minute + 1, stale)


def without_triggers(plan: Plan, fields: Fields, held: int, minute: int, _stale: int) -> Verdict:
    return verdict(plan, fields, held & ~consent_bits.TRIGGERS, minute, 0)


def without_crossing(plan: Plan, fields: Fields, held: int, minute: int, stale: int) -> Verdict:
    return verdict(plan, fields, held & ~(0b1111 << consent_bits.CROSSED_SHIFT), minute, stale)


def with_any_signal(plan: Plan, fields: Fields, held: int, minute: int, _stale: int) -> Verdict:
    return verdict(plan, fields, held, minute, 0)


def without_policy(plan: Plan, fields: Fields, held: int, minute: int, stale: int) -> Verdict:
    every = (1 << len(plan.bits)) - 1
    return verdict(replace(plan, offered=every), fields, held, minute, stale)


def scene_by_scene(plan: Plan, fields: Fields, held: int, minute: int, stale: int) -> Verdict:
    granted = consent_bits.FIELDS if held & consent_bits.FIELDS else 0
    return verdict(plan, fields, held | granted, minute, stale)


def always_synthetic(plan: Plan, fields: Fields, held: int, minute: int, stale: int) -> Verdict:
    return verdict(replace(plan, release="r"), fields, held, minute, stale)


def unlocked(plan: Plan, fields: Fields, held: int, minute: int, stale: int) -> Verdict:
    return verdict(replace(plan, always=0), fields, held, minute, stale)


SEEDS = range(1, 13)  # until one of them shows it
MUTANTS: dict[str, Decides] = {
    "the end of a grant is ignored": without_end,
    "a grant lives a minute longer": a_minute_longer,
    "a grant lives a minute shorter": a_minute_shorter,
    "triggers are ignored": without_triggers,
    "a crossed threshold is ignored": without_crossing,
    "a stale signal counts": with_any_signal,
    "the organisation's policy is ignored": without_policy,
    "one field stands for all": scene_by_scene,
    "a release is invented": always_synthetic,
    "the contract is no basis": unlocked,
}


@pytest.mark.parametrize("why", MUTANTS)
def test_a_plan_that_decides_otherwise_is_caught(why: str) -> None:
    assert any(differential.run(1_000, seed, decides=MUTANTS[why]).mismatches for seed in SEEDS)


def skipping_errors(
    rules: CedarPolicy, scene: Scene, service: str, asked: Sequence[PolicyFacts]
) -> list[bool]:
    """What Cedar alone would say: a rule that makes a mistake is as if it were not there."""
    requests = [cedar._request(scene, service, each) for each in asked]
    found: Any = cedarpy.is_authorized_batch(
        requests, rules.parsed, cedar._entities(scene, service)
    )
    return [each.decision is cedarpy.Decision.Allow for each in found]


def test_a_cedar_whose_errors_are_skipped_is_caught() -> None:
    assert any(differential.run(1_000, n, permits=skipping_errors).mismatches for n in SEEDS)


def test_the_random_rules_are_ones_that_an_organisation_can_write() -> None:
    """But for those that make mistakes, of which strict validation finds all it can."""
    chance = Random(1)
    rules = [_rule(chance) for _ in range(60)]
    sound = [r for r in rules if not any(_makes_mistakes(each) for _, each in r.conditions)]
    assert len(sound) > 20
    text = "\n".join(map(model.text, sound))
    assert cedar.check(LAW, Pair(OURS.schema, text)).rules.endswith(text)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each[0])
def test_a_rule_that_makes_a_mistake_denies_whomever_it_is_about(
    mistake: tuple[Any, ...],
) -> None:
    broken = model.Rule(permit=False, service="crm", scene=None, conditions=((True, mistake),))
    rules = differential.policed([differential.EVERYBODY, broken])
    scene = differential.WITH_PARTNER["segmentation"]
    live = PolicyFacts("age", granted=True, minute=0, until=cedar.FAR, frozen=False)
    assert cedar.permits(rules, scene, "crm", [live]) == [False]
    assert cedar.permits(rules, scene, "analytics", [live]) == [True]


def test_every_kind_of_expression_is_tried() -> None:
    """Otherwise their agreement would say nothing about it."""
    kinds = {each[0] for each in (*PLAIN, *MISTAKES)}
    assert kinds == {*model.SIMPLE}
