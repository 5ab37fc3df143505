"""Many gate processes decide while customers change their minds; then the history is judged.

`Place` says where the ledger is: in SQLite, followed by processes of one host through shared
memory, or in PostgreSQL, followed by processes that share nothing but its address and the vault.
"""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from gate.factory import build
from gate.policy.cedar import CedarPolicy
from gate.reads.point import Gate
from gate.reads.request import ReadRequest
from gate.reads.sources.interface import SourceUnavailableError
from gate.state.ledger_position import Epoch, EpochUnavailableError, RemoteEpoch
from ledger.events.envelope import Granted, PolicyPublished, Withdrawn, Wording
from ledger.follower import Follower
from ledger.keys.log_keys import Keys
from ledger.service import Ledger
from ledger.statemap.labels import Labels
from ledger.statemap.vrf_key import VrfKey
from ledger.storage.postgres import PostgresHead, PostgresReader, PostgresStore
from ledger.tlog import signed_note
from ledger.vault.vault import Vault
from tests.gate.judgement import ACT, DECISION, Array, Verdict, judge
from tests.gate.scenes import SCENES
from tests.gate.world import journal, shipped

ORIGIN = "test.example/consent"
SUBJECTS = [f"c{n}" for n in range(8)]
AGE = ("age",)
TOGETHER = 512  # decisions a worker may lose when it is killed
Act = tuple[int, bool, int, int, int]
CLOCK = time.monotonic_ns  # one clock for all processes of the machine


@dataclass(frozen=True)
class Place:
    """Where the ledger and its keys are. `asked`: questions that one look at the epoch serves."""

    home: Path
    address: str = ""  # of a PostgreSQL server; none: SQLite under `home`
    schema: str = "consent"
    asked: int = 1

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The one writer."""
        if self.address:
            states = signed_note.generate(f"{ORIGIN}/state")
            labels = Labels(VrfKey(os.urandom(32)), states.name)
            keys = Keys([signed_note.generate(ORIGIN)], [states], labels)
            store = PostgresStore.at(self.address, self.schema)
            ledger = Ledger(store, Vault(self.home / "keys"), keys)
        else:
            epoch = Epoch(self.home / "epoch")
            ledger = Ledger.open(self.home, origin=ORIGIN, on_commit=epoch.publish)
        try:
            yield ledger
        finally:
            ledger.close()

    def follower(self, disturbed: "Disturbed") -> Follower:
        """The ledger as a gate in another process sees it."""
        if not self.address:
            return Follower(self.home, disturbed(Epoch(self.home / "epoch").size))
        epoch = RemoteEpoch(PostgresHead(self.address, self.schema).size)
        store = PostgresReader(self.address, self.schema)
        return Follower(self.home, disturbed(epoch.size), store)


Size = Callable[[], int]
Disturbed = Callable[[Size], Size]


def faithful(size: Size) -> Size:
    return size


def lagging(size: Size) -> Size:
    """What must not be: an epoch that is looked at now and then."""
    looks, seen = 0, 0

    def look() -> int:
        nonlocal looks, seen
        looks += 1
        if looks % 1000 == 1:
            seen = size()
        return seen

    return look


class Empty:
    """A source without customers: a decision alone reads no row, and opening a database is slow."""

    key = "id"

    def row(self, _subject: str, _columns: Sequence[str]) -> None:
        return None

    def rows(self, _subjects: Sequence[str], columns: Sequence[str]) -> Any:
        return self.everybody(columns)

    def everybody(self, _columns: Sequence[str]) -> Any:
        raise SourceUnavailableError("this source has no tables")

    def count(self) -> int:
        return 0


def worker(place: Place, name: str, rules: CedarPolicy, disturbed: Disturbed) -> None:
    """Decide until killed; what was decided, on what, and when, goes to a file."""
    follower = place.follower(disturbed)
    home = place.home / name
    gate = build(follower, Empty(), SCENES, journal(home, follower), rules, bytes(32))
    with (place.home / f"{name}.decisions").open("ab", buffering=0) as file:
        while True:
            with suppress(EpochUnavailableError):  # paused for too long: nobody got an answer
                file.write(np.array([*_decided(gate, place.asked)], DECISION).tobytes())


def _decided(gate: Gate, asked: int) -> Iterator[tuple[int, bool, int, int, int]]:
    now = datetime.now(UTC)
    requests = [ReadRequest("analytics", "segmentation", who, AGE, now) for who in SUBJECTS]
    for _ in range(TOGETHER // asked):
        chosen = random.choices(range(len(SUBJECTS)), k=asked)
        start = CLOCK()
        if asked == 1:
            decisions = [gate.decide(requests[chosen[0]])]
        else:
            decisions = gate.decide_all([requests[who] for who in chosen])
        end = CLOCK()
        for who, decision in zip(chosen, decisions, strict=True):
            yield who, decision.allowed, decision.ledger_size, start, end


def run(
    place: Place,
    *,
    workers: int,
    decisions: int,
    least_acts: int = 0,
    seed: int = 1,
    disturbed: Disturbed = faithful,
) -> Verdict:
    """Play until at least so many decisions and acts are recorded, and judge them."""
    chance, acts = random.Random(seed), list[Act]()
    with place.ledger() as ledger:
        ledger.announce(
            [PolicyPublished("9f", datetime.now(UTC).replace(microsecond=0))]
        )  # a checkpoint to follow
        before = ledger.size
        with _crew(place, workers, disturbed) as crew:
            while _recorded(place.home) < decisions or len(acts) < least_acts:
                with crew.disturbed(chance):
                    for _ in range(chance.randrange(50)):
                        acts.append(_act(ledger, acts, chance))
                        time.sleep(chance.choice([0, 0, 0.0005]))
    return judge(_decisions(place.home), np.array(acts, ACT), before, crew.kills)


def _act(ledger: Ledger, acts: list[Act], chance: random.Random) -> Act:
    who = chance.randrange(len(SUBJECTS))
    last = next((each[1] for each in reversed(acts) if each[0] == who), False)
    act = Withdrawn("segmentation") if last else Granted("segmentation", AGE, None)
    now = datetime.now(UTC)
    instruction = ledger.draft(SUBJECTS[who], act, at=now, wording=Wording("en", bytes(32)))
    start = CLOCK()
    (said,) = ledger.record([instruction])
    return who, not last, said.index, start, CLOCK()  # the receipt is in the customer's hand


class Crew:
    """The workers, some of whom are paused while customers act, or killed."""

    def __init__(self, start: Callable[[str], BaseProcess], workers: int, vault: Path) -> None:
        self._start, self._vault = start, vault
        self._crew = [start(f"w{n}") for n in range(workers)]
        self.kills = self._rounds = 0

    @contextmanager
    def disturbed(self, chance: random.Random) -> Iterator[None]:
        """Pause up to all but one meanwhile; every second time, kill somebody, paused or not."""
        self._rounds += 1
        paused = chance.sample(self._crew, chance.randrange(len(self._crew)))
        for each in paused:
            _pause(each.pid or 0, self._vault)
        yield
        if self._rounds % 2 == 0:
            self._replace(chance.randrange(len(self._crew)))
        for each in paused:
            if each in self._crew:
                os.kill(each.pid or 0, signal.SIGCONT)

    def _replace(self, place: int) -> None:
        self._crew[place].kill()
        self._crew[place].join()
        self.kills += 1
        self._crew[place] = self._start(f"w{len(self._crew) + self.kills}")

    def end(self) -> None:
        for each in self._crew:
            each.kill()
            each.join()


def _pause(pid: int, vault: Path) -> None:
    """Stop a process, but not while it reads SQLite's vault: no writer could commit meanwhile."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        while _state(pid) not in "TZX":
            time.sleep(0.0005)
        if not _reads(pid, vault):
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.001)


def _state(pid: int) -> str:
    """T: stopped, Z: ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _reads(pid: int, vault: Path) -> bool:
    """Whether a process has a lock on the file."""
    file = f":{vault.stat().st_ino} "
    locks = Path("/proc/locks").read_text().splitlines()
    return any(f" {pid} " in each and file in each for each in locks)


@contextmanager
def _crew(place: Place, workers: int, disturbed: Disturbed) -> Iterator[Crew]:
    """Forked by a process that has loaded everything and opened nothing."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([__name__])
    rules = shipped()

    def start(name: str) -> BaseProcess:
        process = forking.Process(target=worker, args=(place, name, rules, disturbed), daemon=True)
        process.start()
        return process

    crew = Crew(start, workers, place.home / "keys" / "customers.db")
    try:
        yield crew
    finally:
        crew.end()


def _recorded(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("*.decisions")) // DECISION.itemsize


def _decisions(home: Path) -> Array:
    found = [np.frombuffer(_whole(path), DECISION) for path in home.glob("*.decisions")]
    return np.concatenate(found)


def _whole(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: len(data) // DECISION.itemsize * DECISION.itemsize]
