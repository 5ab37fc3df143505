"""The verifiable map: updates per second by batch size, and the cost of a proof.

The limit is SHA-256: as many inner nodes as an update of a balanced map of this size changes (its
depth), hashed one by one in the same run. pymerkle and merkletools have no map, so there is no
peer.
"""

import os
from hashlib import sha256
from math import log2
from statistics import mean
from time import perf_counter

from benchmarks.ledger_root import load
from ledger.statemap import verifiable_map
from ledger.statemap.verifiable_map import StateMap

LABELS = int(os.environ.get("LABELS", "1000000"))
BATCHES = (1_000, 10_000, 100_000)
PROOFS = 2_000


def main() -> None:
    made, buckets, seconds = _build()
    print(f"{LABELS:,} labels, built at {LABELS / seconds:,.0f} labels/s (load {load()})")
    alone = 1 / (_hash_s() * log2(LABELS))
    print(f"{'updates in a batch':>20} {'updates/s':>12} {'to one path each':>18}")
    for size in BATCHES:
        rate = size / min(_update_s(made, buckets, size) for _ in range(3))
        print(f"{size:>20,} {rate:>12,.0f} {rate / alone:>17.2f}x")
    print(f"{'one path each':>20} {alone:>12,.0f} {1:>17.2f}x   (SHA-256 only)")
    _print_proofs(made)


def _label(number: int) -> bytes:
    return sha256(b"%d" % number).digest()


def _build() -> tuple[StateMap, dict[int, bytes], float]:
    buckets: dict[int, bytes] = {}
    values = {_label(i): bytes(32) for i in range(LABELS)}
    made = StateMap({}, lambda numbers: {n: buckets[n] for n in numbers})
    start = perf_counter()
    change = made.change(values)
    buckets.update(change.buckets)
    made.apply(change)
    return made, buckets, perf_counter() - start


def _update_s(made: StateMap, buckets: dict[int, bytes], size: int) -> float:
    value = os.urandom(32)
    step = max(1, LABELS // size)
    values = {_label(i): value for i in range(0, step * size, step)}
    start = perf_counter()
    change = made.change(values)
    buckets.update(change.buckets)
    made.apply(change)
    return perf_counter() - start


def _hash_s() -> float:
    node = bytes(65)
    start = perf_counter()
    for _ in range(200_000):
        sha256(node).digest()
    return (perf_counter() - start) / 200_000


def _print_proofs(made: StateMap) -> None:
    labels = [_label(i * (LABELS // PROOFS)) for i in range(PROOFS)]
    start = perf_counter()
    proofs = [made.prove(label) for label in labels]
    prove_us = (perf_counter() - start) / PROOFS * 1e6
    values = [proof.leaf[1] if proof.leaf else b"" for proof in proofs]
    start = perf_counter()
    for label, value, proof in zip(labels, values, proofs, strict=True):
        verifiable_map.verify_presence(label, value, made.root, proof)
    verify_us = (perf_counter() - start) / PROOFS * 1e6
    sizes = [len(bytes(proof)) for proof in proofs]
    print(
        f"proof: {mean(sizes):,.0f} bytes on average, {max(sizes):,} at most of {PROOFS:,}; "
        f"made in {prove_us:.0f} µs, verified in {verify_us:.0f} µs"
    )


if __name__ == "__main__":
    main()
