"""From the receipt of a withdrawal on, no process permits anything (G50, G53)."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests.campaign import sized
from tests.gate.judgement import ACT, DECISION, judge
from tests.gate.linearizability import Place, lagging, run
from tests.postgres import fresh


@pytest.fixture(scope="module")
def address(address: str) -> str:
    return fresh(address)


@pytest.mark.campaign
def test_g50_no_process_of_the_host_permits_after_a_withdrawals_receipt(tmp_path: Path) -> None:
    verdict = run(
        Place(tmp_path), workers=4, decisions=sized(6_000, 300_000), least_acts=sized(60, 600)
    )
    assert 0 < verdict.permits < verdict.decisions
    assert verdict.kills > 0
    assert verdict.linearizable, verdict


@pytest.mark.campaign
def test_g52_no_process_of_another_host_does(address: str, tmp_path: Path) -> None:
    place = Place(tmp_path, address, schema="faithful", asked=16)
    verdict = run(place, workers=4, decisions=sized(3_000, 100_000), least_acts=sized(50, 500))
    assert 0 < verdict.permits < verdict.decisions
    assert verdict.linearizable, verdict


@pytest.mark.parametrize("hosts", ["one host", "many hosts"])
def test_a_gate_that_looks_at_the_epoch_now_and_then_is_caught(
    hosts: str, address: str, tmp_path: Path
) -> None:
    place = Place(tmp_path, address if hosts == "many hosts" else "", schema="lagging")
    verdict = run(place, workers=2, decisions=10_000, least_acts=20, disturbed=lagging)
    assert verdict.late > 0
    assert verdict.stale > 0


JUDGED = {
    "a permit before anything was granted": ((0, True, 5, 1, 2), {"wrong", "late", "unfounded"}),
    "a denial while it could not yet be known": ((0, False, 5, 11, 12), set()),
    "a permit while the grant is under way": ((0, True, 6, 11, 12), set()),
    "a denial after the grant's receipt": ((0, False, 5, 21, 22), {"wrong", "stale"}),
    "a permit after the grant's receipt": ((0, True, 6, 21, 22), set()),
    "a permit while the withdrawal is under way": ((0, True, 6, 31, 32), set()),
    "a permit after the withdrawal's receipt": ((0, True, 6, 41, 42), {"wrong", "late", "stale"}),
    "a permit asked for before the receipt": ((0, True, 6, 39, 42), set()),
    "a permit that names a size without the grant": ((0, True, 5, 21, 22), {"unfounded", "stale"}),
    "a denial that rests on what is yet to come": ((0, False, 7, 22, 23), {"wrong", "early"}),
    "somebody else, to whom the grant is nothing": ((1, False, 6, 21, 22), set()),
    "somebody else, judged on a ledger without it": ((1, False, 5, 21, 22), {"stale"}),
}
ACTS = np.array([(0, True, 5, 10, 20), (0, False, 6, 30, 40)], ACT)
FLAWS = ("wrong", "late", "unfounded", "stale", "early", "turned")


@pytest.mark.parametrize("why", JUDGED)
def test_the_judge_knows_right_from_wrong(why: str) -> None:
    decision, flaws = JUDGED[why]
    verdict = asdict(judge(np.array([decision], DECISION), ACTS, before=5))
    assert {flaw for flaw in FLAWS if verdict[flaw]} == flaws


def test_g53_the_judge_sees_time_turned_back() -> None:
    """Each of the two is justified by itself; the second saw less than the first."""
    forth, back = (0, True, 6, 11, 12), (0, False, 5, 13, 14)
    assert judge(np.array([back], DECISION), ACTS, before=5).linearizable
    verdict = judge(np.array([back, forth], DECISION), ACTS, before=5)
    assert (verdict.wrong, verdict.turned, verdict.linearizable) == (0, 1, False)
