"""Mutate receipts and compare what the verifier in the browser accepts with ours.

    python -m tests.interop.verifiers --count 1000000 --seed 1

Both are asked about the same mutations: `ledger.verify.receipt` and portal/web/static/verify.js,
run by Node. What counts as accepted is said in tests/ledger/mutations.py.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

from tests.interop.opinions import browser, has_node
from tests.ledger.mutations import Genuine, accepts, mutate
from tests.ledger.targets import VECTORS, Target, targets_of

AT_ONCE = 20_000


@dataclass
class Compared:
    tried: int = 0
    same: int = 0  # accepted by one of them, and says what a valid receipt says
    accepted: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not has_node():
        sys.exit("needs Node: install Node.js 20 or later, and run this again")
    start = perf_counter()
    found = compared(options.count, options.seed)
    for each in found.accepted:
        sys.stdout.write(f"ACCEPTED {each!r}\n")
    sys.stdout.write(
        f"{found.tried:,} mutations of receipts, seed {options.seed}, by both verifiers, "
        f"{perf_counter() - start:.0f} s: {len(found.accepted)} accepted, {found.same:,} the same\n"
    )
    sys.exit(bool(found.accepted))


def compared(count: int, seed: int) -> Compared:
    """What each of the two verifiers accepts of these mutations."""
    keys = _keys()
    chosen = [each for each in targets_of("receipt") if len(each.asked) == 1]
    genuine = Genuine("receipt", chosen)
    generator = random.Random(seed)
    found = Compared()
    while found.tried < count:
        batch = [*_mutated(chosen, min(AT_ONCE, count - found.tried), generator)]
        found.tried += len(batch)
        verdicts = browser(["receipt", data.decode(), keys] for _, data in batch)
        for (target, data), said in zip(batch, verdicts, strict=True):
            if said or accepts(target.check, data):
                _count(found, genuine, target, data)
    return found


def _count(found: Compared, genuine: Genuine, target: Target, data: bytes) -> None:
    if genuine.why_same(target, data) is None:
        found.accepted.append(data.decode())
    else:
        found.same += 1


def _mutated(
    chosen: list[Target], count: int, generator: random.Random
) -> Iterator[tuple[Target, bytes]]:
    """Mutations that are texts: a page is given nothing else."""
    while count:
        target, other = generator.choice(chosen), generator.choice(chosen)
        data = mutate(target.data, other.data, target.mutators, generator)
        try:
            data.decode()
        except UnicodeDecodeError:
            continue
        count -= 1
        yield target, data


def _keys() -> str:
    policy = str(json.loads((VECTORS / "receipt.json").read_text())[0]["policy"])
    return "\n".join(line.split(" ")[1] for line in policy.splitlines() if line[:4] == "log ")


if __name__ == "__main__":
    main()
