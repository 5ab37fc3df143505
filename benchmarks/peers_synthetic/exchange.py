"""What goes to a peer and what comes back: files in a folder, so that it may be another Python.

    task.json    {"method": "MST", "sizes": {"age": 14, …}, "epsilon": 1, "delta": 9.1e-06,
                  "rows": 39073, "more": 195365, "workload": [["age", "sex"], …]}
    train.csv    a header, then one row of integer codes each: 0 to size - 1 of every column
    rows.csv     as many synthetic rows as `rows` asks for, in the same form
    more.csv     the same with `more` rows, drawn from the same fit; absent if `more` is 0
    answer.json  {"seconds": 41.2, "processor_s": 40.9}   to fit and to draw rows.csv

Imports nothing but numpy, because the environments of the peers hold little else in common.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Task:
    method: str
    sizes: Mapping[str, int]  # in the order of the columns
    epsilon: float
    delta: float
    rows: int
    more: int
    workload: tuple[tuple[str, ...], ...]

    @property
    def columns(self) -> list[str]:
        return [*self.sizes]


@dataclass(frozen=True, slots=True)
class Answer:
    rows: Rows
    more: Rows | None
    seconds: float
    processor_s: float


Draw = Callable[[int], Rows]
Fit = Callable[[Task, Rows], Draw]


class MalformedAnswerError(ValueError):
    """What a peer wrote is not what was asked for."""


def give(folder: Path, task: Task, train: Rows) -> None:
    (folder / "task.json").write_text(json.dumps(asdict(task)))
    write(folder / "train.csv", task.columns, train)


def take(folder: Path, task: Task) -> Answer:
    """MalformedAnswerError unless all rows asked for are there and inside the domain."""
    spent = json.loads((folder / "answer.json").read_text())
    more = _read(folder / "more.csv", task, task.more) if task.more else None
    rows = _read(folder / "rows.csv", task, task.rows)
    return Answer(rows, more, spent["seconds"], spent["processor_s"])


def serve(methods: Mapping[str, Fit]) -> None:
    """The whole of a peer's program: its one argument is the folder."""
    folder = Path(sys.argv[1])
    told = json.loads((folder / "task.json").read_text())
    task = Task(**{**told, "workload": tuple(map(tuple, told["workload"]))})
    train = np.loadtxt(folder / "train.csv", delimiter=",", skiprows=1, dtype=np.int64)
    wall, processor = time.perf_counter(), time.process_time()
    draw = methods[task.method](task, train)
    write(folder / "rows.csv", task.columns, draw(task.rows))
    spent = (time.perf_counter() - wall, time.process_time() - processor)
    if task.more:
        write(folder / "more.csv", task.columns, draw(task.more))
    answer = dict(zip(("seconds", "processor_s"), spent, strict=True))
    (folder / "answer.json").write_text(json.dumps(answer))


def write(path: Path, columns: Sequence[str], rows: Rows) -> None:
    np.savetxt(path, rows, fmt="%d", delimiter=",", header=",".join(columns), comments="")


def _codes(name: str, file: TextIO) -> Rows:
    try:
        return np.loadtxt(file, delimiter=",", dtype=np.int64, ndmin=2)
    except ValueError as error:
        raise MalformedAnswerError(f"{name}: {error}, want whole numbers") from error


def _read(path: Path, task: Task, wanted: int) -> Rows:
    with path.open() as file:
        columns = file.readline().strip().split(",")
        if columns != task.columns:
            raise MalformedAnswerError(f"{path.name}: columns {columns}, want {task.columns}")
        rows = _codes(path.name, file)
    if rows.shape != (wanted, len(columns)):
        raise MalformedAnswerError(f"{path.name}: shape {rows.shape}, want {wanted} rows")
    if (rows < 0).any() or (rows >= [*task.sizes.values()]).any():
        raise MalformedAnswerError(f"{path.name}: a code outside the domain {dict(task.sizes)}")
    return rows
