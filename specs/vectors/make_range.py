"""Checkpoints signed by keys that may sign some sizes of the log alone (specs/ledger.md, L85)."""

from collections.abc import Iterator

from specs.vectors.make_note import HEAD
from specs.vectors.signing import ED, note
from specs.vectors.vector import Vector, cases

MALFORMED = {
    "an end that is the first size": "7 7",
    "an end before the first size": "8 7",
    "no end": "0",
    "a number more": "0 8 9",
    "a zero before": "00 8",
    "a sign before": "+0 8",
    "no number": "x 8",
    "two stars": "* *",
}


def vectors() -> Iterator[Vector]:
    """`note` is signed by each of `keys`, a vkey and the sizes [first, end) that it may sign."""
    signed = note(HEAD, ED.line(HEAD))  # of 7 entries
    outside = {"retired before": "0 7", "active later": "8 *", "active later, and retired": "8 9"}
    mutated = [
        (f"keys: {why}", {"keys": [f"{ED.vkey} {sizes}"]})
        for why, sizes in {**outside, **MALFORMED}.items()
    ]
    valid = {"keys": [f"{ED.vkey} 0 8"], "note": signed}
    yield from cases("retired at this size", valid, *mutated)
    for case, sizes in {
        "active from this size on": "7 *",
        "of this size alone": "7 8",
        "of any size, in words": "0 *",
    }.items():
        yield from cases(case, {"keys": [f"{ED.vkey} {sizes}"], "note": signed})
    yield from cases("of any size", {"keys": [ED.vkey], "note": signed})
