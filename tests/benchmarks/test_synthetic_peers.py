"""Peers are run apart, within a limit, and what they drew may be kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers_synthetic import environment
from benchmarks.peers_synthetic.exchange import Task
from benchmarks.synthetic_peers import PEERS, Absence, Made, Peer, synthesise

TREE = Peer("MST over mbi", "of_mbi", "MST")
TASK = Task("MST", {"a": 2, "b": 2}, 10.0, 1e-5, rows=400, more=0, workload=(("a", "b"),))
TRAIN = np.array([[0, 0], [1, 1]] * 200)
FAST = 0.001  # seconds: nobody starts in so short a time


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    """A folder, and what a peer that ran left there."""
    keep = tmp_path_factory.mktemp("keep")
    made = synthesise(TREE, TASK, TRAIN, keep=keep)
    assert isinstance(made, Made), made
    return keep, made


def test_a_peer_learns_from_the_rows_it_is_given(kept: tuple[Path, Made]) -> None:
    rows = kept[1].answer.rows
    assert rows.shape == TRAIN.shape
    assert (rows[:, 0] == rows[:, 1]).mean() > 0.9
    assert kept[1].kept_since == ""


def test_kept_rows_are_served_again_without_a_fit_and_marked(kept: tuple[Path, Made]) -> None:
    again = synthesise(TREE, TASK, TRAIN, FAST, kept[0])
    assert isinstance(again, Made)
    assert again.kept_since
    assert (again.answer.rows == kept[1].answer.rows).all()
    assert again.answer.seconds == kept[1].answer.seconds


OTHERS = {
    "another epsilon": (replace(TASK, epsilon=1.0), TRAIN),
    "another delta": (replace(TASK, delta=1e-6), TRAIN),
    "another workload": (replace(TASK, workload=(("a",),)), TRAIN),
    "other rows": (TASK, TRAIN[::-1].copy()[:-1]),
    "more rows than were drawn": (replace(TASK, more=800), TRAIN),
}


@pytest.mark.parametrize(("task", "train"), OTHERS.values(), ids=OTHERS.keys())
def test_kept_rows_are_for_their_own_task_only(
    kept: tuple[Path, Made], task: Task, train: np.ndarray
) -> None:
    found = synthesise(TREE, task, train, FAST, kept[0])
    assert found == Absence("did not finish in 0 s")
    assert isinstance(synthesise(TREE, TASK, TRAIN, FAST, kept[0]), Made)


def test_personal_rows_are_not_kept(kept: tuple[Path, Made]) -> None:
    assert [*kept[0].rglob("rows.csv")]
    assert not [*kept[0].rglob("train.csv")]


def test_that_a_peer_did_not_finish_is_kept_until_it_is_given_more_time(tmp_path: Path) -> None:
    assert synthesise(TREE, TASK, TRAIN, FAST, tmp_path) == Absence("did not finish in 0 s")
    known = synthesise(TREE, TASK, TRAIN, FAST / 2, tmp_path)
    assert isinstance(known, Absence)
    assert "(kept, " in known.reason
    again = synthesise(TREE, TASK, TRAIN, FAST * 2, tmp_path)
    assert again == Absence("did not finish in 0 s")


def test_a_peer_that_fails_says_its_last_line() -> None:
    absence = synthesise(Peer("nobody", "of_nobody", "MST"), TASK, TRAIN)
    assert isinstance(absence, Absence)
    assert absence.reason.startswith("failed: ")
    assert "of_nobody" in absence.reason


def test_a_peer_without_its_environment_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    absence = synthesise(Peer("dpmm MST", "of_dpmm", "MST", "dpmm"), TASK, TRAIN)
    assert absence == Absence("skipped: no environment .peers/dpmm; make it with `make peers`")


def test_every_peer_has_a_program_and_a_listed_environment() -> None:
    folder = Path(environment.__file__).parent
    for peer in PEERS:
        assert f'"{peer.method}"' in (folder / f"{peer.program}.py").read_text()
        assert peer.environment is None or peer.environment in environment.LISTED
