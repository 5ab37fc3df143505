"""Clauses G10, G8 and G9 of specs/gate.md for scenes of more than 28 fields and 4 triggers."""

import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from gate.contracts.odcs import ContractError
from gate.contracts.scene import Fallback, LegalBasis
from gate.contracts.scene_file import MAX_FIELDS, load_scene
from gate.contracts.source import load_source
from gate.contracts.triggers import MAX_TRIGGERS, Template
from gate.decision import decide, eligibility
from gate.decision.decide import Reason
from gate.decision.eligibility_cache import Cohorts
from gate.policy.compiled import compile_plan
from gate.reads.sources.description import DescribedColumn
from gate.state import bit_arrays, consent_bits, snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.ledger_position import ConsentPoint
from ledger.events.envelope import (
    Act,
    Event,
    EvidenceClass,
    Granted,
    Instruction,
    SignalReported,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from portal.adoption import starter
from portal.adoption.codebook import CodebookEntry
from portal.adoption.starter import StarterTable
from specs.model import gate as model
from tests.gate import modelled
from tests.gate.differential import Told
from tests.gate.scenes import MARKETING, scene, trigger
from tests.gate.world import NOON, WORDING

FIELDS = [f"f{number}" for number in range(500)]
SIGNALS = [f"signal-{number}" for number in range(32)]
WIDE = scene(
    "wide",
    dict.fromkeys(FIELDS, Fallback.WITHHOLD),
    fallback=Fallback.WITHHOLD,
    triggers=tuple(trigger(Template.COUNT_OVER, each) for each in SIGNALS),
)
SCENES = {each.id: each for each in (WIDE, MARKETING)}
PLAN = compile_plan("analytics", WIDE, offered=FIELDS, release=None)
PEOPLE = [f"c{number}" for number in range(12)]


def act(chance: random.Random) -> Act:
    some = tuple(chance.sample(FIELDS, chance.choice((1, 3, 499))))
    acts: list[Act] = [
        Granted(WIDE.id, some, None),
        Granted(WIDE.id, tuple(FIELDS), NOON + timedelta(hours=chance.randrange(1, 9))),
        Withdrawn(WIDE.id),
        Withdrawn(WIDE.id, some),
        TriggerSet(WIDE.id, "count_over", chance.choice(SIGNALS), chance.randrange(3)),
        TriggerCleared(WIDE.id, "count_over", chance.choice(SIGNALS)),
    ]
    return chance.choice(acts)


def history(chance: random.Random) -> Iterator[Event]:
    said = dict.fromkeys(PEOPLE, 0)
    for _ in range(60):
        if chance.random() < 0.2:
            signal, value = chance.choice(SIGNALS), chance.randrange(4)
            yield SignalReported("monitor", signal, value, NOON)
            continue
        who = chance.choice(PEOPLE)
        said[who] += 1
        yield Instruction(
            "log",
            who,
            said[who],
            bytes(32),
            bytes(16),
            NOON,
            WORDING,
            EvidenceClass.SESSION,
            act(chance),
        )


def asked(chance: random.Random) -> tuple[str, ...]:
    return tuple(chance.sample(FIELDS, chance.choice((1, 2, 40))))


@pytest.mark.parametrize("seed", range(6))
def test_g8_one_customer_the_cohort_and_the_model_agree_on_a_wide_scene(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    events = [*history(chance)]
    state, kept = ConsentIndex(SCENES), Cohorts()
    state.catch_up(Told(events))
    for hours in (0, 3, 24 * 400):
        at = NOON + timedelta(hours=hours)
        fields = asked(chance)
        for each in (state, restored(state, tmp_path)):
            compare(each, events, fields, at, kept if each is state else Cohorts())


def compare(
    state: ConsentIndex,
    events: Sequence[Event],
    fields: tuple[str, ...],
    at: datetime,
    kept: Cohorts,
) -> None:
    minute = consent_bits.minute(at)
    stale, wanted = state.stale(WIDE.id, minute), PLAN.mask(fields) or 0
    cohort = eligibility.readable(PLAN, state.all_bits(WIDE.id), wanted, minute, stale)
    assert (kept.readable(state, PLAN, wanted, minute) == cohort).all()
    past, contract = modelled.history(events), modelled.contract(WIDE)
    for who in PEOPLE:
        bits, index = state.bits_and_entry(WIDE.id, who)
        found = decide.decide(PLAN, fields, bits, minute, index=index, size=1, stale=stale)
        live = model.readable(past, who, contract, at)
        expected = {field: "personal" if field in live else "withheld" for field in fields}
        assert {**found.views} == expected
        if (row := state.subjects.row(who)) is not None:
            assert bool(cohort[row]) is found.allowed


def restored(state: ConsentIndex, folder: Path) -> ConsentIndex:
    """G14: a snapshot has every word."""

    class Log:
        size = state.size

        def root_at(self, size: int) -> str:
            return f"root of {size}"

    point = ConsentPoint(state.size, Log().root_at(state.size))
    snapshot.save(state, point, folder / "state.npz")
    loaded = snapshot.load(folder / "state.npz", SCENES, Log())
    assert loaded is not None
    assert np.array_equal(loaded.all_bits(WIDE.id), state.all_bits(WIDE.id))
    return loaded


def test_g10_every_field_and_trigger_has_a_bit_of_its_own() -> None:
    fields = [consent_bits.field(place) for place in range(consent_bits.MAX_FIELDS)]
    triggers = range(consent_bits.MAX_TRIGGERS)
    armed = [consent_bits.armed(place) for place in triggers]
    crossed = [consent_bits.crossed(place) for place in triggers]
    assert (len(fields), len(armed)) == (MAX_FIELDS, MAX_TRIGGERS), "as contracts allow"
    every = [*fields, *armed, *crossed]
    assert len({*every}) == len(every)
    assert all(each.bit_count() == 1 and not each & consent_bits.EXPIRY for each in every)
    assert sum(fields) == consent_bits.ALL_FIELDS
    assert sum(armed) == consent_bits.ALL_ARMED
    size = consent_bits.words(consent_bits.MAX_FIELDS, consent_bits.MAX_TRIGGERS)
    assert size == consent_bits.MAX_WORDS
    assert max(every).bit_length() <= consent_bits.WORD * size


@pytest.mark.parametrize(
    ("fields", "triggers", "size"), [(28, 4, 1), (29, 0, 2), (1, 5, 2), (84, 8, 2), (85, 0, 3)]
)
def test_g10_a_scene_takes_as_many_words_as_it_needs(fields: int, triggers: int, size: int) -> None:
    assert consent_bits.words(fields, triggers) == size
    assert bit_arrays.empty(7, size).shape == ((7,) if size == 1 else (7, size))


def test_g137_silence_covers_a_wide_scene() -> None:
    interest = replace(WIDE, legal_basis=LegalBasis.INTEREST)
    state = ConsentIndex({WIDE.id: interest})
    plan = compile_plan("analytics", interest, offered=FIELDS, release=None)
    minute, everything = consent_bits.minute(NOON), tuple(FIELDS)
    said = decide.decide(plan, everything, state.bits(WIDE.id, "c1"), minute, index=None, size=0)
    assert (said.allowed, said.reason) == (True, Reason.LEGITIMATE_INTEREST)


YES_NO = {"kind": "categories", "values": ["no", "yes"], "other": "no"}


def columns(count: int) -> list[DescribedColumn]:
    return [DescribedColumn(f"c{number}", "integer") for number in range(count)]


def test_a_scene_of_the_largest_size_loads_and_one_field_more_is_refused(tmp_path: Path) -> None:
    most = consent_bits.MAX_FIELDS
    book = {f"c{number}": CodebookEntry(domain=YES_NO) for number in range(1, most + 2)}
    table = StarterTable("t", "c0", columns(most + 2))
    made = starter.propose([table], origin="t.example/c", source="", book=book)
    starter.write(made, tmp_path / "company")
    path = tmp_path / "company" / "scenes" / "statistics.odcs.yaml"
    source = load_source(tmp_path / "company" / "sources" / "t.odcs.yaml")
    assert len(load_scene(path, source).fields) == most
    data = yaml.safe_load(path.read_text("utf-8"))
    items = data["schema"][0]["properties"]
    items.append(deepcopy(items[0]) | {"name": f"c{most + 1}"})
    path.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    with pytest.raises(ContractError, match=f"{most + 1} fields, want 1 to {most}"):
        load_scene(path, source)
