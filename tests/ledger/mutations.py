"""Mutate whatever a verifier reads, and count what is still accepted: it must be nothing.

    python -m tests.ledger.mutations --count 1000000 --seed 1

Targets are valid notes, proofs, receipts, tiles, bundles and tokens: those of specs/vectors, and
those that a log and a ledger made for this run. A mutation changes bytes or structure, or puts
parts of another valid artefact of the same kind in. It counts if the bytes changed.

A mutation that is accepted is a failure unless what the verifier relies on is the same as in a
valid artefact of the kind. In what ends with a signed note that is every byte before the
signatures, and of the signatures that each one by a key that was asked for was made by that key:
their order, further ones, and lines by keys that nobody asked for say nothing (C2SP: ignore them).
In a submission it is the signed checkpoint, in a timestamp the time and the serial number, in a
history that the log's own key signs again the entries that the auditor saw before; everywhere else
it is every byte. These mutations are counted and printed too.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.ledger.mutators import BYTES, Mutator
from tests.ledger.targets import REFUSALS, Target, targets

TRIES = 500  # for a mutation that changes something


@dataclass(frozen=True, slots=True)
class Accepted:
    target: str
    data: bytes
    same: str | None  # why it says what a valid artefact says


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = perf_counter()
    with TemporaryDirectory() as home:
        chosen = targets(Path(home))
        found = list(accepted(chosen, options.count, options.seed))
    told = f"{options.count:,} mutations of {len(chosen)} targets, seed {options.seed}"
    sys.stdout.write(_report(found, f"{told}, {perf_counter() - start:.0f} s"))
    sys.exit(any(each.same is None for each in found))


def _report(found: list[Accepted], told: str) -> str:
    wrong = [each for each in found if each.same is None]
    same = Counter(each.same for each in found if each.same is not None)
    lines = [f"ACCEPTED {each.target}: {each.data!r}" for each in wrong]
    lines += [f"  {count:,} say the same: {why}" for why, count in same.most_common()]
    return "\n".join([*lines, f"{told}: {len(wrong)} accepted, {same.total():,} the same", ""])


def accepted(chosen: list[Target], count: int, seed: int) -> Iterator[Accepted]:
    """The mutations that a verifier took for valid."""
    for target in chosen:
        target.check(target.data)  # what is mutated was valid
    genuine = {target.kind: Genuine(target.kind, chosen) for target in chosen}
    generator = random.Random(seed)
    for number in range(count):
        target = chosen[number % len(chosen)]
        known = genuine[target.kind]
        other = generator.choice(known.targets)
        changed = mutate(target.data, other.data, target.mutators, generator)
        if accepts(target.check, changed):
            yield Accepted(target.name, changed, known.why_same(target, changed))


class Genuine:
    """The valid artefacts of a kind, and what they mean."""

    def __init__(self, kind: str, chosen: list[Target]) -> None:
        self.targets = [each for each in chosen if each.kind == kind]
        self._data = {each.data for each in self.targets}
        self._lines = frozenset(line for data in self._data for line in data.split(b"\n"))
        self._means = {each.meaning(each.data, self._lines) for each in self.targets}

    def why_same(self, target: Target, changed: bytes) -> str | None:
        """Why a verifier relies on nothing in these bytes that was not there; None: it does."""
        if changed in self._data:
            return "put together, it is another valid artefact"
        if target.meaning(changed, self._lines) not in self._means:
            return None
        if target.asked:
            return "lines of signatures that nobody asked for, or in another order"
        return f"a {target.kind} of the same meaning"


def accepts(check: Callable[[bytes], object], data: bytes) -> bool:
    try:
        check(data)
    except REFUSALS:
        return False
    return True


def mutate(
    data: bytes, other: bytes, structural: tuple[Mutator, ...], generator: random.Random
) -> bytes:
    """One to three changes: half of them of bytes, half of structure."""
    changed = data
    for _ in range(TRIES):
        for _ in range(generator.choice((1, 1, 1, 2, 3))):
            kind = structural if structural and generator.random() < 0.5 else BYTES
            changed = generator.choice(kind)(changed, other, generator)
        if changed != data:
            return changed
    raise AssertionError("nothing changed: want mutators that fit the target")


if __name__ == "__main__":
    main()
