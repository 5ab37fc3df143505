"""Kill the writer of a ledger at random moments: `python -m tests.crash.kill --kills 10000`.

A child records, erases and publishes, and tells each acknowledgement through a pipe; the parent
kills it with SIGKILL, checks what it left, and starts the next. After each kill: `fsck` is clean,
every acknowledged size still has the root that was acknowledged, every acknowledged instruction
is there unless its customer was erased, and neither checkpoint regressed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.events.envelope import PolicyPublished
from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.tlog import checkpoint, signed_note
from tests.ledger.events import NOON, WORDING
from tests.ledger.worlds import AGE, opened

KILLS_A_HOME = 20  # then a fresh one, so that checks stay short
MAX_TOLD = 6  # things are heard before the wait begins; with none, it dies while it opens
MAX_WAIT_S = 0.02
SUBJECTS = [f"c{number}" for number in range(8)]


@dataclass
class Known:
    """What was acknowledged to the parent, and must therefore be there after a restart."""

    heads: list[tuple[int, str]] = field(default_factory=list)
    said: dict[str, int] = field(default_factory=dict)  # subject -> acknowledged version
    unsure: set[str] = field(default_factory=set)  # an erasure was begun
    published: int = 0
    acknowledged: int = 0

    def hear(self, told: dict[str, Any]) -> None:
        match told:
            case {"opened": True}:
                pass
            case {"erasing": subject}:
                self.unsure.add(subject)
            case {"erased": subject}:
                self.said[subject] = 0
                self.unsure.discard(subject)
            case {"published": size}:
                self.published = max(self.published, size)
            case {"size": size, "root": root, "versions": versions}:
                self.heads.append((size, root))
                self.said |= versions
                self.acknowledged += 1


def live(home: Path, told: int, seed: int) -> None:
    """The child: open the ledger and use it until it is killed."""
    chance = random.Random(seed)

    def tell(**what: object) -> None:
        os.write(told, f"{json.dumps(what)}\n".encode())

    ledger = opened(home)
    tell(opened=True)
    while True:
        act = chance.random()
        if act < 0.1:
            ledger.export(home / "log" / "consent")
            tell(published=ledger.size)
        elif act < 0.15:
            subject = chance.choice(SUBJECTS)
            tell(erasing=subject)
            ledger.erase(subject, NOON)
            tell(erased=subject)
        else:
            record(ledger, chance)
            size, root = ledger.root()
            versions = {subject: ledger.version(subject) for subject in SUBJECTS}
            tell(size=size, root=root, versions=versions)


def record(ledger: Ledger, chance: random.Random) -> None:
    subjects = chance.sample(SUBJECTS, chance.randint(1, len(SUBJECTS)))
    ledger.record([ledger.draft(each, AGE, at=NOON, wording=WORDING) for each in subjects])
    if chance.random() < 0.3:
        ledger.announce([PolicyPublished("9f", NOON)] * chance.randint(1, 40))


def one(home: Path, known: Known, chance: random.Random) -> None:
    """One life and death."""
    hears, tells = os.pipe()
    seed = chance.getrandbits(32)
    child = os.fork()
    if child == 0:
        os.close(hears)
        try:
            live(home, tells, seed)
        finally:
            os._exit(1)  # only by an error: it never ends by itself
    os.close(tells)
    wanted, heard = chance.randint(0, MAX_TOLD), b""
    while heard.count(b"\n") < wanted and (part := os.read(hears, 1 << 16)):
        heard += part
    time.sleep(chance.random() * MAX_WAIT_S)
    os.kill(child, signal.SIGKILL)
    while part := os.read(hears, 1 << 16):
        heard += part
    os.close(hears)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise AssertionError(f"the child failed by itself, seed {seed}")
    for line in heard.split(b"\n")[:-1]:
        known.hear(json.loads(line))


def check(home: Path, known: Known) -> None:
    """Raises AssertionError if anything acknowledged is not so."""
    ledger = opened(home)
    try:
        for size, root in known.heads[-20:]:
            assert size <= ledger.size, f"{size} entries were acknowledged, {ledger.size} are left"
            assert ledger.root_at(size) == root, f"the first {size} entries are others now"
        for subject, version in known.said.items():
            if subject not in known.unsure:
                assert ledger.version(subject) >= version, f"an instruction of {subject} is lost"
        for subject in known.unsure:
            known.said[subject] = 0
        known.unsure.clear()
        published = home / "log" / "consent" / "checkpoint"
        if published.exists():
            head = checkpoint.parse(signed_note.parse(published.read_text()).text)
            assert head.size >= known.published, "the published checkpoint regressed"
    finally:
        ledger.close()
    if findings := [*fsck(home)]:
        raise AssertionError(f"fsck: {', '.join(map(str, findings))}")


def campaign(kills: int, seed: int) -> tuple[int, int]:
    """Kill so many times; kills and acknowledged batches. Raises AssertionError on any loss."""
    chance = random.Random(seed)
    batches = 0
    with tempfile.TemporaryDirectory() as folder:
        home, known = Path(folder) / "home", Known()
        for number in range(1, kills + 1):
            one(home, known, chance)
            check(home, known)
            if number % KILLS_A_HOME == 0 or number == kills:
                batches += known.acknowledged
                shutil.rmtree(home)
                known = Known()
                sys.stderr.write(f"\r{number} kills, {batches} batches")
    sys.stderr.write("\n")
    return kills, batches


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    killed, kept = campaign(chosen.kills, chosen.seed)
    sys.stdout.write(f"{killed} kills, {kept} acknowledged batches: 0 lost, 0 forks\n")
