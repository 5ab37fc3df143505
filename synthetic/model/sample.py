"""Draw rows from a model. All of it is post-processing: no private data, no budget.

A `Model` draws the columns one after the other, each given the columns it depends on. At the end,
codes are decoded to values; numbers and dates are placed at random inside their bin.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.model.domain import Categories, Column, Dates, Domain, Numbers
from synthetic.model.marginals import Clique

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Uniforms = Callable[[str], Floats]  # purpose, e.g. a column -> one number in [0, 1) per row

EPOCH = date(1970, 1, 1)
SHORT = 2**16
LEAST_CHAINS = 8  # chains are processed in parallel; fewer would be slow
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, slots=True)
class SamplingStep:
    """How to draw `column`: `cumulative[parent cell, code]`, rising to 1 along each row."""

    column: str
    parents: Clique
    cumulative: Floats


@dataclass(frozen=True, slots=True)
class Model:
    """Steps in drawing order; every column of the domain occurs once, after its parents."""

    domain: Domain
    steps: tuple[SamplingStep, ...]


def step(column: str, parents: Clique, joint: Floats) -> SamplingStep:
    """The step that draws `column` given `parents`.

    `joint`: weights >= 0, shape (parent cells, codes). For a parent cell without weight, the
    column's overall distribution is used; without any weight, all codes are equally likely.
    """
    overall = joint.sum(axis=0)
    overall = overall if overall.sum() > 0 else np.ones_like(overall)
    filled = np.where(joint.sum(axis=1, keepdims=True) > 0, joint, overall)
    cumulative = np.cumsum(filled, axis=1)
    cumulative /= cumulative[:, -1:]
    return SamplingStep(column, parents, cumulative)


Choose = Callable[
    [SamplingStep, Codes, tuple[int, ...]], Codes
]  # (step, parent cells, their shape)


def draw(model: Model, rows: int, choose: Choose) -> dict[str, Codes]:
    """The codes of every column, `rows` of each."""
    drawn: dict[str, Codes] = {}
    for each in model.steps:
        shape = model.domain.shape(each.parents)
        given = [drawn[name] for name in each.parents]
        cells = np.ravel_multi_index(given, shape) if given else np.zeros(rows, dtype=np.int64)
        drawn[each.column] = choose(each, np.asarray(cells), shape)
    return drawn


def independently(uniforms: Uniforms) -> Choose:
    """Draw each row by its own uniform number: exactly the distribution of the model."""

    def choose(step: SamplingStep, cells: Codes, _shape: tuple[int, ...]) -> Codes:
        above = uniforms(step.column)[:, None] >= step.cumulative[cells, :-1]
        return np.asarray(above.sum(axis=1))

    return choose


def balanced(generator: np.random.Generator) -> Choose:
    """Draw all rows together, so that counts deviate from the model by rounding, not by chance.

    Parent cells are processed in order, in chains that share their first parent(s). The rounding
    error of a cell is carried to the next cell of its chain, so that every prefix of a chain is
    within about one row of the model.
    """

    def choose(step: SamplingStep, cells: Codes, shape: tuple[int, ...]) -> Codes:
        sizes = np.bincount(cells, minlength=len(step.cumulative))
        present = np.flatnonzero(sizes)
        share = np.diff(step.cumulative[present], axis=1, prepend=0.0)
        chains = _chains(present, shape)
        counts = _apportion(share, sizes[present], chains, generator)
        order = _shuffled_by_cell(cells, len(step.cumulative), generator)
        codes = np.empty(len(cells), dtype=np.int64)
        labels = np.tile(np.arange(share.shape[1]), len(present))
        codes[order] = np.repeat(labels, counts.ravel())
        return codes

    return choose


def keyed(key: bytes, release: str, subjects: Sequence[str]) -> Uniforms:
    """Uniforms that depend only on key, release, subject and column: the same at each call."""
    tags = b"".join(_tag(key, release, subject) for subject in subjects)
    states = np.frombuffer(tags, dtype="<u8").reshape(len(subjects), 4)

    def uniforms(column: str) -> Floats:
        name = np.frombuffer(sha256(column.encode()).digest()[:16], dtype="<u8")
        mixed = _mix(_mix(states[:, 0] ^ name[0]) ^ states[:, 1] ^ name[1])
        return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53

    return uniforms


def encode(domain: Domain, table: Any) -> dict[str, Codes]:
    """Encode the columns of an Arrow table that the domain declares."""
    present = [name for name in domain.columns if name in table.column_names]
    return {name: _codes(domain[name], table[name].combine_chunks()) for name in present}


def decode(
    domain: Domain, codes: Mapping[str, Codes], columns: Sequence[str], uniforms: Uniforms
) -> Any:
    """Decode `columns` to an Arrow table of values, in the given order."""
    import pyarrow as pa

    return pa.table(
        {name: _values(domain[name], codes[name], uniforms(f"{name}|within"))
         for name in columns}
    )  # fmt: skip


def _shuffled_by_cell(cells: Codes, number: int, generator: np.random.Generator) -> Codes:
    """Row indices sorted by cell, in random order inside each cell."""
    if number <= SHORT:  # numpy sorts 16-bit numbers by radix
        order = generator.permutation(len(cells))
        return np.asarray(order[np.argsort(cells[order].astype(np.uint16), kind="stable")])
    ties = generator.integers(0, 2**32, len(cells), dtype=np.uint32)
    return np.argsort((cells.astype(np.uint64) << np.uint64(32)) | ties)


def _chains(present: Codes, shape: tuple[int, ...]) -> Codes:
    """The chain number of each present cell. Cells of a chain are neighbours."""
    leading, columns = 1, 0
    while columns < len(shape) - 1 and leading < LEAST_CHAINS:
        leading, columns = leading * shape[columns], columns + 1
    return present // max(1, int(np.prod(shape[columns:], dtype=np.int64)))


def _apportion(share: Floats, sizes: Codes, chains: Codes, generator: np.random.Generator) -> Codes:
    """Whole rows per (cell, code): `sizes` rows in each cell, errors carried along chains."""
    counts = np.empty(share.shape, dtype=np.int64)
    if not len(sizes):
        return counts
    _, first, length = np.unique(chains, return_index=True, return_counts=True)
    carried = np.zeros((len(first), share.shape[1]))
    longest_first = np.argsort(-length, kind="stable")
    for place in range(int(length.max())):
        live = longest_first[: int((length > place).sum())]
        cell = first[live] + place
        wanted = share[cell] * sizes[cell, None] + carried[live]
        got = _whole(wanted, sizes[cell], generator.random(len(cell)))
        counts[cell], carried[live] = got, wanted - got
    return counts


def _whole(wanted: Floats, sizes: Codes, offset: Floats) -> Codes:
    """Systematic rounding of each row of `wanted` to whole numbers >= 0 with sum `sizes`."""
    up_to = np.cumsum(np.maximum(wanted, 0.0), axis=1)
    up_to *= (sizes / up_to[:, -1])[:, None]
    up_to[:, -1] = sizes  # exact despite floating-point rounding
    reached = np.floor(up_to + offset[:, None]).astype(np.int64)
    return np.diff(reached, axis=1, prepend=0)


def _codes(column: Column, values: Any) -> Codes:
    """Encode an Arrow column by the same rules as synthetic.model.counts.code."""
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = values.is_null().to_numpy(zero_copy_only=False)
    match column:
        case Categories(labels):
            positions = pc.index_in(values.cast(pa.string()), pa.array(labels, type=pa.string()))
            codes = positions.fill_null(column.other_code).to_numpy(zero_copy_only=False)
        case Numbers(_, _, edges):
            codes = np.searchsorted(edges, _filled(values.cast(pa.float64())), side="right")
        case Dates(_, _, edges):
            days = values.cast(pa.date32()).cast(pa.int32())
            codes = np.searchsorted([_day(edge) for edge in edges], _filled(days), side="right")
    return np.where(missing, column.null_code, codes).astype(np.int64)


def _filled(values: Any) -> NDArray[Any]:
    return np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False))


def _day(day: date) -> int:
    return (day - EPOCH) // timedelta(days=1)


def _values(column: Column, codes: Codes, u: Floats) -> Any:
    import pyarrow as pa

    missing = codes == column.null_code if column.nullable else np.zeros(len(codes), dtype=bool)
    match column:
        case Categories(values):
            labels = pa.array([*values, None], type=pa.string())
            indexes: Any = pa.array(codes)  # the stubs take it for truth values
            return labels.take(indexes)
        case Numbers(lower, upper, edges, integer):
            placed = _placed((lower, *edges, upper), codes, u, whole=integer)
            kind = pa.int64() if integer else pa.float64()
            return pa.array(placed, mask=missing).cast(kind)
        case Dates(lower, upper, edges):
            days = [_day(cut) for cut in (lower, *edges, upper)]
            placed = _placed(days, codes, u, whole=True).astype(np.int32)
            return pa.array(placed, mask=missing).cast(pa.date32())


def _placed(cuts: Sequence[float], codes: Codes, u: Floats, *, whole: bool) -> Floats:
    """A point inside each code's bin [low, high); the last bin includes `upper`."""
    ends = np.array(cuts, dtype=np.float64)
    bins = np.minimum(codes, len(ends) - 2)
    low, high = ends[bins], ends[bins + 1]
    if not whole:
        return np.asarray(low + u * (high - low))
    first, last = np.ceil(low), np.where(bins == len(ends) - 2, np.floor(high) + 1, np.ceil(high))
    return np.asarray(np.floor(first + u * np.maximum(last - first, 1)))


def _tag(key: bytes, release: str, subject: str) -> bytes:
    return hmac.digest(key, f"{release}\0{subject}".encode(), "sha256")


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection, spreads every bit."""
    state = state + _MIX[0]
    state = (state ^ (state >> np.uint64(30))) * _MIX[1]
    state = (state ^ (state >> np.uint64(27))) * _MIX[2]
    return state ^ (state >> np.uint64(31))
