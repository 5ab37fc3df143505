"""What `benchmarks.growth` measures of a served product: real processes, real sockets.

The wall time is that of whoever asks; the processor time is that of the server that answers. Jobs
that run meanwhile are in it, so the median of several runs is taken.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread

import httpx

from benchmarks.growth_clock import Cost, Costs, peak_bytes, spent_by, timed
from benchmarks.growth_directory import FIELD, SCENE, SERVICE, name
from portal.operations import control
from tests.features.loopback import free_port
from tests.features.served import INSTALLED, PATIENCE_S, Person, Running, Site, wait_for

ROUNDS = 15  # of an operation that changes little
STARTS = 3
BESIDE_S = 0.3  # how long another customer's service asks around an erasure


def measured(home: Path, size: int, costs: Costs) -> None:
    """Measure what is served over `home`; changes it."""
    some = iter(range(size // 3, size))
    site = Site(home, home.with_suffix(".log"), INSTALLED)
    starts, firsts, tables = [], [], []
    for _ in range(STARTS):
        began = time.perf_counter()
        with site.serving():
            starts.append(Cost(time.perf_counter() - began, spent_by(_pid(site))))
            firsts.append(timed(lambda: _decide(site.address, next(some)), _pid(site)))
            tables.append(timed(lambda: _table(site), _pid(site)))
    costs.note("start", starts)
    costs.note("first decision after a start", firsts)
    costs.note("first table", tables)
    with site.serving():
        _portal(site, some, costs)
        _gate(site, size, costs)
        costs.bytes["memory of the portal, most"] = peak_bytes(_pid(site))


def _portal(site: Site, some: Iterator[int], costs: Costs) -> None:
    pid = _pid(site)

    def note(operation: str, work: Callable[[], object], rounds: int = ROUNDS) -> None:
        costs.note(operation, [timed(work, pid) for _ in range(rounds)])

    with httpx.Client() as service:
        note("decision", lambda: _decide(site.address, next(some), service), 10 * ROUNDS)
        note("read of one customer", lambda: _read(site.address, next(some), service))
    people = [site.customer(name(next(some))) for _ in range(ROUNDS)]
    forms = [each.page("/customer").button(_TOGGLE).fields for each in people]
    at_once = iter([*zip(people, forms, strict=True)])
    note("toggle", lambda: _toggle(*next(at_once)))
    entries = iter([(each, each.receipts()[0]) for each in people])
    note("receipt", lambda: _get(*next(entries)))
    withdrawing = [site.customer(name(next(some))) for _ in range(ROUNDS)]
    presses = [each.page("/customer").button(_TOGGLE).fields for each in withdrawing]
    from_press = iter([*zip(withdrawing, presses, strict=True)])
    note("withdrawal, to its receipt", lambda: _withdraw(*next(from_press)))
    for page in ("history", "reads"):
        note(f"{page} page", _visits(people, f"/customer/{page}"))
    steward = site.steward()
    note("health on the desk", lambda: steward.page("/desk"), 5)
    erasures = [_erased_beside(site, next(some), next(some)) for _ in range(ROUNDS)]
    costs.note("erase", [erased for erased, _ in erasures])
    costs.note("another customer's request beside an erase", [worst for _, worst in erasures])
    note("decision after an erase", lambda: _erase_and_decide(site, some), 5)


_TOGGLE = f"/customer/scenes/{SCENE}/withdraw"


def _visits(people: Sequence[Person], path: str) -> Callable[[], object]:
    visitors = iter(people)
    return lambda: next(visitors).page(path)


def _toggle(person: Person, form: Mapping[str, str]) -> None:
    answer = person.client.post(_TOGGLE, data=form, follow_redirects=False)
    assert answer.status_code in {200, 303}, answer.text


def _withdraw(person: Person, form: Mapping[str, str]) -> None:
    """A press, the page that follows, and the file that proves it."""
    _toggle(person, form)
    _get(person, person.receipts()[0])


def _get(person: Person, entry: int) -> None:
    assert person.client.get(f"/customer/receipts/{entry}").status_code == 200


def _erased_beside(site: Site, gone: int, other: int) -> tuple[Cost, Cost]:
    """The cost of an erasure, and of the slowest request for another customer meanwhile."""
    slowest, over = [Cost(0.0, 0.0)], Event()

    def ask() -> None:
        with httpx.Client() as service:
            _decide(site.address, other, service)  # connected
            while not over.is_set():
                cost = timed(lambda: _decide(site.address, other, service), _pid(site))
                slowest[0] = max(slowest[0], cost, key=lambda each: each.wall_s)

    asking = Thread(target=ask)
    asking.start()
    time.sleep(BESIDE_S)
    slowest[0] = Cost(0.0, 0.0)
    erased = timed(lambda: _erase(site, gone), _pid(site))
    over.set()
    asking.join()
    return erased, slowest[0]


def _erase_and_decide(site: Site, some: Iterator[int]) -> None:
    _erase(site, next(some))
    _decide(site.address, next(some))


def _erase(site: Site, number: int) -> None:
    """As `sovereign erase` does, over the owner's socket; without the start of a command."""
    outcome = control.forward(site.home, ["erase", name(number), "--data-dir", str(site.home)])
    assert outcome is not None
    assert outcome.code == 0, outcome


def _gate(site: Site, size: int, costs: Costs) -> None:
    """A gate in a process of its own, which follows the portal's ledger."""
    port = free_port()
    address, log = f"http://127.0.0.1:{port}", site.home.with_suffix(".gate.log")
    began = time.perf_counter()
    words = ("gate", "serve", "--data-dir", site.home, "--port", str(port))
    process = INSTALLED.begin(*words, log=log, SOVEREIGN_DEMO="true")
    try:
        wait_for(lambda: _answers(address, process), "answer of the gate")
        started = Cost(time.perf_counter() - began, spent_by(process.pid))
        costs.note("gate alone: start", [started])
        first = timed(lambda: _decide(address, 5), process.pid)
        costs.note("gate alone: first decision", [first])
        costs.note("gate alone: new customer", [*_newcomers(site, address, process.pid, size)])
        costs.bytes["memory of a gate alone, most"] = peak_bytes(process.pid)
    finally:
        process.send_signal(15)
        process.wait(PATIENCE_S)


def _newcomers(site: Site, address: str, gate: int, size: int) -> Iterator[Cost]:
    with httpx.Client() as service:
        for number in range(size, size + ROUNDS):
            person = site.customer(name(number))
            person.switch(SCENE, "allow")
            yield timed(lambda: _decide(address, number, service), gate)  # noqa: B023 - called here


def _decide(address: str, number: int, client: httpx.Client | None = None) -> None:
    body = {
        "subject": {"type": "service", "id": SERVICE},
        "action": {"name": "read"},
        "resource": {"type": "customer", "id": name(number)},
        "context": {"scene": SCENE, "fields": [FIELD]},
    }
    _post(f"{address}/access/v1/evaluation", body, client)


def _read(address: str, number: int, client: httpx.Client) -> None:
    body = {"scene": SCENE, "customer": name(number), "fields": [FIELD]}
    _post(f"{address}/v1/read", body, client)


def _table(site: Site) -> None:
    body = {"scene": SCENE, "fields": [FIELD]}
    answer = site.ask(SERVICE, "/v1/table", body, "text/csv")
    assert answer.status_code == 200, answer.text


def _post(url: str, body: Mapping[str, object], client: httpx.Client | None) -> None:
    post = client.post if client else httpx.post
    headers = {"Authorization": f"Bearer demo-{SERVICE}"}
    answer = post(url, headers=headers, json=body, timeout=PATIENCE_S)
    assert answer.status_code == 200, answer.text


def _answers(address: str, process: Running) -> bool:
    assert process.poll() is None, "the gate ended"
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _pid(site: Site) -> int:
    assert site.process is not None
    return site.process.pid
