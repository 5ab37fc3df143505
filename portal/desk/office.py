"""What the steward's desk works with, put together once per application.

home/steward.sqlite      cases and notices (steward.cases.case, steward.notify.outbox)
home/register.sqlite     reviews, explained decisions, reminders, searches
(steward.oversight.register) home/health.sqlite       the history of contract checks
(steward.contracts.health), steward.agreements.trend
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from threading import Lock

from gate.reads.point import ReadRequest
from gate.state import consent_bits
from portal.auth.session import Sessions
from portal.operations.wiring import Product
from steward.agreements import health
from steward.agreements.health import Advice, AgreementHealth, Freshness, HealthReport, Thresholds
from steward.agreements.running_health import RunningHealth
from steward.agreements.trend import Trend
from steward.cases.case import Cases
from steward.contracts import health as contract_health
from steward.contracts import source_probe
from steward.contracts.health import ContractAlert, ContractHealth
from steward.notify.outbox import Outbox
from steward.oversight import risk
from steward.oversight.model_signals import Signals
from steward.oversight.register import Register, UnsealableError
from steward.oversight.review import Reviews

SEARCHED = "searched"
NAME_SCENE, NAME_SERVICE = "contract-service", "customer-care"  # as whom a name is read
GROUNDS = ("request", "complaint", "case", "audit")  # why anybody may look a customer up
OFFICER = "data-protection-officer"
ROLES = ("account-manager", OFFICER)


@dataclass(frozen=True, slots=True)
class Agreements:
    """All agreements together."""

    customers: int
    total: HealthReport
    advised: Mapping[Advice, int]
    limits: Thresholds


@dataclass(frozen=True, slots=True)
class Found:
    """One customer, as the desk shows them after a search. `name`: as the gate answered it."""

    subject: str
    name: str | None
    report: HealthReport
    advice: tuple[Advice, ...]
    searches: int  # how often they were looked up, this time included


class Office:
    """Thread-safe. Nothing is opened before it is needed."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.sessions = Sessions()  # of stewards; customers have their own
        self._lock = Lock()
        self._running: tuple[object, RunningHealth] | None = None
        self._seen = 0

    @cached_property
    def register(self) -> Register:
        return self.product.register()

    @cached_property
    def reviews(self) -> Reviews:
        return Reviews(self.register, risk.load())

    @cached_property
    def contracts(self) -> ContractHealth:
        return ContractHealth(self.product.home / "health.sqlite", self.product.scenes)

    @cached_property
    def trend(self) -> Trend:
        return Trend(self.product.home / "health.sqlite")

    @cached_property
    def signals(self) -> Signals:
        return Signals(self.product.ledger)

    @cached_property
    def cases(self) -> Cases:
        return Cases(self.product.home)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.product.home)

    @cached_property
    def limits(self) -> Thresholds:
        return health.thresholds()

    def check(self, at: datetime) -> list[ContractAlert]:
        """Hold the source against every contract now, and note the health of all agreements; the
        alerts that this raises for the first time. Raises SourceUnavailableError, RunOrderError."""
        product = self.product
        facts = source_probe.observe(product.tables, product.source)
        found = contract_health.checks(product.scenes, product.source, facts, at)
        alerts = self.contracts.record(found, at)
        together = self.agreements(at)
        self.trend.note(together.customers, together.total, at)
        return alerts

    def agreements(self, at: datetime) -> Agreements:
        """The aggregate, kept up to date from one call to the next."""
        gate, minute = self.product.gate, consent_bits.minute(at)
        yardstick, key = self._yardstick()
        with self._lock, gate.lock:
            state, _ = gate.current(0)
            if self._running is None or self._running[0] != key:
                running = RunningHealth(yardstick, self.limits, state, minute)
            else:
                running = self._running[1]
                running.follow(self.product.ledger.follow(self._seen), state, minute)
            self._running, self._seen = (key, running), state.size
            return Agreements(len(running), running.total(), running.advised(), self.limits)

    def search(self, subject: str, by: str, ground: str, reason: str, at: datetime) -> Found | None:
        """Look one customer up. The search is logged before anything is looked at.

        None for somebody who never said anything: it says the same whether there is such a
        customer. The name is read through the gate, and so journalled for the customer too.
        """
        if not self._log(subject, by, ground, reason, at):
            return None
        gate, (yardstick, _) = self.product.gate, self._yardstick()
        with gate.lock:
            state, _point = gate.current(0)
            report = yardstick.report(state, subject, consent_bits.minute(at))
        asked = ReadRequest(NAME_SERVICE, NAME_SCENE, subject, ("name",), at)
        name = gate.read(asked).values.get("name")
        searches = len(self.register.of(subject, SEARCHED))
        return Found(subject, name, report, report.advice(self.limits), searches)

    def _log(self, subject: str, by: str, ground: str, reason: str, at: datetime) -> bool:
        """Whether the customer has a key to log under; without one the search is logged alone."""
        shown = {"by": by, "ground": ground}
        try:
            with self.register.writing() as writing:
                writing.append(SEARCHED, subject, shown, {"reason": reason}, at)
        except UnsealableError:
            with self.register.writing() as writing:
                writing.append(SEARCHED, None, shown, None, at)
            return False
        return True

    def _yardstick(self) -> tuple[AgreementHealth, object]:
        """The yardstick of now, and what it was made from."""
        product = self.product
        released = {name for name in product.scenes if product.gate.release(name) is not None}
        freshness: Freshness = self.contracts.freshness()
        yardstick = AgreementHealth(product.scenes, released, freshness)
        return yardstick, (released, freshness)
