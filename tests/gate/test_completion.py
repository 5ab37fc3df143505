"""Tables are completed as the contract says, and say how (G110 to G116)."""

import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from gate.contracts.scene import Scene
from gate.readlog.writer import ReadLogEntry
from gate.reads.bulk import formats
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import TableAnswer, read_table
from gate.reads.completion import LIFETIME
from gate.reads.filter import FilterCondition
from gate.reads.request import ReadRequest
from gate.reads.sources.duckdb import DuckDBSource
from gate.reads.sources.interface import SourceUnavailableError
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.replay.report import ReplayReport
from ledger.events.envelope import BudgetReserved, SyntheticReleased, Withdrawn
from ledger.follower import Follower
from synthetic.completion.mode import Mode
from synthetic.fitting.release import Release
from tests.gate.completing import (
    ANCHORED,
    FIELDS,
    PEOPLE,
    Watched,
    ask,
    bank,
    customer,
    database,
    released,
    reopened,
    the_young_leave,
    true_rows,
    young,
    young_admins,
)
from tests.gate.scenes import SCENES
from tests.gate.world import INSTANCE, NOON, WORDING, World, shipped
from tests.synthetic.material import Seeded

YOUNG = PEOPLE // 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Release, Release]:
    """The data directory of a bank that the young have left since its first release was made."""
    home = tmp_path_factory.mktemp("left")
    world = bank(home)
    first = released(world, noise=Seeded(1))
    the_young_leave(world)
    last = released(world, noise=Seeded(1))
    world.ledger.close()
    return home, first, last


@pytest.fixture
def left(made: tuple[Path, Release, Release], tmp_path: Path) -> tuple[World, Release]:
    """A bank that the young have left since its release was made, and has another since."""
    home, *releases = made
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return reopened(tmp_path, releases), releases[0]


def test_g111_a_table_is_completed_to_what_the_anchor_counted(left: tuple[World, Release]) -> None:
    world, first = left
    answer = ask(world)
    assert answer.table.num_rows == PEOPLE
    assert answer.synthetic == sum(young(n) and n % 10 > 0 for n in range(PEOPLE))
    assert (answer.mode, answer.release) == (Mode.RELEASE_ANCHORED, first.id)
    assert young_admins(answer) == pytest.approx(YOUNG, rel=0.05)


def test_g111_naive_rows_would_repeat_who_stayed(tmp_path: Path) -> None:
    world = bank(tmp_path, replace(ANCHORED, completion=Mode.NAIVE))
    released(world, noise=Seeded(1))
    the_young_leave(world)
    last = released(world, noise=Seeded(1))
    answer = ask(world)
    assert (answer.mode, answer.release) == (Mode.NAIVE, last.id)
    assert young_admins(answer) < YOUNG / 2


def test_g111_withdrawn_values_are_never_read(left: tuple[World, Release], tmp_path: Path) -> None:
    world, first = left
    gone = {customer(n) for n in range(PEOPLE) if young(n) and n % 10}
    lies = [
        {"age": 90, "job": "other", "housing": "yes"} if customer(n) in gone else row
        for n, row in enumerate(true_rows())
    ]
    told = Watched(DuckDBSource(database(tmp_path / "lies.duckdb", lies)))
    world.gate.source = told
    answer = ask(world, ("age", "job"))
    assert (answer.mode, answer.release) == (Mode.RELEASE_ANCHORED, first.id)
    assert young_admins(answer) == pytest.approx(YOUNG, rel=0.05)
    assert told.asked
    for whose, columns in told.asked:
        assert not whose & gone
        assert {*columns} <= {"id", "age", "job"}  # by the id a row is decided again as it leaves


def test_g111_a_filter_sees_the_completed_table(left: tuple[World, Release]) -> None:
    condition = FilterCondition("job", "eq", "admin")
    asked = TableRequest("analytics", "segmentation", ("age", "job"), NOON, filter=(condition,))
    answer = read_table(left[0].gate, asked)
    assert {*answer.table["job"].to_pylist()} == {"admin"}
    assert answer.table.num_rows == pytest.approx(YOUNG, rel=0.05)


NO_ANCHOR: dict[str, Callable[[Scene], Scene]] = {
    "the contract has another domain now": lambda scene: replace(
        scene, fields={name: scene.fields[name] for name in ("age", "job")}
    ),
    "the contract wants no anchor": lambda scene: replace(scene, completion=Mode.NAIVE),
}


@pytest.mark.parametrize("why", NO_ANCHOR)
def test_g112_without_an_anchor_the_table_says_that_it_is_naive(
    left: tuple[World, Release], why: str
) -> None:
    world, _ = left
    world.gate.scenes = SCENES | {"segmentation": NO_ANCHOR[why](ANCHORED)}
    served = world.gate.served("segmentation").releases
    world.gate.serve("segmentation", *served)
    answer = ask(world, ("age", "job"))
    assert (answer.mode, answer.release) == (Mode.NAIVE, served[-1].id)
    assert answer.error is not None
    assert answer.error.mean == answer.error.p95 == float("inf")
    assert "not corrected" in answer.error.covers


def test_g112_a_table_with_nobody_missing_has_no_mode(tmp_path: Path) -> None:
    world = bank(tmp_path)
    released(world, noise=Seeded(1))
    answer = ask(world)
    assert (answer.mode, answer.release, answer.error) == ("none", None, None)
    assert formats.completion(answer) == "none"


def about(answer: TableAnswer) -> Mapping[str, str]:
    import pyarrow as pa

    sent = b"".join(formats.chunks(answer, formats.ARROW))
    said = pa.ipc.open_stream(sent).schema.metadata
    return {name.decode(): value.decode() for name, value in said.items()}


def test_g112_every_table_says_what_it_rests_on_and_how_far_it_may_be_off(
    left: tuple[World, Release],
) -> None:
    world, first = left
    answer = ask(world)
    assert answer.error is not None
    assert 0 < answer.error.mean < answer.error.p95 < 1
    header = formats.completion(answer)
    mean, p95 = answer.error.mean * 100, answer.error.p95 * 100
    assert header.startswith(f'release-anchored;release="{first.id}";mean={mean:.3f};p95={p95:.3f}')
    told = about(answer)
    assert (told["mode"], told["release"]) == ("release-anchored", first.id)
    assert float(told["error_mean"]) == pytest.approx(answer.error.mean, abs=1e-6)
    assert float(told["error_p95"]) == pytest.approx(answer.error.p95, abs=1e-6)
    assert told["error_covers"] == answer.error.covers


def entry_of(world: World, answer: TableAnswer) -> dict[str, Any]:
    (text,) = world.gate.journal.log.entries(answer.entry, answer.entry + 1)
    found: dict[str, Any] = json.loads(text)
    return found


def replayed(world: World, home: Path) -> ReplayReport:
    grounds = ReplayGrounds(world.gate.scenes, shipped())
    return replay(partial(Follower, home), home, INSTANCE, grounds)


def test_g113_the_entry_names_the_release_really_used_and_follows(
    left: tuple[World, Release], tmp_path: Path
) -> None:
    world, first = left
    entry = entry_of(world, ask(world))
    assert (entry["mode"], entry["release"]) == ("release-anchored", first.id)
    world.gate.read(ReadRequest("analytics", "segmentation", customer(3), ("age",), NOON))
    report = replayed(world, tmp_path)
    assert report.differences == []
    assert report.derived == report.entries == 2


def test_g113_an_entry_follows_from_the_releases_of_then(tmp_path: Path) -> None:
    world = bank(tmp_path)
    world.ledger.record(
        [world.ledger.draft(customer(7), Withdrawn("segmentation"), at=NOON, wording=WORDING)]
    )
    releases: set[str | None] = set()
    for _ in range(2):
        releases.add(released(world, noise=Seeded(1)).id)
        ask(world)
        the_young_leave(world)
    assert replayed(world, tmp_path).differences == []
    entries = [json.loads(e) for e in world.gate.journal.log.entries(0, 2)]
    assert {each["release"] for each in entries} <= releases


LIES: dict[str, dict[str, Any]] = {
    "the release that answers points": {"release": "last"},
    "a release that there is none of": {"release": "segmentation-0"},
    "no release": {"release": None},
    "no mode": {"mode": None},
    "no mode, as if it were naive": {"mode": None, "release": "last"},
    "a mode that is never written": {"mode": "naive"},
    "a mode that the contract does not name": {"mode": "stratum"},
    "an action that shows only who it is of": {"action": "rows"},
}


@pytest.mark.parametrize("why", LIES)
def test_g113_a_false_account_of_a_completion_is_named(
    left: tuple[World, Release], tmp_path: Path, why: str
) -> None:
    world, _ = left
    entry = entry_of(world, ask(world)) | LIES[why]
    if entry["release"] == "last":
        last = world.gate.release("segmentation")
        assert last is not None
        entry["release"] = last.id
    lie = msgspec.convert(
        {k: v for k, v in entry.items() if (k, v) != ("mode", None)}, ReadLogEntry
    )
    index = world.gate.journal.record(lie)
    assert [each.entry for each in replayed(world, tmp_path).differences] == [index]


def test_g113_a_point_has_no_mode(left: tuple[World, Release], tmp_path: Path) -> None:
    world, _ = left
    world.gate.read(ReadRequest("analytics", "segmentation", customer(1), ("age",), NOON))
    (text,) = world.gate.journal.log.entries(0, 1)
    honest = msgspec.json.decode(text, type=ReadLogEntry)
    assert honest.mode is UNSET
    lie = msgspec.structs.replace(honest, subject=None, mode="release-anchored")
    index = world.gate.journal.record(lie, customer(1))
    assert [each.entry for each in replayed(world, tmp_path).differences] == [index]


def counted(world: World) -> int:
    """How often rows were asked for."""
    found = len(watched(world).asked)
    watched(world).asked.clear()
    return found


def watched(world: World) -> Watched:
    assert isinstance(world.gate.source, Watched)
    return world.gate.source


def test_g114_an_estimate_is_kept_while_the_same_rows_stand(left: tuple[World, Release]) -> None:
    world, _ = left
    counted(world)
    ask(world)
    assert counted(world) == 2  # the rows, and their counts
    ask(world)
    ask(world, FIELDS[::-1])
    ask(world, at=NOON + LIFETIME - timedelta(minutes=1))
    assert counted(world) == 3
    ask(world, ("age", "job"))
    assert counted(world) == 2
    ask(world, at=NOON + LIFETIME)
    assert counted(world) == 2
    world.says(customer(1), Withdrawn("segmentation"))
    answer = ask(world)
    assert counted(world) == 2
    assert answer.table.num_rows == PEOPLE


def test_g114_who_asks_meanwhile_waits_for_the_same_estimate(left: tuple[World, Release]) -> None:
    world, _ = left
    counted(world)
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda _: ask(world), range(4))]
    assert counted(world) == 4 + 1
    assert {young_admins(each) for each in answers} == {young_admins(ask(world))}


def test_g114_what_could_not_be_estimated_is_estimated_next_time(
    left: tuple[World, Release],
) -> None:
    world, first = left
    counted(world)
    size = world.gate.journal.log.size
    watched(world).down = True
    with pytest.raises(SourceUnavailableError):
        ask(world)
    assert world.gate.journal.log.size == size
    watched(world).down = False
    assert ask(world).release == first.id


def test_g114_so_many_estimates_are_kept_and_no_more(
    left: tuple[World, Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = left
    monkeypatch.setattr("gate.reads.completion.MAX_CELLS", 1)
    for fields in (FIELDS, ("age",), FIELDS):
        counted(world)
        ask(world, fields)
        assert counted(world) == 2
    ask(world)
    assert counted(world) == 1  # the last one stays


def test_g114_a_read_spends_no_budget(left: tuple[World, Release]) -> None:
    world, _ = left
    size = world.ledger.size
    ask(world)
    assert world.ledger.size == size
    assert not any(isinstance(e.event, BudgetReserved) for e in world.ledger.announced())


def test_g115_every_release_of_the_log_stays(left: tuple[World, Release]) -> None:
    world, first = left
    announced = [e.event.release for e in world.ledger.announced()
                 if isinstance(e.event, SyntheticReleased)]  # fmt: skip
    served = world.gate.served("segmentation").releases
    assert [each.id for each in served] == announced
    world.gate.serve("segmentation", *served)  # told again, they are the same
    assert [each.id for each in world.gate.served("segmentation").releases] == announced
    assert ask(world).release == first.id
