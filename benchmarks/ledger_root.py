"""The root of a million leaves, compared with merkletools, pymerkle and plain SHA-256.

pymerkle is GPLv3 and so never a dependency. Where PEERS names a folder of packages that has it,
it is measured too: `python -m venv /tmp/peers && /tmp/peers/bin/pip install pymerkle`, then
`PEERS=$(echo /tmp/peers/lib/python3*/site-packages) python -m benchmarks ledger_root`.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks.table import Row, rate, show
from ledger.tlog import merkle, tiles

LEAVES = 1_000_000
PYMERKLE = 20_000  # leaves; it is measured on fewer, its cost a leaf is constant
ENTRIES = [index.to_bytes(8) * 7 + b"\x01" for index in range(LEAVES)]  # 57 bytes, as a commitment


def main() -> None:
    rows = [
        Row("ledger, leaves to root by tiles", rate(_ours, LEAVES, 3)),
        Row("limit: the same SHA-256 and nothing else", rate(_limit, LEAVES, 3)),
        Row("merkletools, leaf hashes given", rate(_merkletools, LEAVES, 1), "not RFC 6962"),
        *_pymerkle(),
    ]
    show(f"Root of {LEAVES:,} leaves of 57 bytes, one core (load {load()})", "leaves", rows)


def _ours() -> bytes:
    """As a log does it: 256 leaves to a tile, a tile to one hash above."""
    hashes = merkle.leaf_hashes(ENTRIES)
    edge: list[list[bytes]] = []
    while hashes:
        full = len(hashes) // tiles.WIDTH * tiles.WIDTH
        edge.append(hashes[full:])
        starts = range(0, full, tiles.WIDTH)
        hashes = [merkle.complete_root(hashes[at : at + tiles.WIDTH]) for at in starts]
    return tiles.edge_root(LEAVES, edge)


def _limit() -> None:
    """One hash a leaf, one a node: 65 bytes are two blocks of SHA-256."""
    for entry in ENTRIES:
        sha256(b"\x00" + entry).digest()
    node = bytes(65)
    for _ in ENTRIES:
        sha256(node).digest()


def _merkletools() -> None:
    import merkletools

    with quiet():
        other = merkletools.MerkleTools()
        other.add_leaf([sha256(b"\x00" + entry).hexdigest() for entry in ENTRIES], do_hash=False)
        other.make_tree()


def _pymerkle() -> Iterator[Row]:
    if (peer := pymerkle()) is None:
        return

    def grow() -> None:
        other = peer.InmemoryTree(algorithm="sha256")
        for entry in ENTRIES[:PYMERKLE]:
            other.append_entry(entry)
        other.get_root()

    yield Row(f"pymerkle, of {PYMERKLE:,} leaves", rate(grow, PYMERKLE, 1))


@cache
def pymerkle() -> ModuleType | None:
    """The peer, if it can be found; says once how to bring it if not."""
    if folder := os.environ.get("PEERS"):
        sys.path.append(folder)
    try:
        return import_module("pymerkle")
    except ImportError:
        print(
            "skipped: no pymerkle, which is GPLv3 and so no dependency. To measure it too:\n"
            "  python -m venv /tmp/peers && /tmp/peers/bin/pip install pymerkle\n"
            "  PEERS=$(echo /tmp/peers/lib/python3*/site-packages) python -m benchmarks …"
        )
        return None


def load() -> str:
    """How busy the machine was, to stand beside figures."""
    found = Path("/proc/loadavg")
    return found.read_text().split(" ")[0] if found.exists() else "unknown"


@contextmanager
def quiet() -> Iterator[None]:
    """merkletools warns when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
