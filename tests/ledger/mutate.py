"""Mutate valid things and demand that none is accepted: `python -m tests.ledger.mutate`.

Each try takes one valid thing – a receipt, a signed checkpoint, an inclusion or consistency proof,
an entry bundle, a tile – and changes one thing about it: a bit, a byte, a line, a
number, a character of another form that looks the same. An accepted mutation is printed whole.
"""

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ledger import checkpoint, commitment, event, mldsa, note, receipt, tile, tree
from ledger.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.note import NoteError
from ledger.receipt import Receipt, ReceiptError
from ledger.tile import MalformedTileError
from ledger.tree import ProofError
from tests.ledger.events import INSTRUCTION, ORIGIN

SIZE = 37
INDEX = 11
OLD = 20
_REFUSALS = (
    ReceiptError,
    NoteError,
    MalformedCheckpointError,
    MalformedTileError,
    ProofError,
    UnicodeDecodeError,
)
_LOOKALIKES = (b"\r\n", b"\n\n", b"\t", b" ", b"=", b"-", b"_", b"\0", "٣".encode(), b"+", b"0")


@dataclass(frozen=True)
class Thing:
    """Valid bytes, and what raises one of the refusals for all others."""

    data: bytes
    verify: Callable[[bytes], None]


Mutator = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, chance: random.Random) -> bytes:
    at, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def replace(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + bytes([chance.randrange(256)]) + data[at:]


def delete(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def lookalike(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(_LOOKALIKES) + data[at + chance.randrange(2) :]


def drop_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    del lines[chance.randrange(len(lines))]
    return b"\n".join(lines)


def repeat_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    return b"\n".join([*lines[: at + 1], *lines[at:]])


def swap_lines(data: bytes, chance: random.Random) -> bytes:
    """Signature lines stay in place: their order says nothing."""
    lines = data.split(b"\n")
    free = [at for at, line in enumerate(lines) if not line.startswith("— ".encode())]
    one, other = chance.choice(free), chance.choice(free)
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def renumber(data: bytes, chance: random.Random) -> bytes:
    numbers = [*re.finditer(rb"(?<=[\n ])\d+(?=\n)", data)] or [*re.finditer(rb"\d+", data)]
    if not numbers:
        return flip(data, chance)
    found = chance.choice(numbers)
    other = chance.choice([b"0" + found[0], b"+" + found[0], b"-" + found[0], found[0] + b".0"])
    near = str(int(found[0]) + chance.choice([-1, 1, 256, 1 << 63])).encode()
    return data[: found.start()] + chance.choice([other, near]) + data[found.end() :]


def move(data: bytes, chance: random.Random) -> bytes:
    """A piece of it goes elsewhere: hashes are exchanged, entries moved."""
    size = chance.choice([1, 2, 4, 32])
    at, to = chance.randrange(len(data)), chance.randrange(len(data))
    piece, rest = data[at : at + size], data[:at] + data[at + size :]
    return rest[:to] + piece + rest[to:]


MUTATORS: tuple[Mutator, ...] = (
    flip, replace, insert, delete, cut, lookalike, drop_line, repeat_line, swap_lines, renumber,
    move,
)  # fmt: skip


class Corpus:
    """One valid thing of each kind, all of the same log."""

    def __init__(self) -> None:
        self.signers = [note.generate(ORIGIN), mldsa.generate(ORIGIN)]
        self.keys = [each.verifier for each in self.signers]
        self.opening = commitment.Opening(b"t" * 24, b"s" * 32)
        self.event = event.encode(INSTRUCTION)
        self.entries = [f"entry {at}".encode() for at in range(SIZE)]
        self.entries[INDEX] = commitment.personal_entry(self.opening, self.event)
        self.leaves = tree.leaf_hashes(self.entries)
        self.head = Checkpoint(ORIGIN, SIZE, tree.root(SIZE, self.read))
        self.older = tree.root(OLD, self.read)

    def read(self, level: int, at: int) -> bytes:
        return tree.complete_root(self.leaves[at << level : (at + 1) << level])

    def things(self) -> Mapping[str, Thing]:
        signed = note.sign(str(self.head), self.signers)
        proof = tuple(tree.prove_inclusion(INDEX, SIZE, self.read))
        consistency = tree.prove_consistency(OLD, SIZE, self.read)
        shown = {
            "event": commitment.parse(self.event),
            "salt": self.opening.salt.hex(),
            "tag": self.opening.tag.hex(),
        }
        kept = str(Receipt(INDEX, proof, signed, shown))
        return {
            "receipt": Thing(kept.encode(), self.receipt),
            "checkpoint": Thing(str(signed).encode(), self.checkpoint),
            "inclusion proof": Thing(b"".join(proof), self.inclusion),
            "consistency proof": Thing(b"".join(consistency), self.consistency),
            "entry bundle": Thing(tile.bundle(self.entries), self.bundle),
            "tile": Thing(b"".join(self.leaves), self.tile),
        }

    def receipt(self, data: bytes) -> None:
        receipt.verify(receipt.parse(data.decode()), self.keys)

    def checkpoint(self, data: bytes) -> None:
        found = note.parse(data.decode())
        note.verify(found, self.keys)
        checkpoint.parse(found.text)

    def inclusion(self, data: bytes) -> None:
        leaf = self.leaves[INDEX]
        tree.verify_inclusion(leaf, INDEX, SIZE, self.head.root, hashes(data))

    def consistency(self, data: bytes) -> None:
        tree.verify_consistency(OLD, SIZE, self.older, self.head.root, hashes(data))

    def bundle(self, data: bytes) -> None:
        self.tile(b"".join(tree.leaf_hashes(tile.unbundle(data))))

    def tile(self, data: bytes) -> None:
        found = tile.split(data)
        if len(found) != SIZE or tile.edge_root(SIZE, [found]) != self.head.root:
            raise ProofError("the tile is not that of the checkpoint")


def hashes(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def campaign(count: int, seed: int) -> tuple[Counter[str], Iterator[tuple[str, bytes]]]:
    """Mutations tried by kind, filled while the accepted ones are iterated."""
    chance, tried, valid = random.Random(seed), Counter[str](), Corpus().things()
    for thing in valid.values():
        thing.verify(thing.data)  # a corpus that is refused unmutated would prove nothing

    def accepted() -> Iterator[tuple[str, bytes]]:
        while tried.total() < count:
            name = chance.choice([*valid])
            mutated = chance.choice(MUTATORS)(valid[name].data, chance)
            if mutated != valid[name].data:
                tried[name] += 1
                if accepts(valid[name], mutated):
                    yield name, mutated

    return tried, accepted()


def accepts(thing: Thing, data: bytes) -> bool:
    """Whether it is taken; any error but a refusal is a fault of its own, and escapes."""
    try:
        thing.verify(data)
    except _REFUSALS:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    tried, accepted = campaign(chosen.count, chosen.seed)
    bad = 0
    for name, data in accepted:
        bad += 1
        sys.stdout.write(f"ACCEPTED {name}: {data!r}\n")
    for name, number in sorted(tried.items()):
        sys.stdout.write(f"{name:20}{number:>12,} mutations\n")
    sys.stdout.write(f"{'in all':20}{tried.total():>12,} mutations, {bad} accepted\n")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
