"""Kill the change flow at random moments: `python -m tests.steward.change.kill --kills 10000`.

A child lets customers grant and withdraw, erases some, follows the ledger into the docket (as its
writer or as another process would) and delivers; the parent kills it with SIGKILL and starts the
next, and now and then settles what is left and checks it against a history that it folds by
itself: no withdrawal without its case, no case without its notice, none twice, nothing noted as
delivered that its receiver did not hear, in order.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from ledger.events.envelope import Act, Granted, Instruction, Withdrawn
from ledger.follower import Follower
from ledger.service import Ledger
from steward.cases.case_store import CaseStore
from steward.change_flow import ChangeFlow
from steward.notify.outbox import Outbox, OutgoingNotice
from tests.gate.scenes import DOMAINS, SCENES
from tests.ledger.events import NOON, ORIGIN, WORDING
from tests.ledger.worlds import opened
from tests.steward.homes import in_postgres

LEDGER = "ledger"  # a folder of its own: it is in files, wherever cases are
KILLS_A_HOME = 25  # then a fresh one, so that checks stay short
CHECK_EVERY = 5  # kills: what follows meanwhile starts from what was left, unsettled
MAX_WAIT_S = 0.05
ERASED = 0.05  # somebody, before a round
SUBJECTS = [f"c{number}" for number in range(6)]
ALL = tuple(DOMAINS)
CHANNELS = ["one", "two"]
STEP = timedelta(minutes=7)  # between rounds: windows end and cases fall overdue


@dataclass(frozen=True)
class Paper:
    """A receiver that writes down what it hears, and may be killed in the middle of it."""

    path: Path

    def send(self, letter: OutgoingNotice, at: datetime) -> None:
        line = f"{letter.channel} {letter.case} {letter.id} {letter.type} {at:%H:%M}\n"
        with self.path.open("ab", buffering=0) as paper:
            paper.write(line.encode())

    def __call__(self, _channel: str) -> "Paper":
        return self

    def heard(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]


def flow_of(home: Path, ledger: Ledger | Follower) -> ChangeFlow:
    return ChangeFlow(home, ledger, SCENES, ORIGIN, lambda _role: CHANNELS)


def live(home: Path, told: int, at: datetime, seed: int) -> None:
    """The child: live on from what is there until it is killed."""
    chance = random.Random(seed)
    ledger = opened(home / LEDGER)
    follower = Follower(home / LEDGER, lambda: ledger.size)
    sources: list[Ledger | Follower] = [ledger, follower]
    flow, outbox = flow_of(home, chance.choice(sources)), Outbox(home)
    os.write(told, b"opened\n")
    while True:
        if chance.random() < ERASED:
            ledger.erase(chance.choice(SUBJECTS), at)
        drafts = [ledger.draft(who, act(chance), at=at, wording=WORDING) for who in few(chance)]
        ledger.record(drafts)
        if chance.random() < 0.7:
            flow.run(at)
        if chance.random() < 0.7:
            outbox.deliver(Paper(home / "heard"), at)
        at += STEP
        os.write(told, b"round\n")


def few(chance: random.Random) -> list[str]:
    return chance.sample(SUBJECTS, chance.randint(1, 3))


def act(chance: random.Random) -> Act:
    fields = tuple(chance.sample(ALL, chance.randint(1, len(ALL))))
    return (
        Granted("segmentation", fields, None)
        if chance.random() < 0.5
        else Withdrawn("segmentation", fields if chance.random() < 0.5 else None)
    )


def one(home: Path, at: datetime, chance: random.Random) -> int:
    """One life and death; how many rounds it lived."""
    hears, tells = os.pipe()
    seed, wanted = chance.getrandbits(32), chance.randint(0, 6)
    child = os.fork()
    if child == 0:
        os.close(hears)
        try:
            live(home, tells, at, seed)
        finally:
            os._exit(1)  # only by an error: it never ends by itself
    os.close(tells)
    heard = b""
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
    return heard.count(b"round")


def expected(ledger: Ledger) -> Iterator[tuple[int, str]]:
    """Every entry that took a live field away, and how: folded here, by nobody else's code.

    Of those who were erased nothing opens any more, so nothing of theirs is expected.
    """
    held: dict[str, set[str]] = {}
    for entry in ledger.follow(0):
        if not isinstance(entry.event, Instruction):
            continue  # somebody was erased
        had = held.get(entry.event.subject, set())
        match entry.event.act:
            case Granted(_, fields, _):
                held[entry.event.subject], kind = {*fields}, "narrowing"
            case Withdrawn(_, fields):
                held[entry.event.subject], kind = had - {*(fields or ALL)}, "withdrawal"
            case other:
                raise AssertionError(f"nobody said {other}")
        if had - held[entry.event.subject]:
            yield entry.index, kind


def settled(home: Path, at: datetime) -> tuple[int, int]:
    """Finish what was begun and check it; changes and letters. Raises AssertionError."""
    ledger = opened(home / LEDGER)
    flow, outbox, paper = flow_of(home, ledger), Outbox(home), Paper(home / "heard")
    flow.run(at)
    outbox.deliver(paper, at)
    changes = [*expected(ledger)]
    known = {
        each.index: each.event.subject
        for each in ledger.follow(0)
        if isinstance(each.event, Instruction)
    }
    store = CaseStore(home)
    with store.reading() as database:
        check_cases(database, changes, known)
        check_letters(database, paper.heard() if paper.path.exists() else [])
        letters = len(rows(database, "SELECT id FROM outbox"))
    store.close()
    for each in (flow, outbox, ledger):
        each.close()
    return len(changes), letters


def rows(database: Connection, query: str, **values: object) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in database.execute(text(query), values)]


def check_cases(
    database: Connection, changes: list[tuple[int, str]], known: dict[int, str]
) -> None:
    """`known`: the entries that still open, and by whom they are."""
    filed = rows(database, "SELECT entry, kind FROM change")
    assert len({entry for entry, _ in filed}) == len(filed), "a change has two cases"
    theirs = sorted(each for each in filed if each[0] in known)
    assert theirs == sorted(changes), "a change has no case"
    other = "SELECT id FROM change JOIN cases ON id = number WHERE cases.kind <> change.kind"
    assert not rows(database, other), "a change is in a case of another kind"
    check_counts(database, known)
    told = Counter(rows(database, "SELECT number, type, channel FROM outbox"))
    cases = [case for (case,) in rows(database, "SELECT id FROM cases")]
    assert all(told[case, "opened", each] == 1 for case in cases for each in CHANNELS), "untold"
    assert {*told.values()} <= {1}, "a notice stands twice"
    assert {case for case, _, _ in told} == {*cases}, "a notice has no case"


def check_counts(database: Connection, known: dict[int, str]) -> None:
    """Customers, each once; where one was erased meanwhile, nobody can count them any more."""
    for case, count in rows(database, "SELECT id, count FROM cases"):
        query = "SELECT entry FROM change WHERE number = :case"
        entries = [entry for (entry,) in rows(database, query, case=case)]
        if {*entries} <= known.keys():
            assert count == len({known[each] for each in entries}), "a case miscounts"


def check_letters(database: Connection, heard: list[list[str]]) -> None:
    query = "SELECT channel, number, id, type FROM outbox WHERE state = 'delivered' ORDER BY seq"
    delivered = [(c, str(n), i, t) for c, n, i, t in rows(database, query)]
    known = {id_ for (id_,) in rows(database, "SELECT id FROM outbox")}
    first = dict.fromkeys((c, n, i, t) for c, n, i, t, _ in heard)
    assert {i for _, _, i, _ in first} <= known, "somebody heard what is in no outbox"
    assert {*delivered} <= first.keys(), "a notice was noted as delivered and not heard"
    for case in {(c, n) for c, n, _, _ in delivered}:
        order = [each for each in first if each[:2] == case]
        assert order == [each for each in delivered if each[:2] == case], "out of order"


def campaign(
    kills: int, seed: int, begin: Callable[[Path], None] = lambda _: None
) -> tuple[int, int, int, int]:
    """Kill so many times; kills, rounds, changes, letters. Raises AssertionError on any loss.

    `begin` prepares each new data directory.
    """
    chance = random.Random(seed)
    rounds = changes = letters = lived = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        for number in range(1, kills + 1):
            if not home.exists():
                begin(home)
            last = number % KILLS_A_HOME == 0 or number == kills
            lived += one(home, NOON + (lived + number) * STEP, chance)
            if last or number % CHECK_EVERY == 0:
                found = settled(home, NOON + (lived + number + 1) * STEP)
            if last:
                rounds, changes, letters = rounds + lived, changes + found[0], letters + found[1]
                lived = 0
                shutil.rmtree(home)
                sys.stderr.write(f"\r{number} kills, {changes} changes")
    sys.stderr.write("\n")
    return kills, rounds, changes, letters


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="", help="of the cases: postgresql://…")
    chosen = parser.parse_args()
    done, turns, found_, sent = campaign(
        chosen.kills,
        chosen.seed,
        lambda home: in_postgres(home, chosen.database) if chosen.database else None,
    )
    sys.stdout.write(
        f"{done} kills in {turns} rounds, {found_} changes, {sent} notices: 0 lost, 0 twice\n"
    )
