"""Inclusion and consistency proofs, from the model of RFC 6962.

Entry i is its number in decimal. A vector is a valid proof, or one named mutation of it.
"""

from collections.abc import Iterator
from pathlib import Path

from specs.model import tree
from specs.vectors.vector import Vector, text

__all__ = ["FOLDER", "consistencies", "inclusions", "text"]

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 31, 33)
FOLDER = Path(__file__).parent


def entries(size: int) -> list[bytes]:
    return [str(index).encode() for index in range(size)]


def inclusions() -> Iterator[Vector]:
    for size in SIZES:
        for index in sorted({0, size // 2, size - 1}):
            valid = {
                "index": index,
                "size": size,
                "leaf": tree.mth([str(index).encode()]).hex(),
                "root": tree.mth(entries(size)).hex(),
                "proof": [each.hex() for each in tree.path(index, entries(size))],
            }
            yield valid | {"mutation": None}
            yield from _mutations(valid, ("leaf", "root"), ("index", "size"))


def consistencies() -> Iterator[Vector]:
    for new in SIZES:
        for old in sorted({1, (new + 1) // 2, new}):
            valid = {
                "old": old,
                "new": new,
                "old_root": tree.mth(entries(old)).hex(),
                "new_root": tree.mth(entries(new)).hex(),
                "proof": [each.hex() for each in tree.proof(old, entries(new))],
            }
            yield valid | {"mutation": None}
            yield from _mutations(valid, ("old_root", "new_root"), ())


def _mutations(
    valid: Vector, hashes: tuple[str, ...], numbers: tuple[str, ...]
) -> Iterator[Vector]:
    proof = valid["proof"]
    for name in hashes:
        yield valid | {name: _flipped(valid[name]), "mutation": f"{name}: one bit flipped"}
        yield valid | {name: valid[name][:-2], "mutation": f"{name}: one byte short"}
    for name in numbers:
        yield valid | {name: -1, "mutation": f"{name}: negative"}
    yield valid | {"proof": [*proof, "00" * 32], "mutation": "proof: one hash too many"}
    if proof:
        yield valid | {"proof": proof[:-1], "mutation": "proof: one hash missing"}
        yield valid | {"proof": [_flipped(proof[0]), *proof[1:]], "mutation": "proof: bit flipped"}
    if len(proof) > 1:
        yield valid | {"proof": proof[::-1], "mutation": "proof: reversed"}


def _flipped(text: str) -> str:
    return f"{int(text[:2], 16) ^ 1:02x}{text[2:]}"
