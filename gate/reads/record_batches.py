"""Record batches on their way out: at most as many rows as were journalled, each field marked.

What is here holds one batch at a time, whatever the length of the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate.decision.decide import View
from gate.reads import filter  # noqa: A004 - a filter is what the field calls it
from gate.reads.filter import Test
from gate.reads.sources.interface import SourceUnavailableError

ROWS = 8192  # of a batch
DRAWN_ROWS = 1 << 16  # synthetic rows drawn together: their counts follow the model within a draw
CUSTOMER = "customer"  # the column that names the customer, where an answer names them

Batches = Iterator[Any]  # of Arrow record batches


@dataclass(frozen=True, slots=True)
class FieldMark:
    """How batches of the source become batches of the answer: each field with its view."""

    schema: Any
    key: str | None  # the column of the source that names the customer
    labels: Mapping[str, Sequence[View]]  # of each field of the answer: the views that occur

    @classmethod
    def of(
        cls, source: Any, labels: Mapping[str, Sequence[View]], key: str | None = None
    ) -> "FieldMark":
        """`source`: the Arrow schema of the batches that come in."""
        import pyarrow as pa

        columns = [] if key is None else [(CUSTOMER, source.field(key).type)]
        kind = pa.dictionary(pa.int8(), pa.string())
        for field in labels:
            columns += [(field, source.field(field).type), (f"{field}.view", kind)]
        return cls(pa.schema(columns), key, labels)

    def each(self, batches: Batches, place: int) -> Batches:
        """`place`: of the view that every row of these batches has, in `labels`."""
        return (self._marked(batch, place) for batch in batches)

    def _marked(self, batch: Any, place: int) -> Any:
        import pyarrow as pa

        columns = [] if self.key is None else [batch[self.key]]
        codes = pa.array(np.full(batch.num_rows, place, np.int8), pa.int8())
        for field, views in self.labels.items():
            # One dictionary for all batches, so that a stream sends it once.
            label = pa.DictionaryArray.from_arrays(codes, pa.array(views, pa.string()))
            columns += [batch[field], label]
        return pa.record_batch(columns, schema=self.schema)


def drawn(tables: Iterator[Any], schema: Any, tests: Sequence[Test]) -> Batches:
    """Synthetic rows, less those that the tests leave out; null where nothing is drawn."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for table in tables:
        found = filter.keep(table, tests, pc.field)
        columns = [
            found[field.name].cast(field.type, safe=False)
            if field.name in found.column_names
            else pa.nulls(found.num_rows, field.type)
            for field in schema
        ]
        yield from pa.table(columns, schema=schema).to_batches(max_chunksize=ROWS)


def mixed(first: tuple[Batches, int], second: tuple[Batches, int]) -> Batches:
    """Batches of both in random turn, by their number of rows: a beginning is like the whole."""
    (ours, left), (others, right) = first, second
    generator = np.random.default_rng()
    while left > 0 and right > 0:
        if generator.random() < left / (left + right):
            left -= ROWS
            yield from _one(ours)
        else:
            right -= ROWS
            yield from _one(others)
    yield from ours
    yield from others


def at_most(rows: int, batches: Batches) -> Batches:
    """What the source has more than it counted was not journalled, so it does not leave."""
    for batch in batches:
        if rows > 0:
            yield batch.slice(0, rows)
        rows -= batch.num_rows


def reporting(batches: Batches) -> Batches:
    """Every engine raises its own errors; callers see SourceUnavailableError."""
    try:
        yield from batches
    except Exception as error:
        raise SourceUnavailableError(f"the source stopped delivering rows: {error}") from error


def _one(batches: Batches) -> Batches:
    batch = next(batches, None)
    if batch is not None:
        yield batch
