"""Model -> rows. All of it is post-processing: no private data, no budget.

A `Model` draws one column after the other, each given the few it depends on. Codes are turned into
values at the end; numbers and dates are placed inside their bin.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.domain import Categories, Column, Dates, Domain, Numbers
from synthetic.marginal import Clique

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Uniforms = Callable[[str, Codes], Floats]  # (column, parent cell per row) -> in [0, 1) per row

EPOCH = date(1970, 1, 1)
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, slots=True)
class Step:
    """How to draw `column`: `cumulative[parent cell, code]`, rising to 1 along each row."""

    column: str
    parents: Clique
    cumulative: Floats


@dataclass(frozen=True, slots=True)
class Model:
    """Steps in drawing order; every column of the domain occurs once, after its parents."""

    domain: Domain
    steps: tuple[Step, ...]


def step(column: str, parents: Clique, joint: Floats) -> Step:
    """`joint`: weights >= 0, shape (parent cells, codes). A parent cell without weight draws as the
    column does overall; no weight at all draws every code alike."""
    overall = joint.sum(axis=0)
    overall = overall if overall.sum() > 0 else np.ones_like(overall)
    filled = np.where(joint.sum(axis=1, keepdims=True) > 0, joint, overall)
    cumulative = np.cumsum(filled, axis=1)
    cumulative /= cumulative[:, -1:]
    return Step(column, parents, cumulative)


def draw(model: Model, rows: int, uniforms: Uniforms) -> dict[str, Codes]:
    """The codes of every column, `rows` of each."""
    drawn: dict[str, Codes] = {}
    for each in model.steps:
        parent = _parent_cell(model.domain, each.parents, drawn, rows)
        u = uniforms(each.column, parent)
        drawn[each.column] = (u[:, None] >= each.cumulative[parent, :-1]).sum(axis=1)
    return drawn


def stratified(rows: int, generator: np.random.Generator) -> Uniforms:
    """Uniforms spread evenly inside each parent cell: rounding, not chance, limits accuracy.

    The rows of one cell, in random order, get (rank + offset)/size, with one offset for the cell.
    """

    def uniforms(_column: str, parent: Codes) -> Floats:
        order = generator.permutation(rows)
        order = order[np.argsort(parent[order], kind="stable")]
        sizes = np.bincount(parent) if rows else np.zeros(0, dtype=np.int64)
        starts = np.cumsum(sizes) - sizes
        cell = parent[order]
        u = np.empty(rows)
        rank = np.arange(rows) - starts[cell]
        u[order] = (rank + generator.random(len(sizes))[cell]) / sizes[cell]
        return u

    return uniforms


def keyed(key: bytes, release: str, subjects: Sequence[str]) -> Uniforms:
    """Uniforms that depend on key, release, subject and column only: the same at every call."""
    tags = b"".join(_tag(key, release, subject) for subject in subjects)
    states = np.frombuffer(tags, dtype="<u8").reshape(len(subjects), 4)

    def uniforms(column: str, _parent: Codes) -> Floats:
        name = np.frombuffer(sha256(column.encode()).digest()[:16], dtype="<u8")
        mixed = _mix(_mix(states[:, 0] ^ name[0]) ^ states[:, 1] ^ name[1])
        return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53

    return uniforms


def decode(
    domain: Domain, codes: Mapping[str, Codes], columns: Sequence[str], uniforms: Uniforms
) -> Any:
    """The `columns` as an Arrow table of values, in the order asked for."""
    import pyarrow as pa

    return pa.table(
        {name: _values(domain[name], codes[name], uniforms(f"{name}|within", codes[name] * 0))
         for name in columns}
    )  # fmt: skip


def _parent_cell(domain: Domain, parents: Clique, drawn: Mapping[str, Codes], rows: int) -> Codes:
    if not parents:
        return np.zeros(rows, dtype=np.int64)
    cell = np.ravel_multi_index([drawn[name] for name in parents], domain.shape(parents))
    return np.asarray(cell, dtype=np.int64)


def _values(column: Column, codes: Codes, u: Floats) -> Any:
    import pyarrow as pa

    missing = codes == column.null_code if column.nullable else np.zeros(len(codes), dtype=bool)
    match column:
        case Categories(values):
            labels = pa.array([*values, None], type=pa.string())
            return labels.take(pa.array(codes))
        case Numbers(lower, upper, edges, integer):
            placed = _placed((lower, *edges, upper), codes, u, whole=integer)
            kind = pa.int64() if integer else pa.float64()
            return pa.array(placed, mask=missing).cast(kind)
        case Dates(lower, upper, edges):
            days = [(cut - EPOCH) // timedelta(days=1) for cut in (lower, *edges, upper)]
            placed = _placed(days, codes, u, whole=True).astype(np.int32)
            return pa.array(placed, mask=missing).cast(pa.date32())


def _placed(cuts: Sequence[float], codes: Codes, u: Floats, *, whole: bool) -> Floats:
    """A point inside each code's bin [low, high); the last bin reaches `upper` itself."""
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
