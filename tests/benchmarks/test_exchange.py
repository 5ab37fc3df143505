"""What peers are given and give back, through files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers_synthetic.exchange import MalformedAnswerError, Task, give, serve, take

SIZES = {"age": 3, "sex": 2}
TASK = Task("MST", SIZES, 1.0, 1e-5, rows=2, more=4, workload=(("age", "sex"), ("age",)))
TRAIN = np.array([[0, 1], [2, 0], [1, 1]])


def test_a_program_is_given_all_of_its_task_and_rows_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fit(task: Task, train: np.ndarray) -> Callable[[int], np.ndarray]:
        seen.append((task, train.tolist()))
        return lambda rows: np.resize(train, (rows, 2))

    give(tmp_path, TASK, TRAIN)
    monkeypatch.setattr("sys.argv", ["program", str(tmp_path)])
    serve({"MST": fit})
    answer = take(tmp_path, TASK)
    assert seen == [(TASK, TRAIN.tolist())]
    assert answer.rows.tolist() == TRAIN[:2].tolist()
    assert answer.more is not None
    assert answer.more.tolist() == [*TRAIN.tolist(), TRAIN[0].tolist()]
    assert answer.seconds >= 0


MALFORMED = {
    "columns in another order": "sex,age\n0,1\n1,1\n",
    "a column is missing": "age\n0\n1\n",
    "too few rows": "age,sex\n0,1\n",
    "too many rows": "age,sex\n0,1\n0,1\n0,1\n",
    "a code above the domain": "age,sex\n0,1\n3,1\n",
    "a negative code": "age,sex\n0,1\n-1,1\n",
    "a fraction": "age,sex\n0,1\n0.5,1\n",
    "a missing value": "age,sex\n0,1\n,1\n",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_rows_that_are_not_what_was_asked_for_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "answer.json").write_text('{"seconds": 1, "processor_s": 1}')
    (tmp_path / "more.csv").write_text("age,sex\n" + "0,1\n" * 4)
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(MalformedAnswerError):
        take(tmp_path, TASK)
