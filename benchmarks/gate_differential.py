"""Plan, full Cedar and the definitional model on random cases: do they ever differ?

python -m benchmarks gate_differential           10^6 (policy, state, request) triples
TRIPLES=100000000 python -m benchmarks gate_differential
"""

import os
import random
import time

from gate import policy, word
from gate.decide import frozen, personal
from gate.plan import compile_plan
from gate.policy import Facts
from tests.gate.scenes import SCENES
from tests.gate.test_policy import RULES, checked

BATCH = 500
SERVICES = ("analytics", "crm", "stranger")


def main() -> None:
    wanted = int(os.environ.get("TRIPLES", "1000000"))
    rules = [checked(extra) for extra in RULES]
    start = time.perf_counter()
    tried = mismatches = permitted = 0
    while tried < wanted:
        found, allowed, differing = _batch(random.choice(rules))
        tried, permitted, mismatches = tried + found, permitted + allowed, mismatches + differing
    seconds = time.perf_counter() - start
    print("\nPlan against full Cedar, erroring rules and missing grants among them")
    print(f"  triples      {tried:>12,}  {tried / seconds:,.0f}/s")
    print(f"  permitted    {permitted:>12,}")
    print(f"  mismatches   {mismatches:>12,}")


def _batch(rules: policy.Policy) -> tuple[int, int, int]:
    scene, service = random.choice([*SCENES.values()]), random.choice(SERVICES)
    offered = policy.offered(rules, scene, service)
    plan = compile_plan(service, scene, offered=offered, release=None)
    asked: list[Facts] = []
    planned: list[bool] = []
    for _ in range(BATCH):
        consent, minute = _word(), random.randrange(1 << 28)
        stale = random.choice([0, word.ARMED, random.randrange(16) << word.ARMED_SHIFT])
        name, bit = random.choice([*plan.bits.items()])
        until = consent >> word.EXPIRY_SHIFT
        stopped = frozen(consent, stale)
        asked.append(Facts(name, bool(consent & bit), minute, until, stopped))
        planned.append(bool(personal(plan, consent, minute, stale) & plan.offered & bit))
    full = policy.permits(rules, scene, service, asked)
    differing = sum(a != b for a, b in zip(full, planned, strict=True))
    return BATCH, sum(full), differing


def _word() -> int:
    """Live as often as not: a random minute would nearly always have passed or never come."""
    return random.getrandbits(64) & random.choice([~0, ~word.TRIGGERS])
