"""Plan, full Cedar and the model of specs/model on random cases: do they ever differ?

A trial is a random policy, a random history of what customers, companies and signals said, and
many requests. Three who have nothing in common answer each of them:

- the plan, on the consent word that `ConsentState` folded from the history;
- full Cedar, told what the model finds in the history about grant, end and freeze;
- the model, on the history itself and the rules as data: views, reason and determining entry.

tests/gate/random_companies.py compares whole gates, their shapes, erasures and quotas.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gate.contracts.scene import Scene, Service
from gate.decision import decide
from gate.decision.decide import Verdict
from gate.policy import cedar as policy
from gate.policy.cedar import CedarPolicy, PolicyFacts
from gate.policy.compiled import Plan, compile_plan
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from ledger.events.acts import Limited
from ledger.events.envelope import (
    Act,
    Event,
    Granted,
    Instruction,
    ScenePublished,
    SignalReported,
    SourceDeleted,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.reader import RecordedEvent
from specs.model import consent
from specs.model import gate as model
from specs.model import policy as rules_model
from specs.model.consent import History
from specs.model.contract import Contract
from specs.model.gate import Answer, Facts
from specs.model.policy import Asked, Expression, Rule
from tests.gate import modelled
from tests.gate.scenes import NEWS, SCENES, WORDS
from tests.gate.test_policy import LAW
from tests.gate.world import NOON, WORDING
from tests.ledger.worlds import class_of

BROKER = Service("broker", WORDS, partner=True)
WITH_PARTNER = {
    name: replace(scene, services=(*scene.services, BROKER)) if number % 2 else scene
    for number, (name, scene) in enumerate((SCENES | {NEWS.id: NEWS}).items())
}
CONTRACTS = modelled.contracts(WITH_PARTNER)
SUBJECTS = ("c1", "c2", "c3")
SERVICES = ("analytics", "analytics", "analytics", "crm", "crm", "broker", "stranger")
VERSIONS = ("0.9.0", "1.0.0", "1.0.0", "1.0.0", "2.0.0")
TRIGGERS = (
    ("metric_below", "accuracy"),
    ("count_over", "complaints"),
    ("incident_open", "incident"),
)
FAR = datetime(2500, 1, 1, tzinfo=UTC)  # for what has no end
TOGETHER = 25  # requests of one service in one scene
ROUNDS = 3  # services and scenes of one history
HISTORIES = 4  # of one policy
Decides = Callable[[Plan, tuple[str, ...], int, int, int], Verdict]
Permits = Callable[[CedarPolicy, Scene, str, Sequence[PolicyFacts]], list[bool]]


@dataclass
class Result:
    triples: int = 0
    permitted: int = 0
    mistaken: int = 0  # triples under a policy that makes mistakes
    mismatches: list[str] = field(default_factory=list)

    def __add__(self, other: "Result") -> "Result":
        return Result(
            self.triples + other.triples,
            self.permitted + other.permitted,
            self.mistaken + other.mistaken,
            self.mismatches + other.mismatches,
        )


@dataclass(frozen=True)
class Request:
    subject: str
    fields: tuple[str, ...]  # the triple is about the first
    at: datetime


@dataclass(frozen=True)
class Told:
    """A history, as a ledger that can be followed."""

    events: Sequence[Event]

    @property
    def size(self) -> int:
        return len(self.events)

    def follow(self, since: int) -> Iterator[RecordedEvent]:
        return (RecordedEvent(at, event) for at, event in enumerate(self.events) if at >= since)


def run(
    triples: int,
    seed: int,
    decides: Decides = decide.verdict,
    permits: Permits = policy.permits,
) -> Result:
    """At least so many triples. Give other functions, and see whether they are caught."""
    chance, result = random.Random(seed), Result()
    while result.triples < triples:
        rules = [_rule(chance) for _ in range(chance.randrange(1, 5))]
        rules += [EVERYBODY] if chance.random() < 0.7 else []
        parsed = policed(rules)
        for _ in range(HISTORIES):
            scenes = _scenes(chance)
            events = _history(chance, scenes)
            state = ConsentIndex(WITH_PARTNER)
            state.catch_up(Told(events))
            history = modelled.history(events)
            for _ in range(ROUNDS):
                trial = Trial(rules, parsed, history, state, decides, permits)
                result += trial.compare(chance, WITH_PARTNER[chance.choice(scenes)])
    return result


def policed(rules: Sequence[Rule]) -> CedarPolicy:
    """The rules under the law, unchecked: what makes mistakes would not pass the check."""
    import cedarpy

    words = "\n".join([LAW.rules, *map(rules_model.text, rules)])
    return CedarPolicy(words, "", cedarpy.PolicySet.from_str(words))


@dataclass(frozen=True)
class Trial:
    rules: Sequence[Rule]
    parsed: CedarPolicy
    history: History
    state: ConsentIndex
    decides: Decides
    permits: Permits

    def compare(self, chance: random.Random, scene: Scene) -> Result:
        service = chance.choice(SERVICES)
        released = chance.random() < 0.5
        asked = [_request(chance, scene) for _ in range(TOGETHER)]
        planned = self._planned(scene, service, asked, released=released)
        by_model = [*self._modelled(scene, service, asked, released=released)]
        permitted = self.permits(
            self.parsed, scene, service, [self._facts(scene, e) for e in asked]
        )
        result = Result(len(asked), sum(permitted), len(asked) * _mistaken(self.rules))
        for each, plan, cedar, (whole, alone) in zip(
            asked, planned, permitted, by_model, strict=True
        ):
            if (*plan, cedar) != (whole, alone.allowed, alone.allowed):
                result.mismatches.append(
                    f"{self.rules} {service} {scene.id} {each}: {plan} {cedar}"
                )
        return result

    def _planned(
        self, scene: Scene, service: str, asked: Sequence[Request], *, released: bool
    ) -> Iterator[tuple[Answer, bool]]:
        """The answer, and whether the first field alone would be allowed."""
        offered = policy.offered(self.parsed, scene, service)
        plan = compile_plan(service, scene, offered=offered, release="r" if released else None)
        for each in asked:
            minute = consent_bits.minute(each.at)
            bits, index = self.state.bits_and_entry(scene.id, each.subject)
            stale = self.state.stale(scene.id, minute) if bits & consent_bits.ARMED else 0
            found = self.decides(plan, each.fields, bits, minute, stale)
            alone = self.decides(plan, each.fields[:1], bits, minute, stale)
            views = {name: view.value for name, view in found.views.items()}
            rests = index if views else None
            yield Answer(views, found.reason.value, rests, found.allowed), alone.allowed

    def _modelled(
        self, scene: Scene, service: str, asked: Sequence[Request], *, released: bool
    ) -> Iterator[tuple[Answer, Answer]]:
        facts = Facts(CONTRACTS, {scene.id} if released else (), self._offered)
        for each in asked:
            request = model.Request(
                service, scene.id, each.subject, each.fields, each.at, "evaluate"
            )
            alone = replace(request, fields=each.fields[:1])
            yield (
                model.answer(self.history, facts, request),
                model.answer(self.history, facts, alone),
            )

    def _offered(self, service: str, contract: Contract) -> list[str]:
        return [
            name
            for name in contract.fields
            if rules_model.permits(self.rules, Asked(service, contract, name))
        ]

    def _facts(self, scene: Scene, each: Request) -> PolicyFacts:
        """What Cedar is to know, from the history and not from any word."""
        contract, name = CONTRACTS[scene.id], each.fields[0]
        held = consent.standing(self.history, each.subject, contract)
        granted = name in held.fields and not held.lapsed
        end = min(held.end, FAR)
        return PolicyFacts(
            name,
            granted=granted,
            minute=consent_bits.minute(each.at),
            until=consent_bits.minute(end) if granted else 0,
            frozen=consent.frozen(self.history, each.subject, contract, each.at),
        )


def _request(chance: random.Random, scene: Scene) -> Request:
    fields = chance.sample([*scene.fields], chance.randint(1, len(scene.fields)))
    if chance.random() < 0.05:
        fields.append("shoe_size")
    return Request(chance.choice(SUBJECTS), tuple(fields), _instant(chance))


def _instant(chance: random.Random) -> datetime:
    """Around the moments at which anything changes, to the second."""
    edge = chance.choice([timedelta(), timedelta(hours=1), timedelta(days=7), timedelta(days=30)])
    return NOON + edge + timedelta(seconds=chance.choice([-61, -60, -59, -1, 0, 1, 59, 60, 61]))


def _scenes(chance: random.Random) -> list[str]:
    """Few, so that much is said of each; often the one that has triggers."""
    return sorted(
        {chance.choice([*WITH_PARTNER, "segmentation", "segmentation"]) for _ in range(2)}
    )


def _history(chance: random.Random, scenes: Sequence[str]) -> list[Event]:
    counts = dict.fromkeys(SUBJECTS, 0)
    events: list[Event] = []
    for _ in range(chance.randrange(20)):
        kind = chance.random()
        if kind < 0.25:
            signal = chance.choice([each for _, each in TRIGGERS])
            source, value = chance.choice(["monitor"] * 5 + ["else"]), _figure(chance)
            events.append(SignalReported(source, signal, value, _moment(chance)))
        elif kind < 0.32:
            scene = chance.choice(scenes)
            events.append(ScenePublished(scene, chance.choice(VERSIONS), "0" * 64, NOON))
        else:
            who = chance.choice(SUBJECTS)
            counts[who] += 1
            events.append(_said(who, counts[who], _act(chance, scenes), _moment(chance)))
    return events


def _said(who: str, seq: int, act: Act, at: datetime) -> Instruction:
    return Instruction("t/consent", who, seq, bytes(32), bytes(16), at, WORDING, class_of(act), act)


def _moment(chance: random.Random) -> datetime:
    return NOON - timedelta(seconds=chance.choice([0, 0, 1, 60, 86_400 * 7, 86_400 * 30]))


def _figure(chance: random.Random) -> int:
    return chance.choice([0, 1, 9199, 9200, 9201])


def _act(chance: random.Random, scenes: Sequence[str]) -> Act:
    scene = chance.choice([*scenes, *scenes, *scenes, "no-such-scene"])
    names = [*WITH_PARTNER[scene].fields] if scene in WITH_PARTNER else ["age"]
    fields = tuple(chance.sample(names, chance.randint(1, len(names))))
    template, signal = chance.choice(TRIGGERS)
    until = chance.choice([None, NOON, NOON + timedelta(hours=1), NOON + timedelta(days=7)])
    acts: tuple[Act, ...] = (
        *[Granted(scene, fields, until)] * 5,
        Withdrawn(scene),
        Withdrawn(scene, fields) if until is None else Limited(scene, fields, until),
        *[TriggerSet(scene, template, signal, _figure(chance))] * 2,
        TriggerCleared(scene, template, signal) if until else SourceDeleted(),
    )
    return chance.choice(acts)


def _rule(chance: random.Random) -> Rule:
    """Many speak of everybody, and few make a mistake."""
    conditions = tuple(
        (chance.random() < 0.5, _expression(chance, 3)) for _ in range(chance.choice([0, 1, 1, 2]))
    )
    service = chance.choice([None, None, *SERVICES])
    scene = chance.choice([None, None, *WITH_PARTNER])
    return Rule(chance.random() < 0.4, service, scene, conditions)


def _expression(chance: random.Random, depth: int) -> Expression:
    kind = chance.choice(["not", "and", "or", "if", "simple", "simple"]) if depth else "simple"
    inner = [_expression(chance, depth - 1) for _ in range(3)] if kind != "simple" else []
    match kind:
        case "not":
            return "not", inner[0]
        case "and" | "or":
            return kind, inner[0], inner[1]
        case "if":
            return "if", *inner
    return chance.choice(MISTAKES if chance.random() < 0.08 else PLAIN)


EVERYBODY = Rule(permit=True, service=None, scene=None, conditions=())
PLAIN: list[Expression] = [
    ("field", "age"),
    ("field", "email"),
    ("begins", "p"),
    ("begins", "l"),
    ("basis", "contract"),
    ("basis", "legitimate-interest"),
    ("fallback", "withhold"),
    ("purpose", "ServiceUsageAnalytics"),
    ("purpose", "x"),
    ("partner",),
    ("named",),
    ("has", "basis"),
    ("has", "owner"),
]
MISTAKES: list[Expression] = [
    ("overflow",),
    ("missing", "owner"),
    ("absent",),
    ("mistyped",),
    ("number", 5),
]


def _mistaken(rules: Sequence[Rule]) -> bool:
    return any(_makes_mistakes(each) for rule in rules for _, each in rule.conditions)


def _makes_mistakes(expression: Any) -> bool:
    if not isinstance(expression, tuple):
        return False
    return expression in MISTAKES or any(map(_makes_mistakes, expression))
