"""A short day of the company and its CRM, and what can be claimed of it: make crm.

The portal, the gate and the CRM are processes of their own, started as their READMEs say. Every
claim is checked by a command or by a file, and printed with what checked it.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from socket import socket
from threading import Event, Thread
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from examples.crm import company, database, intake, leads, scoring, support
from examples.crm.gate_calls import CallError, Desk
from examples.crm.leads import SCENE
from sovereign_client import Client, GateError

PATIENCE_S = 120.0
BROWSER = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"}
EVENTS = (
    ("opened", None),
    ("clicked", None),
    ("replied", "What is the price with a longer contract?"),
    ("message", "I am angry, the bill is wrong. I want a refund."),
    ("message", "线路又坏了，太差了，我要退款。"),
    ("meeting", None),
)


@dataclass(slots=True)
class Day:
    """The running company. `errors`: what any consumer of the product was refused or missed."""

    folder: Path
    portal: str
    crm: str
    errors: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "data"

    def interactions(self, customers: Sequence[str]) -> int:
        """Deliver one interaction for each customer; how many were accepted."""
        webhook = Webhook(intake.secret_of(self.folder))
        with httpx.Client() as http:
            for number, customer in enumerate(customers):
                kind, text = EVENTS[number % len(EVENTS)]
                event = {"customer": customer, "kind": kind, "at": "2026-12-01T09:30:00Z"}
                body = json.dumps(event | ({"text": text} if text else {}), ensure_ascii=False)
                now, delivery = datetime.now(UTC), f"msg_day_{number}"
                headers = {
                    "webhook-id": delivery,
                    "webhook-timestamp": str(int(now.timestamp())),
                    "webhook-signature": webhook.sign(delivery, now, body),
                }
                answer = http.post(self.crm + intake.PATH, content=body.encode(), headers=headers)
                if answer.status_code != 202:  # noqa: PLR2004
                    self.errors.append(f"intake: {answer.status_code} {answer.text}")
        _wait(lambda: self.count("worked") == len(customers), "end of the work")
        return self.count("worked")

    def count(self, table: str) -> int:
        with database.reading(self.folder) as connection:
            (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            return int(number)

    def switch(self, customer: str, wish: str) -> Path:
        """The customer presses `allow` or `withdraw`; the receipt, downloaded."""
        with self._person("/login", customer=customer) as person:
            self._press(person, "/customer", f"/customer/scenes/{SCENE}/{wish}")
            entries = re.findall(
                r'"/customer/receipts/(\d+)"', person.get("/customer/history").text
            )
            receipt = self.folder / f"{max(map(int, entries))}.tlog-proof"
            receipt.write_bytes(person.get(f"/customer/receipts/{receipt.stem}").content)
        return receipt

    def review(self) -> int:
        """A manager approves every draft that waits; how many."""
        with self._person("/desk/login", role="account-manager") as person:
            page = person.get("/desk/reviews").text
            places = sorted(set(re.findall(r'formaction="(/desk/reviews/\d+/approve)"', page)))
            for each in places:
                self._press(person, "/desk/reviews", each, reason="checked")
            return len(places)

    def sovereign(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "portal.cli", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603

    @contextmanager
    def _person(self, login: str, **who: str) -> Iterator[httpx.Client]:
        with httpx.Client(
            base_url=self.portal, headers=BROWSER, follow_redirects=True, timeout=60
        ) as person:
            person.post(login, data=who).raise_for_status()
            yield person

    def _press(self, person: httpx.Client, page: str, action: str, **typed: str) -> None:
        """Send the form of `page` whose address is `action`, with its hidden fields."""
        answer = person.post(action, data=self.form(person, page, action) | typed)
        if answer.status_code != 200:  # noqa: PLR2004
            self.errors.append(f"{action}: {answer.status_code}")

    def form(self, person: httpx.Client, page: str, action: str) -> dict[str, str]:
        """The hidden fields of the form of `page` whose address is `action`."""
        forms = re.findall(r"<form.*?</form>", person.get(page).text, re.DOTALL)
        form = next(each for each in forms if f'action="{action}"' in each)
        buttons = [b for b in re.findall(r"<button[^>]*>", form) if f'"{action}"' in b]
        tags = [*re.findall(r"<input[^>]*>", form), *buttons]
        return {name: _attribute(tag, "value") for tag in tags if (name := _attribute(tag, "name"))}


def play(folder: Path, customers: int) -> bool:
    """Play the day in an empty folder and print it; whether every claim held."""
    with running(folder, customers) as day:
        everyone = company.ids(folder)
        granting, leaving = everyone[: customers // 2], everyone[: max(1, customers // 6)]
        for each in granting:
            day.switch(each, "allow")
        print(f"{len(granting)} of {customers} customers allow {SCENE}")
        print(f"{day.interactions(everyone)} interactions accepted and worked on")
        time.sleep(6)  # the gate reads a changed SQLite file every five seconds
        before = _scored(day, everyone)
        with _reading(day, everyone) as reads:
            receipts = [day.switch(each, "withdraw") for each in leaving]
        print(f"{len(receipts)} customers withdraw, while {len(reads)} reads of all go on")
        after = _scored(day, everyone)
        support.run(folder, Desk(day.portal, token_of(support.SERVICE)))
        early, approved = day.count("outbox"), day.review()
        for _ in range(2):
            cases = support.run(folder, Desk(day.portal, token_of(support.SERVICE)))
        print(f"cases {cases}, {approved} drafts approved")
        return _claims(day, receipts, [*before], [after, leaving, early, approved])


def _scored(day: Day, everyone: Sequence[str]) -> dict[str, Any]:
    token = token_of(leads.SERVICE)
    try:
        with Client(day.portal, token) as gate:
            scores = leads.run(day.folder, gate, Desk(day.portal, token), everyone)
    except (GateError, CallError) as error:
        day.errors.append(f"scoring: {error}")
        return {}
    personal = sum(bool(each.used) for each in scores.values())
    print(f"{len(scores)} scored, {personal} of them by personal values")
    return scores


@contextmanager
def _reading(day: Day, everyone: Sequence[str]) -> Iterator[list[int]]:
    """A consumer that reads everybody by name again and again meanwhile: the rows of each read."""
    stop, reads = Event(), list[int]()

    def read() -> None:
        with Client(day.portal, token_of(leads.SERVICE)) as gate:
            while not stop.is_set():
                try:
                    with gate.named(SCENE, everyone, scoring.FIELDS) as rows:
                        reads.append(sum(1 for _ in rows))
                except GateError as error:
                    day.errors.append(f"a read during the withdrawals: {error}")

    consumer = Thread(target=read)
    consumer.start()
    try:
        yield reads
    finally:
        stop.set()
        consumer.join()
    if {*reads} != {len(everyone)}:
        day.errors.append(f"reads of {len(everyone)} customers had {sorted({*reads})} rows")


def _claims(day: Day, receipts: Sequence[Path], before: Sequence[str], facts: list[Any]) -> bool:
    after, leaving, early, approved = facts
    key = day.home / "public" / "consent.vkey"
    checked = {
        "no score of who withdrew rests on a personal value (the CRM's answers)": all(
            each in after and not after[each].used for each in leaving
        ),
        "everybody is still scored (the CRM's answers)": len(before) == len(after),
        "nothing left before a person approved it (the outbox)": early == 0 and approved > 0,
        "every approved draft left once, and nothing else (the outbox)": day.count("outbox")
        == approved,
        "0 errors seen by any consumer": not day.errors,
    }
    replay = day.sovereign("replay", "--data-dir", day.home)
    checked["every logged read is derived again (sovereign replay)"] = replay.returncode == 0
    verified = [day.sovereign("verify", each, "--key", key) for each in receipts]
    checked["every receipt of a withdrawal verifies (sovereign verify)"] = all(
        each.returncode == 0 for each in verified
    )
    for claim, held in checked.items():
        print(f"{'holds ' if held else 'BROKEN'}  {claim}")
    for each in (*day.errors, *(v.stderr for v in verified if v.returncode), replay.stderr):
        if each.strip():
            print(f"        {each.strip()[:300]}")
    return all(checked.values())


@contextmanager
def running(folder: Path, customers: int) -> Iterator[Day]:
    made = company.make(folder, customers)
    ports = [_free_port() for _ in range(2)]
    day = Day(folder, f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    day.home.mkdir()
    serve = ["portal.cli", "serve", "--data-dir", day.home, "--company", made, "--trial"]
    own = ["examples.crm", "serve", "--folder", folder]
    processes = []
    with (folder / "processes.log").open("ab") as log:
        for command, port in ((serve, ports[0]), (own, ports[1])):
            words = [sys.executable, "-m", *map(str, command), "--port", str(port)]
            processes.append(subprocess.Popen(words, stdout=log, stderr=log, env=os.environ))  # noqa: S603
        try:
            for each in (day.portal, day.crm):
                _wait(lambda: _answers(each), f"answer of {each}")  # noqa: B023 - called now
            yield day
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code in {200, 404}
    except httpx.TransportError:
        return False


def _wait(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {PATIENCE_S} s")
        time.sleep(0.1)


def _free_port() -> int:
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return found[1] if found else ""


def token_of(service: str) -> str:
    return f"demo-{service}"
