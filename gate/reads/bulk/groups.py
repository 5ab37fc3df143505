"""Personal rows of a table under a contract that serves statistics only (`minimumGroup`).

A row is coarsened to the public domain: a number becomes the middle of its bin, what the domain
does not list becomes `other`. Rows that are then equal in all fields looked at are a group. A group
is given in multiples of the minimum, so a group of 27 gives 20 rows if the minimum is 10, and one
of 9 gives none; synthetic rows take the place of the others. So two tables around one withdrawal
differ only if the group was at a multiple, and then by as many rows as the minimum.

    age 37, job admin          age 37, job admin       (bin 30 to 45)
    age 41, job admin    ->    age 37, job admin
    age 44, job admin
"""

import itertools
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from synthetic.model import counts
from synthetic.model.domain import Categories, Column, Dates, Domain, Numbers

_SIZE, _PLACE = "sovereign size", "sovereign place"  # added columns, which no source has


class WholeGroups:
    """Lets rows of one stream leave in whole multiples of the minimum only.

    A row waits until enough rows of its group have come. If a customer of the group withdraws
    meanwhile, the rows that wait are fewer, and those that are left at the end never leave.
    """

    def __init__(self, key: str, minimum: int) -> None:
        """`key`: the column with the customer's id, by which rows are not grouped."""
        self._key, self._minimum = key, minimum
        self._codes: dict[tuple[Any, ...], int] = {}
        self._waiting: Any = None

    @property
    def left(self) -> Any:
        """The ids of the rows that still wait, as an Arrow array; None before the first batch."""
        return None if self._waiting is None else self._waiting[self._key]

    def with_waiting(self, batch: Any) -> Any:
        """The rows of an Arrow record batch after those that wait, as one batch."""
        import pyarrow as pa

        if self._waiting is None:
            return batch
        both = pa.Table.from_batches([self._waiting, batch]).combine_chunks()
        return next(iter(both.to_batches()), batch.slice(0, 0))

    def take(self, rows: Any) -> Any:
        """Those of `rows` that leave; the others wait."""
        import pyarrow as pa
        import pyarrow.compute as pc

        codes = np.fromiter(self._coded(rows), np.int64, rows.num_rows)
        counts = np.bincount(codes, minlength=1)
        order = np.argsort(codes, kind="stable")
        places = np.empty_like(codes)
        places[order] = np.arange(len(codes)) - (np.cumsum(counts) - counts)[codes[order]]
        leaves = pa.array(places < (counts - counts % self._minimum)[codes])
        self._waiting = rows.filter(pc.invert(leaves))
        return rows.filter(leaves)

    def _coded(self, rows: Any) -> Iterator[int]:
        """The number of each row's group."""
        columns = [rows[name].to_pylist() for name in rows.schema.names if name != self._key]
        for values in zip(*columns, strict=True):
            yield self._codes.setdefault(values, len(self._codes))


def published(rows: Any, key: str, columns: Sequence[str], domain: Domain, minimum: int) -> Any:
    """Of an Ibis table: `key` and the coarsened `columns` of the rows that may leave.

    Which customers stand for a group is chosen by key, so two counts give the same ones.
    """
    import ibis

    values = {name: coarsened(rows[name], domain[name]) for name in columns}
    coarse = rows.select(key, **values)
    alike = ibis.window(group_by=[*columns])
    placed = coarse.mutate(
        **{
            _SIZE: coarse.count().over(alike),
            _PLACE: ibis.row_number().over(ibis.window(group_by=[*columns], order_by=key)),
        }
    )
    whole = placed[_SIZE] - placed[_SIZE] % minimum
    return placed.filter(placed[_PLACE] < whole).select(key, *columns)


def coarsened(value: Any, column: Column) -> Any:
    """An Ibis value as the one that stands for its bin or category, in its own type."""
    import ibis

    code, kind = counts.code(value, column), value.type()
    names = [(number, ibis.literal(each)) for number, each in enumerate(_values(column))]
    if len(names) == 1:
        return names[0][1].cast(kind)
    return code.cases(*names).cast(kind)  # the code of a missing value has no name: null


def _values(column: Column) -> Sequence[str | float | date]:
    match column:
        case Categories(values):
            return values
        case Numbers(lower, upper, edges, integer):
            middles = _middles([lower, *edges, upper])
            return [int(each) for each in middles] if integer else middles
        case Dates(lower, upper, edges):
            days = [lower, *edges, upper]
            spans = [(after - before).days for before, after in itertools.pairwise(days)]
            return [day + timedelta(span // 2) for day, span in zip(days, spans, strict=False)]


def _middles(borders: Sequence[float]) -> list[float]:
    return [(lo + hi) / 2 for lo, hi in itertools.pairwise(borders)]
