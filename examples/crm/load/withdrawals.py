"""Customers withdraw at a rate while services read, take interactions in, score and escalate.

Three counts decide: requests that failed, rows with other fields than were asked for, and personal
values in an answer to a read that began after the customer's receipt.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import httpx

from examples.crm import company, leads, scoring, support
from examples.crm.day import BROWSER, Day, running, token_of
from examples.crm.gate_calls import CallError, Desk
from examples.crm.leads import SCENE
from sovereign_client import Client, GateError, NamedRow, Personal

PRESSING = 16  # customers who press at the same time, at most
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for plain HTTP; a default one takes 25 ms to make
ADDRESS = f"/customer/scenes/{SCENE}/withdraw"


@dataclass(slots=True)
class LoadCounts:
    """`receipts`: when each customer's withdrawal was answered, by the monotonic clock."""

    failures: list[str] = field(default_factory=list)
    schema_changes: int = 0
    personal_after_receipt: int = 0
    reads: int = 0
    receipts: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        return not (self.failures or self.schema_changes or self.personal_after_receipt)

    def lines(self) -> Iterator[str]:
        done = len(self.receipts)
        yield f"{done} withdrawals in {self.seconds:.1f} s: {done / self.seconds:.1f} a second"
        yield f"{self.reads} reads of all customers meanwhile"
        yield f"failures: {len(self.failures)}"
        yield f"schema changes: {self.schema_changes}"
        yield f"personal values after a receipt: {self.personal_after_receipt}"
        yield from (f"        {each[:300]}" for each in self.failures[:10])


@dataclass(frozen=True, slots=True)
class Leaving:
    """A signed-in customer whose page is open. `form`: of the button that withdraws."""

    customer: str
    person: httpx.Client
    form: dict[str, str]


def play(folder: Path, rate: float, seconds: float) -> LoadCounts:
    """Play in an empty folder. `rate`: withdrawals begun a second."""
    number, counts = max(1, round(rate * seconds)), LoadCounts()
    with running(folder, number) as day:
        everyone = company.ids(folder)
        _allow(day, everyone)
        leaving = [_signed_in(day, each) for each in everyone]
        with _services(day, everyone, counts):
            begin = time.monotonic()
            with ThreadPoolExecutor(PRESSING) as pressing:
                for place, each in enumerate(leaving):
                    time.sleep(max(0.0, begin + place / rate - time.monotonic()))
                    pressing.submit(_withdraw, each, counts)
            counts.seconds = time.monotonic() - begin
            _read(day, everyone, counts)
        counts.failures += day.errors
    return counts


def _allow(day: Day, customers: Sequence[str]) -> None:
    """Everybody's earlier consent, imported."""
    at = f"{datetime.now(UTC) - timedelta(days=7):%FT%TZ}"
    rows = day.folder / "consents.csv"
    lines = ["subject,scene,at", *(f"{each},{SCENE},{at}" for each in customers)]
    rows.write_text("\n".join([*lines, ""]), "utf-8")
    ran = day.sovereign("import-consents", rows, "--source", "crm", "--data-dir", day.home)
    if ran.returncode:
        raise RuntimeError(f"import of consents: {ran.stdout}{ran.stderr}")


def _signed_in(day: Day, customer: str) -> Leaving:
    person = httpx.Client(
        base_url=day.portal,
        headers=BROWSER,
        follow_redirects=True,
        timeout=60,
        verify=PLAIN,
        limits=httpx.Limits(max_keepalive_connections=0),
    )
    person.post("/login", data={"customer": customer}).raise_for_status()
    return Leaving(customer, person, day.form(person, "/customer", ADDRESS))


def _withdraw(leaving: Leaving, counts: LoadCounts) -> None:
    try:
        answer = leaving.person.post(ADDRESS, data=leaving.form)
    except httpx.HTTPError as error:
        counts.failures.append(f"{leaving.customer}: withdrawal: {error}")
        return
    finally:
        leaving.person.close()
    if answer.status_code != 200:  # noqa: PLR2004
        counts.failures.append(f"{leaving.customer}: withdrawal: {answer.status_code}")
        return
    counts.receipts[leaving.customer] = time.monotonic()


@contextmanager
def _services(day: Day, everyone: Sequence[str], counts: LoadCounts) -> Iterator[None]:
    """All services, each again and again, until the block ends."""
    stop = Event()
    care = Desk(day.portal, token_of(support.SERVICE))
    works: list[Callable[[], object]] = [
        lambda: _read(day, everyone, counts),
        lambda: _scored(day, everyone),
        lambda: support.run(day.folder, care),
    ]

    def repeat(work: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                work()
            except (GateError, CallError) as error:
                counts.failures.append(str(error))

    threads = [Thread(target=repeat, args=(each,)) for each in works]
    threads.append(Thread(target=day.interactions, args=(everyone,)))
    for each in threads:
        each.start()
    try:
        yield
    finally:
        stop.set()
        for each in threads:
            each.join()


def _scored(day: Day, everyone: Sequence[str]) -> None:
    name = token_of(leads.SERVICE)
    with Client(day.portal, name) as gate:
        leads.run(day.folder, gate, Desk(day.portal, name), everyone)


def _read(day: Day, everyone: Sequence[str], counts: LoadCounts) -> None:
    """Read everybody once, and compare each row with the receipts from before the read."""
    with Client(day.portal, token_of(leads.SERVICE)) as gate:
        gone, rows = {*counts.receipts}, 0
        with gate.named(SCENE, everyone, scoring.FIELDS) as stream:
            for row in stream:
                rows += 1
                _judge(row, gone, counts)
    counts.reads += 1
    counts.schema_changes += rows != len(everyone)


def _judge(row: NamedRow, gone: set[str], counts: LoadCounts) -> None:
    counts.schema_changes += {*row.fields} != {*scoring.FIELDS}
    if row.customer in gone:
        personal = sum(isinstance(each, Personal) for each in row.fields.values())
        counts.personal_after_receipt += personal
