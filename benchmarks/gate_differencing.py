"""What two tables around one withdrawal tell about the customer who withdrew.

    python -m benchmarks gate_differencing

Everybody who granted `segmentation` in the demonstration withdraws, one at a time, between two
requests for the same table. Before: rows as they are, so the difference is the customer's own row.
Now: rows as the contract publishes them (gate.reads.bulk.groups), so the difference is empty unless
the group was at a multiple of the contract's minimum. The attacker knows when that was.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

import duckdb
import ibis
import pandas as pd

from gate.contracts.scene import Scene
from gate.reads.bulk import groups
from portal.demo.sources import customers, grants
from tests.bank import contracts

SCENE = "segmentation"
FIVE = ("age", "job", "marital", "education", "balance")
CHECKED = 20  # victims for whom both tables are really made


def main() -> None:
    scene = contracts()[1][SCENE]
    rows = _granting(scene)
    every, pairs = tuple(scene.fields), scene.workload
    print(f"\nDifferencing around one withdrawal: {len(rows):,} customers, {SCENE}")
    print(f"  {'table of':34}{'unique rows':>22}{'shown by the difference':>28}")
    print(f"  {'':34}{'before':>11}{'now':>11}{'before':>17}{'now':>11}")
    for name, columns in (("all fields", every), ("five fields", FIVE), ("age and job", FIVE[:2])):
        exact = rows.groupby([*columns], dropna=False)["id"].transform("size")
        _line(name, float((exact == 1).mean()), _shown(rows, scene, columns))
    learned = pd.concat([_shown(rows, scene, each) for each in pairs], axis=1)
    _line(f"any of the {len(pairs)} in the workload", None, learned.any(axis=1))
    _check(rows, scene, FIVE[:2])


def _line(name: str, unique: float | None, shown: "pd.Series[bool]") -> None:
    alone = f"{unique:11.1%}{0:11.1%}" if unique is not None else f"{'':22}"
    print(f"  {name:34}{alone}{1:17.1%}{shown.mean():11.1%}")


def _shown(rows: pd.DataFrame, scene: Scene, columns: Sequence[str]) -> "pd.Series[bool]":
    """By customer, whether their withdrawal changes the published table."""
    minimum = scene.minimum_group or 1
    table = ibis.memtable(rows)
    coarse = groups.published(table, "id", columns, scene.domain, 1).to_pandas()
    size = coarse.groupby([*columns], dropna=False)["id"].transform("size")
    size.index = pd.Index(coarse["id"])
    return (size % minimum == 0).sort_index()


def _check(rows: pd.DataFrame, scene: Scene, columns: Sequence[str]) -> None:
    """Make both tables for some victims, and compare with what `_shown` computes."""
    shown, whole = _shown(rows, scene, columns), _table(rows, scene, columns)
    victims = Random(1).sample([*rows["id"]], CHECKED)
    for who in victims:
        after = _table(rows[rows["id"] != who], scene, columns)
        assert (after != whole) == bool(shown[who]), who
    print(f"  both tables were made for {CHECKED} customers: as computed")


def _table(rows: pd.DataFrame, scene: Scene, columns: Sequence[str]) -> dict[Any, int]:
    minimum = scene.minimum_group or 1
    left = groups.published(ibis.memtable(rows), "id", columns, scene.domain, minimum).to_pandas()
    return dict(left.groupby([*columns], dropna=False).size())


def _granting(scene: Scene) -> pd.DataFrame:
    """The rows of all customers who granted every field of the scene."""
    whole = {*scene.fields}
    granted = [
        who
        for who, asked, fields in grants.initial_grants()
        if asked == scene.id and whole == {*fields}
    ]
    with duckdb.connect() as connection:
        customers.load(connection)
        columns = ", ".join(f'"{each}"' for each in ("id", *scene.fields))
        everybody = connection.execute(f"SELECT {columns} FROM customer").df()
    return everybody[everybody["id"].isin(granted)].reset_index(drop=True)
