"""Whether the time of an answer tells that an id is a customer's: a batch of one id, asked once.

    TMPDIR=/dev/shm python -m benchmarks gate_existence     # in memory: no disk hides it

A bank of 300 customers is served. A service asks about each of them and about as many ids that
nobody has, in random order, each for the first time, and then four times more. AUC: the probability
that a customer's answer takes another time than a stranger's (0.5: no difference), with the sum
of the times of all answers about an id; beside it, what ids of one kind show by chance.
"""

import json
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time_ns

import numpy as np

from gate.readlog.entry import Question
from gate.readlog.writer import Journal
from gate.storage.read_log import ReadLogDatabase
from ledger.follower import Follower
from ledger.tlog import signed_note
from tests.features.served import INSTALLED, ROOT, Site
from tests.gate.world import NOON, world

SERVICE, SCENE = "analytics", "segmentation"
SHOTS = 5
PEOPLE = [f"c{number:05d}" for number in range(1, 301)]
STRANGERS = [f"{who}x" for who in PEOPLE]  # on the same pages of an index
WARM = [f"c{number:05d}" for number in range(80_001, 80_201)]


def main() -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        home.mkdir()
        seeding = [sys.executable, "-m", "tests.features.seeding", str(home)]
        subprocess.run(seeding, check=True, cwd=ROOT)
        with Site(home, Path(folder) / "log", INSTALLED).serving() as site:
            times = _times(site)
    print("\nExistence by time: a batch of one id, customers against strangers, served")
    for shots in (1, SHOTS):
        sums = {who: sum(each[:shots]) for who, each in times.items()}
        known, unknown = ([sums[each] for each in ids] for ids in (PEOPLE, STRANGERS))
        chance = _auc(unknown[::2], unknown[1::2])
        medians = " against ".join(f"{np.median(each) * 1e6:,.0f}" for each in (known, unknown))
        told = f"AUC {_auc(known, unknown):.2f} (by chance {chance:.2f})"
        print(f"  asked {shots} times: {told}, median {medians} µs")
    _journalled()


def _journalled() -> None:
    """The same of the processor time of one entry alone, which other programs do not disturb."""
    with TemporaryDirectory() as folder:
        bank = world(Path(folder))
        bank.ledger.create_keys(PEOPLE)
        follower = Follower(Path(folder))  # nobody's key is cached
        site = "t.example"
        log, reads = f"{site}/reads-2", ReadLogDatabase(Path(folder), "reads-2")
        journal = Journal(reads.log(log, signed_note.generate(log)), follower, reads)
        order, times = [*PEOPLE, *STRANGERS, *WARM], dict[str, int]()
        Random(1).shuffle(order)
        for who in [*WARM, *order]:
            asked = Question("analytics", SCENE, (who,), ("age",))
            (decision,) = bank.gate.decide_in_writing([asked], NOON)
            begin = thread_time_ns()
            journal.record(decision, who)
            times[who] = thread_time_ns() - begin
    known, unknown = ([float(times[each]) for each in ids] for ids in (PEOPLE, STRANGERS))
    medians = " against ".join(f"{np.median(each) / 1e3:,.0f}" for each in (known, unknown))
    print(f"  one entry, processor time: AUC {_auc(known, unknown):.2f}, median {medians} µs")


def _times(site: Site) -> dict[str, list[float]]:
    """Seconds of each answer, by id."""
    times: dict[str, list[float]] = {}
    connection = HTTPConnection(site.address.removeprefix("http://"), timeout=60)
    for who in WARM:
        _ask(connection, who)
    order = [*PEOPLE, *STRANGERS]
    for shot in range(SHOTS):
        Random(shot).shuffle(order)
        for who in order:
            times.setdefault(who, []).append(_ask(connection, who))
    connection.close()
    return times


def _ask(connection: HTTPConnection, who: str) -> float:
    body = {
        "subject": {"type": "service", "id": SERVICE},
        "action": {"name": "read"},
        "context": {"scene": SCENE, "fields": ["age"]},
        "evaluations": [{"resource": {"type": "customer", "id": who}}],
    }
    headers = {"Authorization": f"Bearer demo-{SERVICE}", "Content-Type": "application/json"}
    sent = json.dumps(body)
    begin = perf_counter()
    connection.request("POST", "/access/v1/evaluations", sent, headers)
    answer = connection.getresponse()
    answer.read()
    took = perf_counter() - begin
    assert answer.status == 200, answer.status
    return took


def _auc(some: list[float], others: list[float]) -> float:
    """Of the better of both directions."""
    first, second = np.array(some)[:, None], np.array(others)[None, :]
    auc = float(((first > second) + (first == second) / 2).mean())
    return max(auc, 1 - auc)
