"""Shares of segments from `/v1/table`, with the share of synthetic rows and the true error."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.crm import database
from sovereign_client import Client, Generalised, Personal, Synthetic

SCENE, SERVICE = "network-planning", "network-planners"
FIELDS = ("internetservice", "multiplelines")


@dataclass(frozen=True, slots=True)
class Segments:
    """`shares`: of the rows that have values. `synthetic`: the share of rows with a drawn one.

    `withheld`: rows without values, which no share counts. `truth`: of all customers.
    """

    shares: dict[tuple[str, ...], float]
    truth: dict[tuple[str, ...], float]
    rows: int
    synthetic: float
    withheld: int


def read(folder: Path, gate: Client) -> Segments:
    """Raises GateError."""
    counted, drawn, withheld = Counter[tuple[str, ...]](), 0, 0
    with gate.table(SCENE, FIELDS) as rows:
        for row in rows:
            values = []
            for name in FIELDS:
                match row.fields[name]:
                    case Personal(own) | Generalised(own):
                        values.append(str(own))
                    case Synthetic(made):
                        values.append(str(made))
            if len(values) < len(FIELDS):
                withheld += 1
                continue
            counted[tuple(values)] += 1
            drawn += any(isinstance(row.fields[name], Synthetic) for name in FIELDS)
    with database.reading(folder) as connection:
        query = f"SELECT {', '.join(FIELDS)} FROM subscriber"  # noqa: S608 - constants
        truth = Counter(tuple(map(str, row)) for row in connection.execute(query))
    size = counted.total()
    return Segments(_shares(counted), _shares(truth), size, drawn / max(1, size), withheld)


def lines(found: Segments) -> Iterator[str]:
    """What is printed. The interval is that of counting so many rows, 95 %; no noise is in it."""
    yield f"{found.rows} rows, {found.synthetic:.1%} synthetic; {found.withheld} withheld"
    yield "intervals are of counting alone: how those who allow differ is not in them"
    for segment in sorted({*found.shares, *found.truth}):
        share, true = found.shares.get(segment, 0.0), found.truth.get(segment, 0.0)
        bar = 1.96 * (share * (1 - share) / max(1, found.rows)) ** 0.5
        yield (
            f"{', '.join(segment)}  {share:.1%} ± {bar:.1%}  true {true:.1%}"
            f"  error {abs(share - true):.1%} of all"
        )


def _shares(counted: Counter[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
    return {each: number / max(1, counted.total()) for each, number in counted.items()}
