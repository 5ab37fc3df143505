"""Run all benchmarks, or the given ones: `python -m benchmarks gate_decision ledger_root`.

Options of a benchmark follow its name: `python -m benchmarks synthetic_quality --more 5`.
"""

import sys
from importlib import import_module
from itertools import takewhile
from pkgutil import iter_modules

import benchmarks

HELPERS = {
    "__main__",
    "growth_clock",
    "growth_commands",
    "growth_directory",
    "growth_served",
    "peers",
    "peers_masking",
    "peers_synthetic",
    "record",
    "served_load",
    "synthetic_peers",
    "table",
}


def main() -> None:
    known = [each.name for each in iter_modules(benchmarks.__path__) if each.name not in HELPERS]
    chosen = [*takewhile(lambda word: not word.startswith("-"), sys.argv[1:])] or known
    if unknown := set(chosen) - set(known):
        sys.exit(f"no benchmark named {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in chosen:
        import_module(f"benchmarks.{name}").main()


main()
