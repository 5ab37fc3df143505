"""Transforms record batches of an answer: adds view columns, limits rows, mixes sources.

Every function works on one batch at a time, whatever the length of the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate.decision.decide import View
from gate.reads import filter  # noqa: A004 - a filter is what the field calls it
from gate.reads.filter import Test
from gate.reads.sources.interface import SourceUnavailableError, without_values

ROWS = 8192  # per batch
LABEL_BYTES = 40  # of a field and its view in JSON, without the names
CUSTOMER = "customer"  # column with the customer's id, in answers that name customers

Batches = Iterator[Any]  # Arrow record batches


@dataclass(frozen=True, slots=True)
class FieldMark:
    """Turns batches of the source into batches of the answer, with a view column per field."""

    schema: Any
    key: str | None  # the source column with the customer's id; None: answer without ids
    labels: Mapping[str, Sequence[View]]  # field of the answer -> the views that occur

    @classmethod
    def of(
        cls, source: Any, labels: Mapping[str, Sequence[View]], key: str | None = None
    ) -> "FieldMark":
        """`source`: the Arrow schema of the incoming batches."""
        import pyarrow as pa

        columns = [] if key is None else [(CUSTOMER, source.field(key).type)]
        kind = pa.dictionary(pa.int8(), pa.string())
        for field in labels:
            columns += [(field, source.field(field).type), (f"{field}.view", kind)]
        return cls(pa.schema(columns), key, labels)

    def each(self, batches: Batches, place: int) -> Batches:
        """Mark batches; `place`: index in `labels` of the view that all their rows have."""
        return (self._marked(batch, place) for batch in batches)

    def withheld(self, rows: int) -> Batches:
        """Batches of so many rows without values; each field's labels have `WITHHELD`."""
        import pyarrow as pa

        for at in range(0, rows, ROWS):
            count = min(ROWS, rows - at)
            columns = [pa.nulls(count, self.schema.field(self.key).type)] if self.key else []
            for field, views in self.labels.items():
                codes = pa.array(np.full(count, views.index(View.WITHHELD), np.int8), pa.int8())
                label = pa.DictionaryArray.from_arrays(codes, pa.array(views, pa.string()))
                columns += [pa.nulls(count, self.schema.field(field).type), label]
            yield pa.record_batch(columns, schema=self.schema)

    def _marked(self, batch: Any, place: int) -> Any:
        import pyarrow as pa

        columns = [] if self.key is None else [batch[self.key]]
        codes = pa.array(np.full(batch.num_rows, place, np.int8), pa.int8())
        for field, views in self.labels.items():
            # The same dictionary for all batches, so that a stream sends it once.
            label = pa.DictionaryArray.from_arrays(codes, pa.array(views, pa.string()))
            columns += [batch[field], label]
        return pa.record_batch(columns, schema=self.schema)


def drawn(tables: Iterator[Any], schema: Any, tests: Sequence[Test]) -> Batches:
    """Synthetic rows that pass the tests; null in columns that are not drawn."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for table in tables:
        rows = filter.keep(table, tests, pc.field)
        columns = [
            rows[field.name].cast(field.type, safe=False)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            for field in schema
        ]
        yield from pa.table(columns, schema=schema).to_batches(max_chunksize=ROWS)


def mixed(first: tuple[Batches, int], second: tuple[Batches, int]) -> Batches:
    """Interleave two streams at random, weighted by rows: any prefix is a fair sample of both."""
    (ours, left), (others, right) = first, second
    generator = np.random.default_rng()
    while left > 0 and right > 0:
        if generator.random() < left / (left + right):
            left -= ROWS
            yield from _some(ours)
        else:
            right -= ROWS
            yield from _some(others)
    yield from ours
    yield from others


def rows_in(batch: Any, size: int) -> int:
    """How many rows of the batch make about `size` bytes of an answer as JSON; at least one."""
    if not batch.num_rows:
        return 1
    names = sum(2 * len(name) + LABEL_BYTES for name in batch.schema.names)
    return int(max(1, size // (batch.nbytes / batch.num_rows + names)))


def at_most(rows: int, batches: Batches) -> Batches:
    """Cut the stream after `rows` rows: rows beyond the logged count must not leave."""
    for batch in batches:
        if rows > 0:
            yield batch.slice(0, rows)
        rows -= batch.num_rows


def reporting(batches: Batches) -> Batches:
    """Translate the errors of any engine to SourceUnavailableError."""
    try:
        yield from batches
    except Exception as error:
        reason = without_values(error)
        raise SourceUnavailableError(f"the source stopped delivering rows: {reason}") from error


def _some(batches: Batches) -> Batches:
    """Batches that have ROWS rows together, or all that are left."""
    rows = 0
    while rows < ROWS and (batch := next(batches, None)) is not None:
        rows += batch.num_rows
        yield batch
