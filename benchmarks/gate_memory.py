"""Memory, start-up time and decision rate of a gate with many customers in every scene.

One process writes a snapshot in which every customer granted something in all twelve scenes.
Another one starts from it, reads all consent bits, decides, and prints its peak memory: the whole
process with interpreter, libraries and state. `CUSTOMERS=1000000 python -m benchmarks gate_memory`
is a smaller run.
"""

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.table import Row, rate, show
from gate.contracts.scene import Scene
from gate.contracts.scene_file import load_scenes
from gate.contracts.source import load_source
from gate.decision.decide import personal
from gate.policy.compiled import compile_plan
from gate.state import consent_bits, snapshot
from gate.state.consent_index import ConsentIndex
from gate.state.consent_rows import Triggers
from gate.state.ledger_position import ConsentPoint
from gate.state.subjects import Subjects
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT

CUSTOMERS = int(os.environ.get("CUSTOMERS", "10000000"))
ASKED = 100_000
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POINT = ConsentPoint(CUSTOMERS, "AAAA")


class Log:
    """As long as the snapshot says, with the root it says."""

    size = POINT.size

    def root_at(self, _size: int) -> str:
        return POINT.root


def main() -> None:
    with TemporaryDirectory() as home:
        path = Path(home) / "consent.state"
        for act in (write, start):
            subprocess.run([sys.executable, "-c", _RUN, act.__name__, str(path)], check=True)


_RUN = """
import sys
from pathlib import Path
from benchmarks import gate_memory
from tests.bank import SCENES_FOLDER, SOURCE_CONTRACT
getattr(gate_memory, sys.argv[1])(Path(sys.argv[2]))
"""


def write(path: Path) -> None:
    scenes = contracts()
    subjects = Subjects.from_names(f"c{n:08d}" for n in range(CUSTOMERS))
    rng = np.random.default_rng(1)
    ends = rng.integers(
        consent_bits.minute(NOW) - 10_000, consent_bits.minute(NOW) + 500_000, CUSTOMERS, np.uint64
    )
    words, indexes = {}, {}
    for each in scenes.values():
        fields = rng.integers(1, 1 << len(each.fields), CUSTOMERS, np.uint64)
        words[each.id] = ends << np.uint64(consent_bits.EXPIRY_SHIFT) | fields
        indexes[each.id] = rng.integers(0, CUSTOMERS, CUSTOMERS, np.uint32)
    slots = [(s.id, n) for s in scenes.values() for n in range(len(s.triggers))]
    thresholds = {slot: np.full(CUSTOMERS, 9200, np.int64) for slot in slots}
    triggers = Triggers(thresholds, {}, {})
    state = ConsentIndex.resumed(scenes, POINT.size, subjects, words, indexes, triggers)
    snapshot.save(state, POINT, path)


def start(path: Path) -> None:
    scenes = contracts()
    before = peak_mb()
    began = time.perf_counter()
    state = snapshot.load(path, scenes, Log())
    took = time.perf_counter() - began
    if state is None or state.people != CUSTOMERS:
        raise AssertionError("the snapshot was not used")
    for scene in scenes:  # every page of every word and every entry
        int(state.all_bits(scene).sum())
        int(state.indexes(scene).sum())
    for held in state.thresholds.values():
        int(held.sum())
    decided = rates(state, scenes)
    print(f"\n{CUSTOMERS:,} customers in {len(scenes)} scenes")
    print(f"  snapshot {path.stat().st_size / 1e6:,.0f} MB, started from it in {took:.2f} s")
    most = peak_mb()
    print(
        f"  the process: {before:,.0f} MB before, {most:,.0f} MB at most ({most / 1073.74:.2f} GiB)"
    )
    show("Point decision among them", "decisions", decided)


def rates(state: ConsentIndex, scenes: Mapping[str, Scene]) -> list[Row]:
    scene = scenes["segmentation"]
    plan = compile_plan("analytics", scene, offered=tuple(scene.fields), release=None)
    wanted, minute = plan.mask(tuple(scene.fields)[:1]) or 0, consent_bits.minute(NOW)
    few = [f"c{random.randrange(CUSTOMERS):08d}" for _ in range(ASKED)]
    many = [f"c{n:08d}" for n in random.sample(range(CUSTOMERS), min(CUSTOMERS, 4 * ASKED))]

    def permits(asked: list[str]) -> int:
        look = state.bits
        return sum(1 for e in asked if wanted & ~personal(plan, look(scene.id, e), minute) == 0)

    lately = rate(lambda: permits(few), len(few))
    anybody = rate(lambda: permits(many), len(many), rounds=3)
    note = f"{len(many):,} others in turn"
    return [Row("a customer asked for lately", lately), Row("any customer", anybody, note)]


def contracts() -> dict[str, Scene]:
    return load_scenes(SCENES_FOLDER, load_source(SOURCE_CONTRACT))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
