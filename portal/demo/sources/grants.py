"""Generates the grants that exist when the demonstration begins, depending on age and job.

The rule. A customer allows a scene with probability

    p = BASE[scene] + SLOPE[scene] * (40 - age) / 40 + SHIFT[job],   kept within [0.02, 0.98]

so the young allow recommendations and device advertising more readily than the old, students and
managers are more open than pensioners, and the withdrawal that the synthesiser must repair is
driven by age and job, as in reality. A grant covers every field of the scene, except that one
grant in six leaves out one field, drawn evenly. `contract-service` never appears: it rests on the
contract. Draws are those of NumPy's PCG64 with the given seed, one row a customer, in file order.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate.contracts import company
from gate.contracts.scene import Scene
from portal.demo.sources import customers
from portal.operations.company_folder import example

BASE = {  # probability that a forty-year-old allows a scene
    "service-reminder": 0.88,
    "lead-scoring": 0.50,
    "direct-marketing": 0.38,
    "recommendation": 0.64,
    "nearest-branch": 0.62,
    "anomaly-detection": 0.84,
    "renewal-forecast": 0.55,
    "segmentation": 0.72,
    "ads-device-id": 0.26,
    "third-party-sharing": 0.12,
    "ai-training": 0.44,
}
SLOPE = {  # what being forty years younger adds
    "service-reminder": -0.10,
    "lead-scoring": 0.20,
    "direct-marketing": 0.10,
    "recommendation": 0.45,
    "nearest-branch": 0.40,
    "anomaly-detection": -0.08,
    "renewal-forecast": 0.15,
    "segmentation": 0.35,
    "ads-device-id": 0.30,
    "third-party-sharing": 0.08,
    "ai-training": 0.50,
}
SHIFT = {  # what an occupation adds, in every scene
    "student": 0.10,
    "management": 0.06,
    "technician": 0.05,
    "self-employed": -0.04,
    "entrepreneur": -0.05,
    "blue-collar": -0.06,
    "housemaid": -0.08,
    "retired": -0.10,
}
LEAVES_ONE_OUT = 1 / 6
Grant = tuple[str, str, tuple[str, ...]]  # customer id, scene id, fields


def initial_grants(seed: int = customers.SEED) -> Iterator[Grant]:
    """Every grant of every customer, customer by customer, scenes in their order."""
    return _grants(company.load(example()).scenes, seed)


def _grants(scenes: Mapping[str, Scene], seed: int) -> Iterator[Grant]:
    asked = [scenes[name] for name in BASE]
    chance = _chances()
    draws = np.random.default_rng(seed).random((3, *chance.shape))
    granted, partly = draws[0] < chance, draws[1] < LEAVES_ONE_OUT
    for row, column in zip(*(axis.tolist() for axis in granted.nonzero()), strict=True):
        fields = tuple(asked[column].fields)
        if partly[row, column]:
            gap = int(draws[2, row, column] * len(fields))
            fields = fields[:gap] + fields[gap + 1 :]
        yield f"c{row + 1:05d}", asked[column].id, fields


def _chances() -> NDArray[np.float64]:
    """The probability of each grant, shape (customers, scenes)."""
    age, job = _people()
    shift = np.array([SHIFT.get(name, 0.0) for name in job])
    base, slope = np.array([*BASE.values()]), np.array([*SLOPE.values()])
    youth = (40.0 - age) / 40.0
    chance: NDArray[np.float64] = base + np.outer(youth, slope) + shift[:, None]
    return chance.clip(0.02, 0.98)


def _people() -> tuple[NDArray[np.float64], list[str]]:
    import duckdb

    with duckdb.connect() as connection, customers.bundled() as path:
        rows: dict[str, Any] = connection.execute(
            "SELECT age, job FROM read_csv($path, header = true, delim = ',', columns = $columns)",
            {"path": str(path), "columns": customers.COLUMNS},
        ).fetchnumpy()
    return rows["age"].astype(np.float64), rows["job"].tolist()
