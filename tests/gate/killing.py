"""Kill a gate that serves over HTTP at random moments: `python -m tests.gate.killing --kills 200`.

A child serves a gate with uvicorn; clients ask it, customers grant and withdraw, an auditor looks
at the checkpoint of its read log; then it is killed with SIGKILL, and the next child goes on with
the same read log. After each kill:

- every answer that a client received whole has its entry, which says exactly what was answered;
- no answer permits what was withdrawn with a receipt before it was asked for;
- the read log extends every checkpoint that anybody saw.

At the end of a home `fsck` is clean, and a replay derives every entry again.
"""

import argparse
import json
import multiprocessing
import random
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event
from typing import Any

import uvicorn

from gate.factory import build
from gate.http.app import GateApp
from gate.policy.cedar import CedarPolicy
from gate.readlog.writer import Journal
from gate.reads.sources.duckdb import DuckDBSource
from gate.replay.history import ReplayGrounds
from gate.replay.replay import replay
from gate.state.ledger_position import Epoch
from gate.storage.read_log import ReadLogDatabase
from ledger.events.envelope import Granted, SyntheticReleased, Withdrawn
from ledger.follower import Follower
from ledger.fsck import fsck
from ledger.service import Ledger
from ledger.tlog import checkpoint, signed_note
from ledger.vault import commitments
from tests.gate.scenes import SCENES, SEGMENTATION
from tests.gate.world import NOON, PEOPLE, WORDING, Constant, people, shipped

ORIGIN, INSTANCE = "test.example/consent", "reads-1"
READS = f"test.example/{INSTANCE}"
SERVICES = ("analytics", "crm")
FIELDS = (["age"], ["age", "job"], ["job", "housing"], ["age", "no-such-field"])
CUSTOMERS = [*PEOPLE, "nobody"]
CLIENTS = 3
HEAVY = ("ibis.backends.duckdb", "pyarrow.dataset", "cedarpy", "gate.http.serving.server")
KILLS_A_HOME = 20  # then a fresh one, so that checks stay short
MAX_WAIT_S = 1.0
START_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Answer:
    """What a client received whole, and between which moments."""

    service: str
    asked: dict[str, Any]
    said: dict[str, Any]
    began: float
    ended: float

    @property
    def customer(self) -> str:
        asked = self.asked
        return str(asked["customer"] if "customer" in asked else asked["resource"]["id"])

    @property
    def told(self) -> dict[str, Any]:
        return {**self.said, **self.said.get("context", {})}


@dataclass
class Known:
    """What was seen of the gate, and therefore may be demanded."""

    answers: list[Answer] = field(default_factory=list)
    heads: set[tuple[int, bytes]] = field(default_factory=set)  # of the read log
    gone: list[tuple[str, float, float]] = field(default_factory=list)  # who, receipt, next act
    received: int = 0


class Tokens:
    def service(self, headers: Mapping[bytes, bytes]) -> str | None:
        return headers.get(b"authorization", b"").decode() or None


def serve(home: Path, secret: str, rules: CedarPolicy, tells: Connection) -> None:
    """The child: a gate over HTTP, until it is killed."""
    follower = Follower(home, Epoch(home / "epoch").size)
    reads = ReadLogDatabase(home, INSTANCE)
    journal = Journal(reads.log(READS, signed_note.signer(secret)), follower, reads)
    source = DuckDBSource(home / "people.duckdb")
    gate = build(follower, source, SCENES, journal, rules, bytes(32))
    gate.serve("segmentation", Constant())
    config = uvicorn.Config(GateApp(gate, Tokens()), lifespan="off", log_level="error")
    listener = socket.create_server(("127.0.0.1", 0))
    tells.send(listener.getsockname()[1])
    uvicorn.Server(config).run([listener])


@contextmanager
def child(home: Path, secret: str) -> Iterator[int]:
    """A gate that listens on this port, killed at the end."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([__name__, *HEAVY])
    hears, tells = forking.Pipe(duplex=False)
    process = forking.Process(target=serve, args=(home, secret, shipped(), tells), daemon=True)
    process.start()
    try:
        if not hears.poll(START_TIMEOUT_S):
            raise AssertionError("the gate does not start")
        yield hears.recv()
        if not process.is_alive():
            raise AssertionError("the gate ended by itself")
    finally:
        process.kill()
        process.join()


def one(home: Path, ledger: Ledger, secret: str, known: Known, chance: random.Random) -> None:
    """One life and death of a gate under load."""
    over = Event()
    seeds = [chance.getrandbits(32) for _ in range(CLIENTS + 1)]
    with ThreadPoolExecutor(CLIENTS + 2) as pool:
        with child(home, secret) as port:
            load = [pool.submit(ask, port, known, over, seed) for seed in seeds[1:]]
            load.append(pool.submit(change, ledger, known, over, seeds[0]))
            load.append(pool.submit(watch, home, known, over))
            time.sleep(chance.random() * MAX_WAIT_S)
        over.set()  # the gate is dead: nothing more is answered
    for each in load:
        each.result()


def ask(port: int, known: Known, over: Event, seed: int) -> None:
    """A client: what it hears whole it remembers."""
    chance = random.Random(seed)
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    while not over.is_set():
        service = chance.choice(SERVICES)
        path, asked = question(chance, service)
        began = time.monotonic()
        try:
            connection.request("POST", path, json.dumps(asked), {"Authorization": service})
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException):
            break  # it was killed; half an answer is none
        ended = time.monotonic()
        assert response.status in {200, 403}, body
        said = json.loads(body)
        told = said.get("evaluations", [said])
        if evidence := response.getheader("Sovereign-Evidence"):
            told = [located(each, evidence, n, len(told)) for n, each in enumerate(told)]
        every = zip(asked.get("evaluations", [asked]), told, strict=True)
        known.answers += [Answer(service, *each, began, ended) for each in every]
    connection.close()


def located(told: dict[str, Any], evidence: str, number: int, of: int) -> dict[str, Any]:
    """An answer of a request with `of` answers, with its entry, and its place in the entry's list.

    `evidence`: the header. Several entries: one for each answer.
    """
    sent = dict(each.split("=", 1) for each in evidence.split(";"))
    first = int(sent["entry"])
    if "entries" in sent:
        return told | {"entry": first + number}
    return told | {"entry": first} | ({"place": number} if of > 1 else {})


def question(chance: random.Random, service: str) -> tuple[str, dict[str, Any]]:
    match chance.randrange(3):
        case 0:
            return "/access/v1/evaluation", evaluation(chance, service)
        case 1:
            several = [evaluation(chance, service) for _ in range(chance.randrange(1, 20))]
            return "/access/v1/evaluations", {"evaluations": several}
        case _:
            fields, customer = chance.choice(FIELDS), chance.choice(CUSTOMERS)
            return "/v1/read", {"scene": "segmentation", "customer": customer, "fields": fields}


def evaluation(chance: random.Random, service: str) -> dict[str, Any]:
    return {
        "subject": {"type": "service", "id": service},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": chance.choice(CUSTOMERS)},
        "context": {"scene": "segmentation", "fields": chance.choice(FIELDS)},
    }


def change(ledger: Ledger, known: Known, over: Event, seed: int) -> None:
    """Customers grant and withdraw; from when until when each had the receipt of a withdrawal."""
    chance = random.Random(seed)
    withdrawn: dict[str, float] = {}
    while not over.is_set():
        who = chance.choice([*PEOPLE])
        fields = tuple(chance.sample([*SEGMENTATION.fields], 2))
        withdraws = chance.random() < 0.5
        act = Withdrawn("segmentation") if withdraws else Granted("segmentation", fields, None)
        begun = time.monotonic()
        if who in withdrawn:
            known.gone.append((who, withdrawn.pop(who), begun))
        ledger.record([ledger.draft(who, act, at=NOON, wording=WORDING)])
        if withdraws:
            withdrawn[who] = time.monotonic()  # the receipt is there
        time.sleep(chance.random() * 0.01)
    known.gone += [(who, since, time.monotonic()) for who, since in withdrawn.items()]


def watch(home: Path, known: Known, over: Event) -> None:
    """An auditor, who remembers every checkpoint of the read log that there was to be seen."""
    store = ReadLogDatabase(home, INSTANCE).store
    while not over.is_set():
        if (head := store.head()) is not None:
            seen = checkpoint.parse(signed_note.parse(head.note).text)
            known.heads.add((seen.size, seen.root))
        time.sleep(0.01)
    store.close()


def check(home: Path, ledger: Ledger, secret: str, known: Known) -> None:
    """Raises AssertionError if an answer has no entry, or the log is not the one that was seen."""
    log = ReadLogDatabase(home, INSTANCE).log(READS, signed_note.signer(secret))
    for size, root in known.heads:
        assert size <= log.size, f"{size} entries were signed, {log.size} are left"
        assert log.root_at(size) == root, f"the first {size} entries are others now"
    entries = [json.loads(each) for each in log.entries(0, log.size)]
    log.close()
    with closing(sqlite3.connect(home / "reads" / INSTANCE / "log.sqlite")) as database:
        lists = dict(database.execute("SELECT entry, data FROM list"))
    for each in known.answers:
        require_entry(ledger, entries, lists, each)
        require_grant(known, each)
    known.received += len(known.answers)
    known.answers.clear()
    known.gone.clear()


def require_entry(
    ledger: Ledger, entries: list[dict[str, Any]], lists: dict[int, bytes], answer: Answer
) -> None:
    """The answer is in the read log, word for word; of a batch, in the list that the log names."""
    told, about = answer.told, answer.asked.get("context", answer.asked)
    assert told["entry"] < len(entries), f"answer {told} has no entry"
    entry = entries[told["entry"]]
    if "place" in told:
        entry = entry_of(entry, lists[told["entry"]], told["place"])
    views = {name: each["view"] for name, each in told.get("fields", {}).items()}
    assert entry["service"] == answer.service
    assert (entry["scene"], entry["fields"]) == (about["scene"], about["fields"])
    assert (entry["views"], entry["reason"]) == (told.get("views", views), told["reason"])
    if "ledger_size" in told:  # a refused read tells only why, and where that is written
        assert entry["consent"]["size"] == told["ledger_size"]
    if answer.customer in PEOPLE:
        require_owner(ledger, entry, answer)


def require_owner(ledger: Ledger, entry: dict[str, Any], answer: Answer) -> None:
    """The entry has the customer's tag, and with their key what the answer rests on."""
    told, tags = answer.told, ledger.read_log_tags(answer.customer, READS)
    assert tags is not None
    index, place = told["entry"], told.get("place")
    tag = entry["subject"]
    assert commitments.is_openable(tag)
    assert tag == tags.like(tag, index, place)
    pad = tags.keys.pad(tag, index, place)
    if "ledger_size" in told:
        assert commitments.unmasked(entry["determined_by"], pad) == told["determined_by"]


def entry_of(batch: dict[str, Any], data: bytes, place: int) -> dict[str, Any]:
    """One decision of a batch as if it stood alone, taken apart here by hand."""
    assert sha256(data).hexdigest() == batch["list"], "the list is not the one the log names"
    found = json.loads(data)
    assert len(found["decisions"]) == batch["decisions"]
    subject, determined_by, number = found["decisions"][place]
    said: dict[str, Any] = found["wordings"][number]
    return said | {
        "subject": subject,
        "determined_by": determined_by,
        "consent": batch["consent"],
    }


def require_grant(known: Known, answer: Answer) -> None:
    """Nothing is permitted that was withdrawn, with a receipt, before it was asked for."""
    for who, receipt, granted in known.gone:
        withdrawn = receipt < answer.began and answer.ended < granted
        if who == answer.customer and withdrawn:
            assert not answer.said.get("decision"), f"{who} had withdrawn: {answer}"


def campaign(kills: int, seed: int) -> tuple[int, int]:
    """Kill so many times; answers received and entries derived again. Raises AssertionError."""
    chance = random.Random(seed)
    received = derived = 0
    done = 0
    while done < kills:
        some = min(KILLS_A_HOME, kills - done)
        answers, entries = home_of(some, chance)
        received, derived, done = received + answers, derived + entries, done + some
        sys.stderr.write(f"\r{done} kills, {received} answers, {derived} entries derived again")
    sys.stderr.write("\n")
    return received, derived


def home_of(kills: int, chance: random.Random) -> tuple[int, int]:
    """The life of one read log, in which its gate is killed so many times."""
    known = Known()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        signer = signed_note.generate(READS)
        people(home / "people.duckdb")
        with writer(home) as ledger:
            keys = home / "keys" / f"{INSTANCE}.vkey"
            keys.write_text(f"{signer.verifier}\n")
            for _ in range(kills):
                one(home, ledger, signer.secret(), known, chance)
                check(home, ledger, signer.secret(), known)
        findings = [str(each) for each in fsck(home)]
        assert not findings, findings
        opened = partial(Follower, home)
        report = replay(opened, home, INSTANCE, ReplayGrounds(SCENES, shipped()))
        assert (report.faults, report.differences[:5]) == ([], [])
        assert report.derived == report.entries  # "nobody", who has no key, included
        return known.received, report.derived


@contextmanager
def writer(home: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(home, origin=ORIGIN, on_commit=Epoch(home / "epoch").publish)
    ledger.announce([SyntheticReleased(Constant().id, "segmentation", {}, NOON)])
    for who in PEOPLE:  # who never said anything has no key, and no name in the read log
        ledger.record([ledger.draft(who, Withdrawn("segmentation"), at=NOON, wording=WORDING)])
    try:
        yield ledger
    finally:
        ledger.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    heard, again = campaign(chosen.kills, chosen.seed)
    sys.stdout.write(
        f"{chosen.kills} kills, {heard} answers received, each with its entry; "
        f"{again} entries derived again, 0 differ\n"
    )
