"""Other synthesisers, each in a process and, where it must, an environment of its own.

All are given the same coded rows, public domain, epsilon and delta. One that is missing, fails or
does not end within the limit is an `Absence` that says why. `make peers` makes the environments.
With `keep`, rows are stored and scored again later without another fit, marked with their date; so
is the news that a peer did not finish.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from benchmarks.peers_synthetic.environment import ROOT, MissingEnvironmentError, interpreter
from benchmarks.peers_synthetic.exchange import (
    Answer,
    MalformedAnswerError,
    Rows,
    Task,
    give,
    take,
)

LIMIT_S = 900.0


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    program: str  # a module of benchmarks.peers_synthetic
    method: str  # what that program calls it
    environment: str | None = None  # under .peers; None is the one we run in


PEERS = (
    Peer("MST over mbi", "of_mbi", "MST"),
    Peer("AIM over mbi", "of_mbi", "AIM"),
    Peer("AIM over mbi, declared", "of_mbi", "AIM, declared"),
    Peer("dpmm PrivBayes", "of_dpmm", "PrivBayes", "dpmm"),
    Peer("dpmm MST", "of_dpmm", "MST", "dpmm"),
    Peer("dpmm AIM", "of_dpmm", "AIM", "dpmm"),
    Peer("smartnoise-synth MST", "of_smartnoise", "MST", "smartnoise"),
    Peer("smartnoise-synth AIM", "of_smartnoise", "AIM", "smartnoise"),
)


@dataclass(frozen=True, slots=True)
class Made:
    answer: Answer
    kept_since: str = ""  # a date, if these rows were not drawn in this run


@dataclass(frozen=True, slots=True)
class Absence:
    reason: str


def synthesise(
    peer: Peer, task: Task, train: Rows, limit_s: float = LIMIT_S, keep: Path | None = None
) -> Made | Absence:
    """Rows of `peer`. With `keep`, from that folder if they are there for this very task."""
    place = None if keep is None else keep / _slug(peer.name) / _digest(task, train)
    if place is not None and (known := _kept(place, task, limit_s)):
        return known
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        give(folder, task, train)
        found = _run(peer, folder, task, limit_s)
        if place is not None:
            _keep(folder, place)
    return found


def _keep(folder: Path, place: Path) -> None:
    """All but the real rows. That there was no time for more never replaces rows."""
    finished = (folder / "answer.json").exists()
    if not (folder / "made.json").exists() or (not finished and (place / "answer.json").exists()):
        return
    (folder / "train.csv").unlink()
    shutil.copytree(folder, place, dirs_exist_ok=True)


def _run(peer: Peer, folder: Path, task: Task, limit_s: float) -> Made | Absence:
    try:
        python = interpreter(peer.environment) if peer.environment else Path(sys.executable)
        execute(python, peer.program, folder, limit_s)
        answer = take(folder, task)
    except MissingEnvironmentError as error:
        return Absence(f"skipped: {error}")
    except subprocess.TimeoutExpired:
        _note(folder, limit_s)
        return Absence(_unfinished(limit_s))
    except subprocess.CalledProcessError as error:
        return Absence(f"failed: {last_words(error)}")
    except (MalformedAnswerError, OSError) as error:
        return Absence(f"failed: {error}")
    _note(folder, None)
    return Made(answer)


def execute(python: Path, program: str, folder: Path, limit_s: float) -> None:
    """In the order of the standard library: TimeoutExpired or CalledProcessError."""
    words = [
        str(python),
        "-W",
        "ignore",
        "-m",
        f"benchmarks.peers_synthetic.{program}",
        str(folder),
    ]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        words,
        check=True,
        timeout=limit_s,
        cwd=folder,
        env=surroundings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _kept(place: Path, task: Task, limit_s: float) -> Made | Absence | None:
    """None when it has to be made, or made again: with more rows, or with more time."""
    if not (place / "made.json").exists():
        return None
    noted = json.loads((place / "made.json").read_text())
    if noted["gave_up_s"] is not None:
        reason = f"{_unfinished(noted['gave_up_s'])} (kept, {noted['date']})"
        return Absence(reason) if noted["gave_up_s"] >= limit_s else None
    if task.more and not (place / "more.csv").exists():
        return None
    return Made(take(place, task), noted["date"])


def _note(folder: Path, gave_up_s: float | None) -> None:
    note = {"date": datetime.now(UTC).date().isoformat(), "gave_up_s": gave_up_s}
    (folder / "made.json").write_text(json.dumps(note))


def _unfinished(limit_s: float) -> str:
    return f"did not finish in {limit_s:.0f} s"


def last_words(error: subprocess.CalledProcessError) -> str:
    lines = error.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"ended with status {error.returncode}, and printed nothing"


def _slug(name: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in name.lower())


def _digest(task: Task, train: Rows) -> str:
    """Of everything that decides what comes out, but not of how many rows are drawn."""
    asked = (task.method, [*task.sizes.items()], task.epsilon, task.delta, task.workload)
    return sha256(json.dumps(asked).encode() + train.tobytes()).hexdigest()[:16]
