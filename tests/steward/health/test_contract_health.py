"""Contract health (C1–C9): the real source held against what the contracts promise."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from gate.contracts.scene import Scene
from gate.contracts.scene_file import load_scenes
from gate.contracts.source import SourceContract, load_source
from gate.decision.decide import View
from gate.reads.request import ReadRequest
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import SourceUnavailableError
from ledger.events.envelope import Granted
from portal.demo.sources import customers, deliveries
from steward.contracts.health import (
    Aspect,
    Attainment,
    Check,
    ContractAlert,
    ContractHealth,
    RunOrderError,
    checks,
)
from steward.contracts.source_probe import KeyFacts, SourceDelivery, SourceFacts, observe
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
from tests.gate.scenes import NEAREST_BRANCH, SEGMENTATION, WORDS
from tests.gate.world import NOON, world

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AGE = replace(SEGMENTATION.fields["age"].item, max_nulls=500, frequency=DAY)
SCENE = replace(
    SEGMENTATION,
    latency={"age": HOUR},
    fields={
        "age": replace(SEGMENTATION.fields["age"], item=AGE, substitute="job"),
        "job": SEGMENTATION.fields["job"],
    },
)
SCENES = {"segmentation": SCENE}
SOURCE = SourceContract(
    "customer",
    "1.0.0",
    "0" * 64,
    {"core": WORDS},
    {name: field.item for name, field in SCENE.fields.items()},
    "delivery",
)
GOOD = SourceFacts(
    types={"age": "string", "job": "string"},
    rows=100,
    nulls={"age": 5, "job": 50},
    deliveries={"core": SourceDelivery(NOON - 2 * HOUR, NOON - HOUR)},
)


def missed(facts: SourceFacts, at: datetime = NOON) -> list[tuple[str, Aspect]]:
    return [(each.field, each.aspect) for each in checks(SCENES, SOURCE, facts, at) if not each.met]


def delivered(as_of: timedelta, arrived: timedelta) -> SourceFacts:
    return replace(GOOD, deliveries={"core": SourceDelivery(NOON - as_of, NOON - arrived)})


FACTS = {
    "all as promised, each at its limit": (GOOD, []),
    "a column that is gone": (replace(GOOD, types={"age": "string"}), [("job", Aspect.PRESENCE)]),
    "another type": (
        replace(GOOD, types={"age": "integer", "job": "string"}),
        [("age", Aspect.TYPE)],
    ),
    "one null too many": (
        replace(GOOD, rows=10_000, nulls={"age": 501}),
        [("age", Aspect.NULLS)],
    ),
    "nulls where nothing is promised": (replace(GOOD, nulls={"age": 0, "job": 100}), []),
    "an empty table": (
        replace(GOOD, rows=0, nulls={"age": 0, "job": 0}),
        [("age", each) for each in (*Aspect,) if each is not Aspect.KEY]
        + [("job", Aspect.PRESENCE), ("job", Aspect.TYPE)],
    ),
    "a key that is sound": (replace(GOOD, key=KeyFacts("id")), []),
    "a customer with two rows": (
        replace(GOOD, key=KeyFacts("id", surplus=1)),
        [("id", Aspect.KEY)],
    ),
    "a row without a customer": (replace(GOOD, key=KeyFacts("id", nulls=1)), [("id", Aspect.KEY)]),
    "no key": (replace(GOOD, key=KeyFacts("id", None, None)), [("id", Aspect.KEY)]),
    "late by a second": (
        delivered(2 * HOUR + timedelta(seconds=1), HOUR),
        [("age", Aspect.LATENCY)],
    ),
    "arrived a day ago": (delivered(DAY + HOUR, DAY), []),
    "arrived more than a day ago": (
        delivered(DAY + HOUR, DAY + timedelta(seconds=1)),
        [("age", Aspect.FRESHNESS)],
    ),
    "arrives tomorrow": (
        delivered(-DAY, -DAY),
        [("age", Aspect.FRESHNESS)],
    ),
    "arrived before what it describes": (delivered(HOUR, 2 * HOUR), [("age", Aspect.LATENCY)]),
    "no delivery recorded": (
        replace(GOOD, deliveries={}),
        [("age", Aspect.LATENCY), ("age", Aspect.FRESHNESS)],
    ),
}


@pytest.mark.parametrize("why", FACTS)
def test_what_is_promised_is_checked_and_nothing_else(why: str) -> None:
    facts, expected = FACTS[why]
    assert missed(facts) == expected


def test_a_miss_says_what_was_wanted_and_what_was_found() -> None:
    late = delivered(3 * HOUR, HOUR)
    assert [each for each in checks(SCENES, SOURCE, late, NOON) if not each.met] == [
        Check("segmentation", "age", Aspect.LATENCY, False, "1:00:00", "2:00:00")
    ]
    (found,) = [c for c in checks(SCENES, SOURCE, GOOD, NOON) if c.aspect is Aspect.NULLS]
    assert (found.wanted, found.observed) == ("500 of 10000", "500 of 10000")


def test_freshness_is_what_the_last_run_found_of_what_is_promised(home: Path) -> None:
    health = ContractHealth(home, SCENES)
    assert health.freshness() == {}
    for number, (facts, expected) in enumerate(
        [(GOOD, True), (delivered(3 * HOUR, HOUR), False), (replace(GOOD, nulls={"age": 99}), True)]
    ):
        health.record(checks(SCENES, SOURCE, facts, NOON), NOON + number * HOUR)
        assert health.freshness() == {"segmentation": {"age": expected}}


def run(health: ContractHealth, number: int, *fields: str) -> list[ContractAlert]:
    """The run of hour `number`, in which these fields miss."""
    found = [
        Check("segmentation", name, Aspect.PRESENCE, name not in fields, name, "")
        for name in SCENE.fields
    ]
    return health.record(found, NOON + number * HOUR)


@pytest.fixture
def health(home: Path) -> ContractHealth:
    return ContractHealth(home, SCENES)


def test_the_third_miss_in_a_row_alerts_and_the_second_does_not(health: ContractHealth) -> None:
    assert run(health, 1, "age") == []
    assert run(health, 2, "age") == []
    assert health.alerts() == []
    alert = ContractAlert("segmentation", "age", 3, NOON + HOUR, "job")
    assert run(health, 3, "age") == [alert] == health.alerts()


def test_the_fourth_miss_does_not_alert_again_and_the_alert_stays(health: ContractHealth) -> None:
    raised = [run(health, number, "age") for number in range(1, 5)]
    assert [len(each) for each in raised] == [0, 0, 1, 0]
    assert [each.misses for each in health.alerts()] == [4]


def test_a_run_that_keeps_the_promise_ends_the_row(health: ContractHealth) -> None:
    for number, fields in enumerate((["age"], ["age"], [], ["age"], ["age"])):
        assert run(health, number, *fields) == []
    assert health.alerts() == []
    assert len(run(health, 5, "age")) == 1
    assert run(health, 6) == []
    assert health.alerts() == []


def test_a_substitute_that_misses_too_is_not_proposed(health: ContractHealth) -> None:
    for number in (1, 2):
        run(health, number, "age")
    (alert,) = run(health, 3, "age", "job")
    assert alert.substitute is None
    run(health, 4, "age")
    assert [each.substitute for each in health.alerts()] == ["job"]


def test_a_field_without_a_substitute_alerts_all_the_same(health: ContractHealth) -> None:
    alerts = [run(health, number, "job") for number in (1, 2, 3)][-1]
    assert [(each.field, each.substitute) for each in alerts] == [("job", None)]


def test_a_field_that_the_contract_no_longer_has_is_forgotten(health: ContractHealth) -> None:
    for number in (1, 2, 3):
        run(health, number, "age")
    health.record([], NOON + 4 * HOUR)
    assert health.alerts() == []


def test_three_misses_are_three_moments(health: ContractHealth) -> None:
    run(health, 1, "age")
    for at in (1, 0):
        with pytest.raises(RunOrderError, match="want one after 2026-01-01T13:00:00Z"):
            run(health, at, "age")
    assert health.last_run() == NOON + HOUR


def test_the_history_survives_the_process(health: ContractHealth, home: Path) -> None:
    for number in (1, 2):
        run(health, number, "age")
    again = ContractHealth(home, SCENES)
    assert len(run(again, 3, "age")) == 1


def test_attainment_counts_every_check_since_then(health: ContractHealth) -> None:
    for number, fields in ((1, ("age", "job")), (2, ("age",)), (3, ())):
        run(health, number, *fields)
    assert health.attainment(NOON) == {"segmentation": Attainment("segmentation", 6, 3)}
    (since,) = health.attainment(NOON + 2 * HOUR).values()
    assert since.share == 7500
    assert health.attainment(NOON + DAY) == {}


def test_the_last_misses_of_a_scene_are_kept_word_for_word(health: ContractHealth) -> None:
    run(health, 1, "age")
    assert health.missed("segmentation") == [
        Check("segmentation", "age", Aspect.PRESENCE, False, "age", "")
    ]
    run(health, 2)
    assert health.missed("segmentation") == []


def test_a_substitute_passes_the_gate_like_any_other_field(tmp_path: Path) -> None:
    bank = world(tmp_path, release=False)
    scene = replace(
        NEAREST_BRANCH,
        fields={
            **NEAREST_BRANCH.fields,
            "location": replace(NEAREST_BRANCH.fields["location"], substitute="postcode_area"),
        },
    )
    health = ContractHealth(tmp_path, {scene.id: scene})
    gone = [Check(scene.id, "location", Aspect.PRESENCE, False, "location", "")]
    alert = [health.record(gone, NOON + number * HOUR) for number in range(3)][-1][0]
    proposed = str(alert.substitute)

    def ask() -> View:
        asked = ReadRequest("analytics", scene.id, "c1", (proposed,), NOON)
        return bank.gate.read(asked).views[proposed]

    bank.says("c1", Granted(scene.id, ("location",), None))
    assert ask() is View.WITHHELD
    bank.says("c1", Granted(scene.id, ("location", proposed), None))
    assert ask() is View.PERSONAL


@pytest.fixture(scope="module")
def shipped() -> tuple[SourceContract, dict[str, Scene]]:
    source = load_source(SOURCE_CONTRACT)
    return source, load_scenes(SCENES_FOLDER, source)


@pytest.fixture
def table(tmp_path: Path, shipped: tuple[SourceContract, dict[str, Scene]]) -> Path:
    """The demonstration's customers and deliveries."""
    path = tmp_path / "customers.duckdb"
    customers.build(path)
    deliveries.record(path, shipped[0], NOON)
    return path


def look(path: Path, source: SourceContract) -> SourceFacts:
    return observe(DuckDBSource(path), source)


def alter(path: Path, statements: Sequence[str]) -> None:
    with duckdb.connect(path) as connection:
        for each in statements:
            connection.execute(each)


def test_the_demonstration_keeps_every_contract(
    table: Path, shipped: tuple[SourceContract, dict[str, Scene]]
) -> None:
    source, scenes = shipped
    found = checks(scenes, source, look(table, source), NOON + HOUR)
    assert [each for each in found if not each.met] == []
    assert {each.aspect for each in found} == {*Aspect}
    assert {each.scene for each in found} == {*scenes}


def test_a_real_source_that_breaks_its_promises_is_found_out(
    table: Path, shipped: tuple[SourceContract, dict[str, Scene]]
) -> None:
    source, scenes = shipped
    alter(
        table,
        [
            "UPDATE customer SET job = NULL WHERE id < 'c05000'",  # 4,999 of 45,211
            "ALTER TABLE customer DROP poutcome",
            "ALTER TABLE customer ALTER age TYPE VARCHAR",
            "UPDATE delivery SET arrived = as_of + INTERVAL 25 HOUR WHERE system = 'sms-platform'",
            "DELETE FROM delivery WHERE system = 'web-analytics'",
        ],
    )
    found = checks(scenes, source, look(table, source), NOON + timedelta(hours=26))
    seen = {(each.field, each.aspect): each for each in found if not each.met}
    assert seen["job", Aspect.NULLS].observed == "1106 of 10000"  # 4,999 / 45,211 = 11.057 %, up
    assert seen["poutcome", Aspect.PRESENCE].observed == ""
    assert seen["age", Aspect.TYPE].observed == "string"
    assert seen["phone", Aspect.LATENCY].observed == "1 day, 1:00:00"
    assert seen["device_id", Aspect.FRESHNESS].observed == ""
    assert seen["balance", Aspect.FRESHNESS].observed == "1 day, 2:00:00"
    assert ("name", Aspect.FRESHNESS) not in seen  # promised weekly


def test_the_last_delivery_counts(
    table: Path, shipped: tuple[SourceContract, dict[str, Scene]]
) -> None:
    alter(
        table, ["INSERT INTO delivery SELECT system, as_of, arrived - INTERVAL 2 DAY FROM delivery"]
    )
    assert look(table, shipped[0]).deliveries["crm"].arrived == NOON


def test_without_a_table_of_deliveries_nothing_counts_as_delivered(
    table: Path, shipped: tuple[SourceContract, dict[str, Scene]]
) -> None:
    alter(table, ["DROP TABLE delivery"])
    assert look(table, shipped[0]).deliveries == {}


def test_a_source_that_cannot_be_looked_at_says_so(
    table: Path, shipped: tuple[SourceContract, dict[str, Scene]]
) -> None:
    alter(table, ["ALTER TABLE customer RENAME TO gone"])
    gone = DuckDBSource(table, table="gone")
    with pytest.raises(SourceUnavailableError, match="no table 'customer'"):
        observe(gone, shipped[0])


def test_a_table_of_deliveries_of_another_shape_says_so(
    table: Path, shipped: tuple[SourceContract, dict[str, Scene]]
) -> None:
    alter(table, ["CREATE TABLE gone AS SELECT 1 AS one"])
    with pytest.raises(SourceUnavailableError, match=r"no \['arrived', 'as_of', 'system'\]"):
        look(table, replace(shipped[0], deliveries="gone"))
