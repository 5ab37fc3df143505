"""anonymeter's attacks on one synthetic table. Its one argument is a folder:

    attack.json    {"attacks": 1000, "ordinal": ["age", …], "secrets": ["income", …], "widths": [4]}
    original.csv   rows the table was made from; control.csv: as many of the same kind it was not
    synthetic.csv  the table
    risks.json     out: [{"attack": "inference of income", "attacks": 1000, "success": 0.81,
                   "control": 0.80, "blind": 0.64, "risk": 0.05, "low": 0.0, "high": 0.1}, …]

`success` and `control` are the rates against the original and against the control, `blind` that of
guessing at random; the risk is what the first has over the second, with its interval at 95 %.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator
from anonymeter.evaluators.singling_out_evaluator import (
    multivariate_singling_out_queries,
    univariate_singling_out_queries,
)

NEIGHBOURS = 10
TRIES = 100_000  # of finding a predicate that singles out in the synthetic table


@dataclass(frozen=True, slots=True)
class Attack:
    attacks: int
    ordinal: list[str]
    secrets: list[str]
    widths: list[int]  # columns of a predicate
    original: pd.DataFrame
    control: pd.DataFrame
    synthetic: pd.DataFrame


def risks(attack: Attack) -> Iterator[dict[str, Any]]:
    yield singling_out(attack, "univariate", 1)
    for width in attack.widths:
        yield singling_out(attack, "multivariate", width)
    yield linkability(attack)
    for secret in attack.secrets:
        yield inference(attack, secret)


def singling_out(attack: Attack, mode: str, width: int) -> dict[str, Any]:
    """On distinct rows, cut to one length, as the evaluator would otherwise guess a correction."""
    name = "singling out by a column" if width == 1 else f"singling out by {width} columns"
    attacks = min(attack.attacks, _possible(attack.synthetic, mode, width, attack.attacks))
    if attacks == 0:
        return {"attack": name, "attacks": 0}
    original, control = _distinct(attack.original), _distinct(attack.control)
    length = min(len(original), len(control))
    evaluator = SinglingOutEvaluator(
        ori=original[:length],
        syn=attack.synthetic,
        control=control[:length],
        n_attacks=attacks,
        n_cols=width,
        max_attempts=TRIES,
    )
    evaluator.evaluate(mode=mode)
    return _found(name, attacks, evaluator)


def linkability(attack: Attack) -> dict[str, Any]:
    """Two halves of a row, every second column each, found again by their nearest neighbours."""
    columns = [*attack.original.columns]
    evaluator = LinkabilityEvaluator(
        ori=attack.original,
        syn=attack.synthetic,
        control=attack.control,
        n_attacks=attack.attacks,
        aux_cols=(columns[::2], columns[1::2]),
        n_neighbors=NEIGHBOURS,
    )
    evaluator.evaluate(n_jobs=1)
    return _found("linking two halves of a row", attack.attacks, evaluator)


def inference(attack: Attack, secret: str) -> dict[str, Any]:
    """One column guessed from all others."""
    evaluator = InferenceEvaluator(
        ori=attack.original,
        syn=attack.synthetic,
        control=attack.control,
        aux_cols=[name for name in attack.original.columns if name != secret],
        secret=secret,
        regression=False,
        n_attacks=attack.attacks,
    )
    evaluator.evaluate(n_jobs=1)
    blind = _agreement(attack.synthetic[secret], attack.original[secret])
    return _found(f"inference of {secret}", attack.attacks, evaluator) | {"blind": blind}


def _agreement(drawn: pd.Series, held: pd.Series) -> float:
    """How often a value drawn from the table is right. The evaluator's own blind guesses are wrong
    for another reason: it compares only those that were drawn from the row's own place."""
    shares = drawn.value_counts(normalize=True) * held.value_counts(normalize=True)
    return float(shares.sum())


def _possible(synthetic: pd.DataFrame, mode: str, width: int, wanted: int) -> int:
    """How many different predicates single out in the table: the evaluator counts missing ones."""
    distinct = pl.DataFrame(_distinct(synthetic))
    generator = np.random.default_rng()
    if mode == "univariate":
        return len(univariate_singling_out_queries(distinct, wanted, generator))
    found = multivariate_singling_out_queries(
        distinct, n_queries=wanted, n_cols=width, rng=generator, max_attempts=TRIES
    )
    return len(found)


def _found(name: str, attacks: int, evaluator: Any) -> dict[str, Any]:
    results = evaluator.results()
    risk = results.risk()
    return {
        "attack": name,
        "attacks": attacks,
        "success": results.attack_rate.value,
        "control": results.control_rate.value,
        "blind": results.baseline_rate.value,
        "risk": risk.value,
        "low": risk.ci[0],
        "high": risk.ci[1],
    }


def _distinct(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(ignore_index=True)


def _read(path: Path, ordinal: list[str]) -> pd.DataFrame:
    """Codes of ordinal columns stay numbers; the others become words."""
    rows = pd.read_csv(path)
    return rows.astype({name: str for name in rows.columns if name not in ordinal})


def main() -> None:
    folder = Path(sys.argv[1])
    told = json.loads((folder / "attack.json").read_text())
    names = ("original", "control", "synthetic")
    tables = {name: _read(folder / f"{name}.csv", told["ordinal"]) for name in names}
    (folder / "risks.json").write_text(json.dumps([*risks(Attack(**told, **tables))]))


if __name__ == "__main__":
    main()
