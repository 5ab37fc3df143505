"""The source's rows of the customers whom an answer may be about, joined inside the source."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gate.reads.bulk import groups
from gate.reads.bulk.request import AdmittedRequest
from gate.reads.point import Gate
from gate.reads.sources import interface
from gate.reads.sources.interface import SourceUnavailableError
from gate.state.customer_numbers import NOBODY, Numbers


def authorised(gate: Gate, asked: AdmittedRequest, columns: Sequence[str]) -> Any:
    """The source's rows of all customers whose data may be read, as an Ibis table."""
    if asked.plan.always:
        return gate.source.everybody(columns)
    if asked.admitted.objecting is None:
        return gate.source.rows(asked.subjects, columns)
    key = gate.source.key
    rows = gate.source.everybody([*dict.fromkeys([key, *columns])])
    return _without(rows, key, asked.admitted.objecting).select(*columns)


def in_groups(gate: Gate, asked: AdmittedRequest, rows: Any, least: int) -> Any:
    """Coarsened rows in whole groups, of customers all of whom may be in the answer."""
    people, _, _ = findable(gate, asked, rows, rows)
    domain = asked.plan.scene.domain
    return groups.published(people, gate.source.key, asked.columns, domain, least)


def _without(rows: Any, key: str, names: Sequence[str]) -> Any:
    """The rows of others than these customers."""
    import ibis
    import pyarrow as pa

    return rows.anti_join(ibis.memtable(pa.table({key: pa.array(names, pa.string())})), key)


def findable(
    gate: Gate, asked: AdmittedRequest, rows: Any, unfiltered: Any
) -> tuple[Any, int, Numbers]:
    """The rows whose customers can find the read, how many they are, and the customers' numbers.

    Without those that have no id, and of customers whom the writer has not given a key yet. Raises
    SourceUnavailableError if a customer has several rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    key, admitted = gate.source.key, asked.admitted
    ids = rows.select(key).to_pyarrow()[key].cast(pa.string()).combine_chunks()
    _require_one_row_each(ids, unfiltered if asked.tests else None, key)
    places = pc.index_in(ids, value_set=pa.array(admitted.subjects, pa.string()))
    numbers = admitted.numbers[places.drop_null().to_numpy().astype(np.int64)]
    others = ids.filter(pc.is_null(places))
    if not len(others):
        return rows, len(ids), numbers
    names = others.drop_null().to_pylist()
    theirs = gate.numbers.of_names(names)
    if silent := admitted.objecting is not None:
        theirs[gate.returned(names)] = NOBODY
    unknown = [name for name, each in zip(names, theirs.tolist(), strict=True) if each == NOBODY]
    rows, count = rows.filter(rows[key].notnull()), len(ids) - others.null_count
    # Silence speaks for customers only: not for ids without a key, and not for erased ones.
    if missing := unknown if silent else [*gate.journal.awaited(unknown)]:
        count -= len(missing)
        rows = _without(rows, key, missing)
    return rows, count, np.concatenate([numbers, theirs])


def _require_one_row_each(ids: Any, unfiltered: Any, key: str) -> None:
    """Raise SourceUnavailableError if one of these customers has a second row.

    `unfiltered`: the rows of which a filter left these; None: no filter. The filter may have left
    one of two rows.
    """
    import ibis
    import pyarrow as pa
    import pyarrow.compute as pc

    known = ids.drop_null()
    rows = len(known)
    if unfiltered is not None and rows:
        named = ibis.memtable(pa.table({key: pc.unique(known)}))
        rows = counted(unfiltered.select(key).semi_join(named, key))
    if pc.count_distinct(known).as_py() < rows:
        raise SourceUnavailableError(interface.doubled("the rows that were asked for"))


@contextmanager
def reported() -> Iterator[None]:
    """Translate the errors of any engine to SourceUnavailableError."""
    try:
        yield
    except SourceUnavailableError:
        raise
    except Exception as error:
        reason = interface.without_values(error)
        raise SourceUnavailableError(f"the source failed to deliver rows: {reason}") from error


def counted(rows: Any) -> int:
    return int(rows.count().to_pyarrow().as_py())
