"""Customers who decide, and services that read, through nginx while the fleet is disturbed."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import httpx

from tests.deploy.fleet import GATE, LOGIN, Fleet
from tests.features.page import Page
from tests.features.served import RECEIPT, pause, wait_for

SCENE, SERVICE, FIELD = "recommendation", "recommender", "age"
PERSONAL = re.compile(r'"view":\s*"personal"')


@dataclass(slots=True)
class Deciding:
    """One customer at one browser, who allows and withdraws in turn; and a service that reads.

    An instruction is acknowledged when its page came back. It is repeated until it is.
    """

    browser: httpx.Client
    service: httpx.Client
    customer: str
    acknowledged: list[str] = field(default_factory=list)  # "allow" or "withdraw"
    read_after_receipt: int = 0
    wrong: list[str] = field(default_factory=list)
    rounds: int = 0
    unanswered: int = 0
    _over: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def begin(self) -> None:
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Finish the round that has begun."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                self.round()
        except Exception as error:  # noqa: BLE001 - the test that waits has to hear of it
            self.wrong.append(repr(error))

    def sign_in(self) -> None:
        answer = self.browser.post("/login", data={"customer": self.customer})
        assert answer.status_code == 303, answer.text

    def round(self) -> None:
        """Allow, read, withdraw, read."""
        self._instruct("allow")
        self._read(allowed=True)
        self._instruct("withdraw")
        self._read(allowed=False)
        self._read(allowed=False)
        self.rounds += 1

    def _instruct(self, wish: str) -> None:
        while not self._said(wish):
            pause(0.05)
        self.acknowledged.append(wish)

    def _said(self, wish: str) -> bool:
        address = f"/customer/scenes/{SCENE}/{wish}"
        try:
            shown = self.browser.get("/customer")
            if not self._is_answer(shown):
                return False
            fields = Page(200, shown.text).button(address).fields
            return self._is_answer(self.browser.post(address, data=fields))
        except httpx.TransportError:
            self.unanswered += 1
            return False

    def _is_answer(self, answer: httpx.Response) -> bool:
        """Whether the portal answered; whoever is sent to sign in was signed out."""
        if answer.status_code >= 500:
            self.unanswered += 1
            return False
        if "/login" in answer.headers.get("location", "") or "/logout" not in answer.text:
            place = answer.headers.get("location", "")
            if answer.status_code == 200 or "login" in place:
                self.wrong.append(f"signed out: {answer.status_code} {place}")
        return True

    def _read(self, *, allowed: bool) -> None:
        body = {"scene": SCENE, "customer": self.customer, "fields": [FIELD]}
        try:
            answer = self.service.post("/v1/read", json=body)
        except httpx.TransportError:
            self.unanswered += 1
            return
        if answer.status_code == 503 or answer.status_code == 502:  # noqa: PLR1714 - HTTP
            self.unanswered += 1
            return
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text}")
        elif bool(PERSONAL.search(answer.text)) is not allowed:
            self.wrong.append(f"allowed {allowed}: {answer.text}")
        self.read_after_receipt += not allowed


@contextmanager
def deciding(fleet: Fleet, customer: str) -> Iterator[Deciding]:
    """Let a customer decide and a service read until the context ends."""
    with ExitStack() as clients:
        browser = clients.enter_context(fleet.client(LOGIN))
        bearer = {"Authorization": f"Bearer demo-{SERVICE}", "Accept": "application/json"}
        service = clients.enter_context(fleet.client(GATE, **bearer))
        load = Deciding(browser, service, customer)
        load.sign_in()

        load.begin()
        try:
            yield load
        finally:
            load.end()


def another_round(load: Deciding) -> None:
    """Wait until an instruction was acknowledged that began after this call."""
    before = load.rounds
    wait_for(lambda: load.wrong or load.rounds >= before + 2, "further round")
    assert load.wrong == []


def recorded(load: Deciding) -> int:
    """The number of the customer's instructions that the portal shows."""
    found, number = set[str](), 0
    while True:
        number += 1
        shown = load.browser.get("/customer/history", params={"page": number}).text
        if found.issuperset(rows := RECEIPT.findall(shown)):
            return len(found)
        found.update(rows)
