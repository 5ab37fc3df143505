# ruff: noqa: T201
"""How many small faults do the tests notice? Mutates what decides, replays and verifies.

    python -m tests.mutation --count 500 --seed 1
    python -m tests.mutation --only "check_entry.py _less"

Takes mutants at random, the same number from each place, and runs the tests of its file on each: a
mutant that no test notices survives. Survivors that equivalent.toml explains change nothing that
the specification says. The exit status is 1 if another one survived and fewer than 90 % of the
mutants without explanation were noticed, or if an explanation names no mutant.
"""

import argparse
import contextlib
import importlib
import io
import os
import resource
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from random import Random

from tests.mutation import hook
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.places import PLACES, TESTS

EXPLAINED = Path(__file__).with_name("equivalent.toml")
ENOUGH = 0.9
CPU_S = 90  # of one mutant's tests, which take at most 15 s without one
# Without a first-party module among them: that one would be loaded before it is mutated.
PRELOADED = (
    *("pytest", "numpy", "duckdb", "pyarrow", "msgspec", "sqlalchemy", "sqlmodel", "cryptography"),
    *("cedarpy", "ibis", "starlette", "pydantic", "httpx", "yaml", "opendp.prelude"),
    *("scipy.special", "nacl.bindings", "uvicorn", "alembic"),
)


@dataclass(frozen=True)
class Tried:
    mutant: Mutant
    survived: bool
    seconds: float


def chosen(count: int, seed: int, only: str) -> list[Mutant]:
    """The same number from each place, as far as it has them."""
    by_place = []
    for place, files in PLACES.items():
        every = [each for file in files for each in mutants(file) if only in each.name]
        Random(f"{seed}/{place}").shuffle(every)
        by_place.append(every)
    dealt = chain.from_iterable(zip_longest(*by_place))
    return [each for each in dealt if each is not None][:count]


def tried(wanted: Sequence[Mutant], jobs: int) -> Iterator[Tried]:
    """Each mutant in a process forked from this one, so many at a time."""
    waiting, running = [*reversed(wanted)], dict[int, tuple[Mutant, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_forked(mutant.file, mutant)] = mutant, time.monotonic()
        pid, status = os.wait()
        mutant, began = running.pop(pid)
        yield Tried(mutant, status == 0, time.monotonic() - began)


def _when_loaded(wanted: Sequence[Mutant], jobs: int) -> Iterator[Tried]:
    """The same, once all tests are loaded here: no process has to import them."""
    import pytest

    every = sorted({test for each in wanted for test in TESTS[each.file]})
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *every])
    yield from tried(wanted, jobs)


def _forked(file: str, mutant: Mutant | None) -> int:
    if not (pid := os.fork()):
        _run(file, mutant)
    return pid


def _run(file: str, mutant: Mutant | None) -> None:
    """Run the tests of a file, mutated or as it is; never returns."""
    import pytest

    status = 2
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        if mutant is not None:
            hook.install(mutant)
        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *TESTS[file]]))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)  # what its tests started
        os._exit(status)


def require_sound(files: Sequence[str], jobs: int) -> None:
    """Without a mutant the tests must pass, or they would notice every one."""
    waiting, running = [*files], dict[int, str]()
    while waiting or running:
        while waiting and len(running) < jobs:
            file = waiting.pop()
            running[_forked(file, None)] = file
        pid, status = os.wait()
        file = running.pop(pid)
        if status:
            sys.exit(f"{file}: its tests fail as it is: {' '.join(TESTS[file])}")


def explanations() -> dict[str, str]:
    """By the name of a mutant, why nothing can notice it."""
    stated = tomllib.loads(EXPLAINED.read_text("utf-8"))
    return {name: each["why"] for each in stated["equivalent"] for name in each["mutants"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="of mutants whose name has this text")
    asked = parser.parse_args()
    for name in PRELOADED:
        importlib.import_module(name)
    known, wanted = explanations(), chosen(asked.count, asked.seed, asked.only)
    every = {each.name for files in PLACES.values() for file in files for each in mutants(file)}
    survivors, places = list[Mutant](), defaultdict[str, Counter[str]](Counter)
    of_place = {file: place for place, files in PLACES.items() for file in files}
    first = [each for each in wanted if not each.in_function]
    later = [each for each in wanted if each.in_function]
    require_sound(sorted({each.file for each in wanted}), asked.jobs)
    results = chain(tried(first, asked.jobs), _when_loaded(later, asked.jobs))
    for number, each in enumerate(results, 1):
        explained = each.mutant.name in known
        verdict = ("equivalent" if explained else "survived") if each.survived else "killed"
        places[of_place[each.mutant.file]][verdict] += 1
        if verdict == "survived":
            survivors.append(each.mutant)
        print(
            f"{number}/{len(wanted)} {verdict} {each.seconds:.0f} s  {each.mutant.name}", flush=True
        )
    return _report(places, survivors, sorted(known.keys() - every))


def _report(
    places: dict[str, Counter[str]], survivors: Sequence[Mutant], unknown: Sequence[str]
) -> int:
    total = sum(places.values(), Counter[str]())
    for place, found in [*places.items(), ("all", total)]:
        judged = found["killed"] + found["survived"]
        share = found["killed"] / judged if judged else 1.0
        print(
            f"{place:<36} {found.total():>4} mutants, {found['equivalent']:>3} equivalent, "
            f"{found['killed']:>4} of {judged:>4} killed: {share:.1%}"
        )
    for each in survivors:
        print(f"survived: {each.name}  (line {each.line})")
    for name in unknown:
        print(f"explained, but there is no such mutant: {name}")
    judged = total["killed"] + total["survived"]
    return 1 if unknown or total["killed"] < ENOUGH * judged else 0


if __name__ == "__main__":
    sys.exit(main())
