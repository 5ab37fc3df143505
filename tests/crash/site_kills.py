"""Kill `sovereign serve` at random moments: `python -m tests.crash.site_kills --kills 1000`.

The served product, with real sockets and the real clock. While customers switch a permission on and
off, an operator erases customers, and services read through the portal's gate and two gates alone,
the portal is killed with SIGKILL and started again. At the end:

- every act that was acknowledged is in the customer's chain, in order, unless they were erased;
- no gate gave a personal value that an acknowledged act before the question had ended;
- `fsck` is clean, `audit` is clean, and `replay` derives every answer again.

Every process is forked from one that has the product's modules loaded, so that a start costs what
the product does, not what Python does.
"""

import argparse
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import duckdb
import httpx

from ledger.events.envelope import Granted, Withdrawn
from ledger.service import Ledger
from portal.demo.sources import customers, deliveries
from tests.bank import contracts
from tests.features.loopback import BROWSER, PLAIN, free_port
from tests.features.page import Page

SCENE, SERVICE, FIELD = "recommendation", "recommender", "age"
LONGEST_S = 0.8  # between an answer of the portal and the kill
ACTS_A_LIFE = 5  # at least, in every second life of the portal
START_S = 120.0  # before a start counts as failed
VISITORS = 2
ERASED_EVERY_S = 1.0
ASK_EVERY_S = 0.05
PRESS_EVERY_S = 0.05
TRY_EVERY_S = 0.1  # what gets no answer


@dataclass(frozen=True, slots=True)
class Act:
    """A wish of a customer, and between which moments it was expressed. `done`: acknowledged."""

    wish: str  # allow, withdraw, erase
    began: float
    ended: float
    done: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """The view that a gate gave, and between which moments it was asked."""

    gate: str
    customer: str
    view: str
    began: float
    ended: float


@dataclass(slots=True)
class Seen:
    """What everybody outside the product saw."""

    acts: dict[str, list[Act]] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    guard: Lock = field(default_factory=Lock)

    def act(self, customer: str, act: Act) -> None:
        with self.guard:
            self.acts.setdefault(customer, []).append(act)

    def done(self) -> int:
        """How many acts were acknowledged."""
        with self.guard:
            return sum(act.done for acts in self.acts.values() for act in acts)

    def answered(self, reading: Reading) -> None:
        with self.guard:
            self.readings.append(reading)


class Product:
    """A data directory with a portal that is killed and two gates that are not."""

    def __init__(self, home: Path, people: int) -> None:
        self.home = home
        self.forks = multiprocessing.get_context("forkserver")
        self.forks.set_forkserver_preload(["tests.forked.preloaded"])
        self.people = [f"c{number:05d}" for number in range(1, people + 1)]
        self.portal, self.gates = free_port(), [free_port(), free_port()]
        self._log = home.parent / "log"
        _customers(home, people)

    def address(self, port: int) -> str:
        return f"http://127.0.0.1:{port}"

    def begin(self, *words: str, port: int = 0) -> Any:
        """A process that runs a command of `sovereign`."""
        environment = {"SOVEREIGN_DEMO": "true", "SOVEREIGN_PORT": str(port or 8000)}
        process = self.forks.Process(target=_command, args=(words, environment, self._log))
        process.start()
        return process

    def run(self, *words: str) -> int | None:
        process = self.begin(*words)
        process.join(START_S)
        return int(process.exitcode) if process.exitcode is not None else None

    def printed(self) -> str:
        return self._log.read_text("utf-8", errors="replace")[-2000:]


def _command(words: Sequence[str], environment: dict[str, str], log: Path) -> None:
    """Run one command, with what it prints added to `log`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(environment)
    sys.argv = ["sovereign", *words]
    from portal.cli import main

    main()


def _customers(home: Path, people: int) -> None:
    home.mkdir(parents=True)
    with duckdb.connect() as everybody:
        customers.load(everybody)
        everybody.execute(f"ATTACH '{home / 'customers.duckdb'}' AS small")
        everybody.execute(
            f"CREATE TABLE small.customer AS FROM customer WHERE id <= 'c{people:05d}'"
        )
    deliveries.record(home / "customers.duckdb", contracts()[0], datetime.now(UTC))


def answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{address}/healthz", timeout=5, verify=PLAIN).status_code == 200
    return False


def wait_until(look: Callable[[], bool], process: Any, what: str) -> float:
    """Seconds until `look` holds. Raises RuntimeError if the process ends or it takes too long."""
    began = time.monotonic()
    while not look():
        if process.exitcode is not None or time.monotonic() - began > START_S:
            raise RuntimeError(f"{what}: no answer, exit status {process.exitcode}")
        time.sleep(TRY_EVERY_S)
    return time.monotonic() - began


class Visitor:
    """A browser that switches one scene of one customer after another."""

    def __init__(self, product: Product, seen: Seen, draw: random.Random) -> None:
        self._address, self._seen, self._draw = product.address(product.portal), seen, draw

    def work(self, people: Sequence[str], over: Event) -> None:
        client = self.client()
        wishes = dict.fromkeys(people, "allow")
        while not over.is_set():
            customer = self._draw.choice(people)
            if self.switch(client, customer, wishes[customer]):
                wishes[customer] = "withdraw" if wishes[customer] == "allow" else "allow"
            time.sleep(PRESS_EVERY_S)

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._address, headers=BROWSER, follow_redirects=True, verify=PLAIN
        )

    def switch(self, client: httpx.Client, customer: str, wish: str) -> bool:
        """Press the button; returns whether it was acknowledged."""
        path = f"/customer/scenes/{SCENE}/{wish}"
        try:
            client.cookies.clear()
            client.post("/login", data={"customer": customer})
            page = client.get("/customer")
            fields = Page(page.status_code, page.text).button(path).fields
        except (httpx.HTTPError, LookupError, AssertionError, StopIteration):
            time.sleep(TRY_EVERY_S)
            return False
        began, done = time.monotonic(), False
        with suppress(httpx.HTTPError):
            done = client.post(path, data=fields).status_code == 200
        self._seen.act(customer, Act(wish, began, time.monotonic(), done))
        return done


def ask(product: Product, port: int, seen: Seen, draw: random.Random, over: Event) -> None:
    """A service that reads one customer after another through one gate."""
    address, client = product.address(port), httpx.Client(timeout=20, verify=PLAIN)
    headers = {"Authorization": f"Bearer demo-{SERVICE}"}
    while not over.is_set():
        customer = draw.choice(product.people)
        body = {"scene": SCENE, "customer": customer, "fields": [FIELD]}
        began = time.monotonic()
        try:
            answer = client.post(f"{address}/v1/read", json=body, headers=headers)
            view = answer.json()["fields"][FIELD]["view"]
        except (httpx.HTTPError, ValueError, KeyError):
            time.sleep(TRY_EVERY_S)
            continue
        seen.answered(Reading(str(port), customer, view, began, time.monotonic()))
        time.sleep(ASK_EVERY_S)


def erase(product: Product, people: Sequence[str], seen: Seen, over: Event) -> None:
    """An operator who erases one customer after another, each with a permission."""
    visitor = Visitor(product, seen, random.Random(0))
    client = visitor.client()
    for customer in people:
        while not visitor.switch(client, customer, "allow"):
            if over.is_set():
                return
        if over.wait(ERASED_EVERY_S):
            return
        began = time.monotonic()
        status = product.run("erase", customer, "--data-dir", str(product.home))
        seen.act(customer, Act("erase", began, time.monotonic(), status == 0))


def kill(product: Product, kills: int, seen: Seen, draw: random.Random) -> None:
    """Start the portal and kill it, `kills` times; at the end it is stopped as usual."""
    gates: list[Any] = []
    here = ("--data-dir", str(product.home))
    for number in range(kills + 1):
        process = product.begin("serve", *here, port=product.portal)
        address = product.address(product.portal)
        seen.starts.append(wait_until(partial(answers, address), process, "the portal"))
        if not gates:
            gates += [
                product.begin("gate", "serve", *here, "--port", str(p)) for p in product.gates
            ]
            for port, gate in zip(product.gates, gates, strict=True):
                wait_until(partial(answers, product.address(port)), gate, "a gate")
        if number % 2:  # the others are killed however little was done
            _wait_for_acts(seen)
        time.sleep(draw.uniform(0.0, LONGEST_S))
        if number < kills:
            process.kill()
        else:
            process.terminate()
        process.join(START_S)
    for gate in gates:
        if gate.exitcode is not None:
            seen.problems.append(f"a gate ended with status {gate.exitcode}")
        gate.terminate()
        gate.join(START_S)


def _wait_for_acts(seen: Seen) -> None:
    """Until customers have pressed a few times in this life, however slow the machine is."""
    before, deadline = seen.done(), time.monotonic() + START_S
    while seen.done() < before + ACTS_A_LIFE and time.monotonic() < deadline:
        time.sleep(TRY_EVERY_S)


def stale(seen: Seen) -> Iterator[str]:
    """The readings that no order of the acts explains."""
    for each in seen.readings:
        if each.view == "personal" and not _may_be_personal(seen.acts.get(each.customer, []), each):
            yield f"gate {each.gate} gave {each.customer}'s {FIELD} after it was ended"


def _may_be_personal(acts: Sequence[Act], reading: Reading) -> bool:
    """Whether an act that may have been in force while the question was open allows it."""
    possible = {"withdraw"}  # nobody had decided anything
    for act in acts:
        if act.began > reading.ended:
            continue
        if act.done and act.ended < reading.began:
            possible = {act.wish}
        else:
            possible.add(act.wish)
    return "allow" in possible


def lost(home: Path, seen: Seen) -> Iterator[str]:
    """The acknowledged acts that are not in their customers' chains, in order."""
    ledger = Ledger.reopen(home)
    try:
        for customer, acts in seen.acts.items():
            if any(act.wish == "erase" for act in acts):
                continue
            chain = iter([_wish(each.event.act) for each in ledger.history(customer)])
            for act in acts:
                if act.done and not any(found == act.wish for found in chain):
                    yield f"{customer}: an acknowledged {act.wish} is missing or out of order"
    finally:
        ledger.close()


def _wish(act: object) -> str:
    if isinstance(act, Granted):
        return "allow"
    return "withdraw" if isinstance(act, Withdrawn) else "other"


def check(product: Product, seen: Seen) -> Iterator[str]:
    yield from seen.problems
    yield from stale(seen)
    yield from lost(product.home, seen)
    log, policy = str(product.home / "log" / "consent"), str(product.home / "consent.policy")
    here = ("--data-dir", str(product.home))
    for words in (
        ("fsck", *here),
        ("replay", *here),
        ("export", log, *here),
        ("audit", log, "--policy", policy),
    ):
        if (status := product.run(*words)) != 0:
            yield f"{words[0]}: exit status {status}: {product.printed()}"


@contextmanager
def at_work(product: Product, seen: Seen, seed: int) -> Iterator[None]:
    """Customers, services and an operator work while the context lasts."""
    over = Event()
    quarter = len(product.people) // 4
    leaving, staying = product.people[:quarter], product.people[quarter:]
    with ThreadPoolExecutor() as threads:
        for at in range(VISITORS):
            visitor = Visitor(product, seen, random.Random(f"{seed} visitor {at}"))
            threads.submit(visitor.work, staying[at::VISITORS], over)
        for port in (product.portal, *product.gates):
            threads.submit(ask, product, port, seen, random.Random(f"{seed} {port}"), over)
        threads.submit(erase, product, leaving, seen, over)
        try:
            yield
        finally:
            over.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        product, seen = Product(Path(folder) / "data", asked.people), Seen()
        with at_work(product, seen, asked.seed):
            kill(product, asked.kills, seen, random.Random(asked.seed))
        problems = [*check(product, seen)]
    acts = [act for each in seen.acts.values() for act in each]
    done = sum(act.done for act in acts)
    personal = sum(each.view == "personal" for each in seen.readings)
    sys.stdout.write(
        f"{asked.kills} kills, {done} of {len(acts)} acts acknowledged, "
        f"{sum(act.wish == 'erase' and act.done for act in acts)} erased, "
        f"{len(seen.readings)} readings of which {personal} personal, start "
        f"{statistics.median(seen.starts):.2f} s (median), {max(seen.starts):.2f} s (longest)\n"
    )
    sys.stderr.writelines(f"{each}\n" for each in problems)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
