"""Synthetic values of one customer are there only as the contract says (G23, G131).

What else an earlier version answered is derived as well (G131).
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gate.contracts.scene import Surrogates
from gate.decision import decide
from gate.decision.decide import Reason, View
from gate.factory import build
from gate.reads.bulk.request import TableRequest
from gate.reads.bulk.table import read_table
from gate.reads.request import Answer, ReadRequest
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from ledger.events.envelope import Granted, SyntheticReleased, TriggerSet, Withdrawn
from ledger.follower import Follower
from synthetic.fitting.fit import fit
from tests.gate import completing
from tests.gate.scenes import SCENES, SEGMENTATION
from tests.gate.world import INSTANCE, NOON, Constant, World, options, shipped, source, world

FIELDS = ("age", "job")


class Recording(Constant):
    """Says how its values were drawn."""

    def surrogate(self, columns: Any, _key: bytes, subjects: Any) -> Any:
        return self._all("independent", columns, subjects)

    def conditional(self, columns: Any, evidence: Any, _key: bytes, subjects: Any) -> Any:
        return self._all(f"given {evidence.column_names}", columns, subjects)

    def _all(self, how: str, columns: Any, subjects: Any) -> Any:
        return replace(self, values=dict.fromkeys(columns, how)).sample(len(subjects), columns)


@pytest.fixture
def bank(tmp_path: Path) -> World:
    bank = world(tmp_path)
    bank.ledger.announce([SyntheticReleased("release-constant", "segmentation", {}, NOON)])
    bank.says("c1", Granted("segmentation", ("age",), None))
    return bank


def ask(bank: World, surrogates: Surrogates | None) -> tuple[Answer, ReplayGrounds]:
    scenes = SCENES | {"segmentation": replace(SEGMENTATION, surrogates=surrogates)}
    gate = build(
        bank.ledger, source(), scenes, bank.gate.journal, shipped(), bytes(32), options=options()
    )
    gate.serve("segmentation", Recording())
    table = read_table(gate, TableRequest("analytics", "segmentation", FIELDS, NOON))
    assert table.synthetic == 3, "tables are completed whatever a point read may have"
    answer = gate.read(ReadRequest("analytics", "segmentation", "c1", FIELDS, NOON))
    return answer, ReplayGrounds(scenes, shipped())


@pytest.mark.parametrize(
    ("surrogates", "view", "value"),
    [
        (None, View.WITHHELD, None),
        (Surrogates.NONE, View.WITHHELD, None),
        (Surrogates.INDEPENDENT, View.SYNTHETIC, "independent"),
        (Surrogates.CONDITIONAL, View.SYNTHETIC, "given ['age']"),
    ],
)
def test_g23_the_contract_says_how_a_surrogate_is_drawn(
    bank: World, tmp_path: Path, surrogates: Surrogates | None, view: View, value: str | None
) -> None:
    answer, grounds = ask(bank, surrogates)
    assert answer.views == {"age": View.PERSONAL, "job": view}
    assert answer.values["job"] == value
    report = replay(partial(Follower, tmp_path), tmp_path, INSTANCE, grounds)
    assert (report.derived, report.differences, report.faults) == (2, [], [])


def test_g23_a_field_that_came_after_the_release_is_withheld(tmp_path: Path) -> None:
    """Read alone or in a table; the other fields are answered as before."""
    scene = replace(completing.ANCHORED, surrogates=Surrogates.INDEPENDENT)
    bank = completing.bank(tmp_path, scene)
    release = fit(
        bank.gate.source.rows([completing.customer(n) for n in range(99)], ["age", "housing"]),
        scene=scene.id,
        domain=scene.domain.without(["job"]),
        workload=[("age", "housing")],
        loss=completing.LOSS,
        at=NOON,
        ledger_size=bank.ledger.size,
    )
    bank.ledger.announce([SyntheticReleased(release.id, scene.id, release.body(), NOON)])
    bank.gate.serve(scene.id, release)
    bank.says("c0003", Withdrawn(scene.id))

    one = bank.gate.read(ReadRequest("analytics", scene.id, "c0003", ("age", "job"), NOON))
    assert one.views == {"age": View.SYNTHETIC, "job": View.WITHHELD}
    table = completing.ask(bank, ("age", "job"))
    assert set(table.table["job.view"].to_pylist()) == {"personal", "withheld"}
    completing.ask(bank, ("age",))

    grounds = ReplayGrounds(SCENES | {scene.id: scene}, shipped())
    report = replay(partial(Follower, tmp_path), tmp_path, INSTANCE, grounds)
    assert (report.derived, report.differences, report.faults) == (3, [], [])


def test_g131_what_an_earlier_version_gave_is_derived(bank: World, tmp_path: Path) -> None:
    ask(bank, Surrogates.CONDITIONAL)
    for said, differing in ((None, 0), (Surrogates.NONE, 1)):
        scenes = SCENES | {"segmentation": replace(SEGMENTATION, surrogates=said)}
        grounds = ReplayGrounds(scenes, shipped())
        report = replay(partial(Follower, tmp_path), tmp_path, INSTANCE, grounds)
        assert len(report.differences) == differing


@pytest.mark.parametrize(("who", "differing"), [("c2", 0), ("c3", 1)])
def test_g131_a_condition_without_a_grant_was_a_withdrawal(
    bank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, differing: int
) -> None:
    """It was so of c2, who set one, in earlier versions, and of c3, who did nothing, in none."""
    bank.says("c2", TriggerSet("segmentation", "metric_below", "accuracy", 9200))
    with monkeypatch.context() as earlier:
        earlier.setattr(decide, "_nothing", lambda _plan, _bits: Reason.WITHDRAWN)
        decide._verdict.cache_clear()
        request = ReadRequest("analytics", "segmentation", who, FIELDS, NOON)
        assert bank.gate.read(request).decision.reason is Reason.WITHDRAWN
    decide._verdict.cache_clear()
    assert bank.gate.read(request).decision.reason is Reason.NEVER_GRANTED
    grounds = ReplayGrounds(SCENES, shipped())
    report = replay(partial(Follower, tmp_path), tmp_path, INSTANCE, grounds)
    assert (len(report.differences), report.derived) == (differing, 2 - differing)
