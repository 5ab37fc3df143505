"""From the receipt of a withdrawal on, no process permits anything (G50)."""

from pathlib import Path

import numpy as np

from gate.epoch import Epoch
from ledger.event import Granted, Withdrawn, Wording
from ledger.follower import Follower
from ledger.ledger import Ledger
from tests.gate.linearizability import ACT, DECISION, judge, run
from tests.gate.world import NOON

WORDING = Wording("en", bytes(32))


def test_no_process_permits_after_a_withdrawals_receipt(tmp_path: Path) -> None:
    verdict = run(tmp_path, workers=4, decisions=100_000)
    assert verdict.decisions >= 100_000
    assert 0 < verdict.permits < verdict.decisions
    assert verdict.acts > 100
    assert verdict.wrong == 0


JUDGED = {
    "a permit before anything was granted": ((0, True, 1, 2), True),
    "a denial while it could not yet be known": ((0, False, 11, 12), False),
    "a denial after the grant's receipt": ((0, False, 21, 22), True),
    "a permit after the grant's receipt": ((0, True, 21, 22), False),
    "a permit while the withdrawal is under way": ((0, True, 31, 32), False),
    "a permit after the withdrawal's receipt": ((0, True, 41, 42), True),
    "a permit asked for before the receipt": ((0, True, 39, 42), False),
}


def test_the_judge_knows_right_from_wrong() -> None:
    acts = np.array([(0, True, 10, 20), (0, False, 30, 40)], ACT)
    for why, (decision, wrong) in JUDGED.items():
        verdict = judge(np.array([decision], DECISION), acts, 0)
        assert verdict.wrong == wrong, why


def test_a_follower_sees_what_the_writer_sees(tmp_path: Path) -> None:
    epoch = Epoch(tmp_path / "epoch")
    ledger = Ledger.open(tmp_path, origin="t/consent", moved=epoch.publish)
    follower = Follower(tmp_path, Epoch(tmp_path / "epoch").size)
    seen = []
    for n in range(60):
        act = Granted("s", ("a",), None) if n % 2 else Withdrawn("s")
        ledger.record([ledger.draft(f"c{n % 7}", act, at=NOON, wording=WORDING)])
        assert follower.size == ledger.size
        seen += follower.follow(len(seen))
    assert seen == list(ledger.follow(0))
    assert follower.root() == ledger.root()


def test_a_follower_forgets_whom_the_writer_erased(tmp_path: Path) -> None:
    epoch = Epoch(tmp_path / "epoch")
    ledger = Ledger.open(tmp_path, origin="t/consent", moved=epoch.publish)
    follower = Follower(tmp_path, epoch.size)
    for who in ("c1", "c2"):
        ledger.record([ledger.draft(who, Withdrawn("s"), at=NOON, wording=WORDING)])
    assert len(list(follower.follow(0))) == 2
    ledger.erase("c1", NOON)
    list(follower.follow(2))
    again = [each.event for each in follower.follow(0)]
    assert [getattr(each, "subject", None) for each in again] == ["c2", None]
