"""anonymeter's attacks on our synthetic rows, on independent histograms, and on real rows.

    python -m benchmarks synthetic_risks [--sets adult,bank] [--attacks 1000] [--limit 900]

All rows of a data set are split in two equal halves at random: releases are fitted on one, at
epsilon 1; the other is the control, people of the same kind whom no release has seen. A risk is
what an attack achieves on the first beyond what it achieves on the second. The real rows in place
of synthetic ones are the upper end: an attack that fails even there says nothing of the others.
Needs `make peers`.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers_synthetic.environment import MissingEnvironmentError, interpreter
from benchmarks.peers_synthetic.exchange import Rows, write
from benchmarks.synthetic_peers import LIMIT_S, execute, last_words
from benchmarks.synthetic_quality import EPSILON, LABELS, DataSet, drawn, load, release
from synthetic.model.graphical_model import GRAPHICAL, INDEPENDENT

SECRETS = {"adult": ("occupation", "marital_status"), "bank": ("job", "balance")}
WIDTHS = (4, 6)  # columns of a predicate that is to single somebody out


def halves(data: DataSet) -> tuple[DataSet, Rows]:
    """The half that releases are fitted on, and the control."""
    every = np.concatenate([data.train, data.test])
    order = np.random.default_rng().permutation(len(every))
    half = len(every) // 2
    return replace(data, train=every[order[:half]]), every[order[half : 2 * half]]


def tables(data: DataSet) -> Iterator[tuple[str, Rows]]:
    """Of as many rows each, the last one real."""
    for name, mechanism in (("ours", GRAPHICAL), ("independent histograms", INDEPENDENT)):
        yield name, drawn(release(data, data.train, mechanism), len(data.train))
    yield "the real rows", data.train


def attacked(
    data: DataSet, control: Rows, synthetic: Rows, asked: argparse.Namespace
) -> list[dict[str, Any]]:
    """MissingEnvironmentError, or subprocess.SubprocessError, if there is nothing to report."""
    told = {
        "attacks": asked.attacks,
        "ordinal": [*data.ordinal],
        "secrets": [LABELS[data.name], *SECRETS[data.name]],
        "widths": WIDTHS,
    }
    python = interpreter("anonymeter")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "attack.json").write_text(json.dumps(told))
        given = {"original": data.train, "control": control, "synthetic": synthetic}
        for file, rows in given.items():
            write(folder / f"{file}.csv", data.columns, rows)
        execute(python, "of_anonymeter", folder, asked.limit)
        risks: list[dict[str, Any]] = json.loads((folder / "risks.json").read_text())
    return risks


def line(name: str, found: dict[str, Any]) -> str:
    if not found["attacks"]:
        return f"  {name:24}{found['attack']:32}no predicate singles anybody out in this table"
    interval = f"{found['low']:.3f} – {found['high']:.3f}"
    rates = "".join(f"{found[rate]:>9.1%}" for rate in ("success", "control", "blind"))
    text = f"  {name:24}{found['attack']:32}{found['attacks']:>8}{rates}{found['risk']:>8.3f}"
    return f"{text}   {interval:16}{verdict(name, found)}"


def verdict(name: str, found: dict[str, Any]) -> str:
    """What a reader may conclude; an attack that fails on real rows is worth nothing elsewhere."""
    if name == "the real rows":
        return "the attack works" if found["low"] > 0 else "the attack fails even here"
    return "" if found["low"] == 0 else "above its control"


def report(data: DataSet, asked: argparse.Namespace) -> None:
    fitted, control = halves(data)
    title = f"Risks, {data.name}, {len(control):,} rows and as many in the control"
    print(f"\n{title}, epsilon {EPSILON}; interval at 95 %")
    print(f"  {'':56}{'attacks':>8}{'success':>9}{'control':>9}{'blind':>9}{'risk':>8}   interval")
    for name, rows in tables(fitted):
        for found in attacked(fitted, control, rows, asked):
            print(line(name, found), flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks synthetic_risks")
    parser.add_argument("--sets", default="adult,bank", help="data sets, by comma")
    parser.add_argument("--attacks", type=int, default=1000, help="of each kind")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for each table")
    return parser.parse_known_args()[0]


def main() -> None:
    asked = options()
    try:
        for data in filter(None, map(load, asked.sets.split(","))):
            report(data, asked)
    except MissingEnvironmentError as error:
        print(f"  skipped anonymeter: {error}")
    except subprocess.TimeoutExpired:
        print(f"  anonymeter did not finish in {asked.limit:.0f} s; allow more with --limit")
    except subprocess.CalledProcessError as error:
        print(f"  anonymeter failed: {last_words(error)}")
