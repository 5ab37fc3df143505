"""The stores and services behind the steward's desk, one instance per application.

home/steward.sqlite      cases and notices: steward.cases.case, steward.notify.outbox
home/register.sqlite     reviews, explanations, reminders, searches: steward.oversight.register
home/health.sqlite       history of contract checks and of agreements' health:
                         steward.contracts.health, steward.agreements.trend
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from threading import Lock

from gate.reads.request import ReadRequest
from gate.state import consent_bits
from ledger.events.envelope import Instruction
from ledger.verify.read_log_rules import ReadLogFacts
from portal.auth.session import STEWARD, Sessions
from portal.operations.wiring import Product
from portal.storage.sessions import SessionTable
from steward.agreements import health
from steward.agreements.health import Advice, AgreementHealth, Freshness, HealthReport, Thresholds
from steward.agreements.running_health import RunningHealth
from steward.agreements.trend import Trend
from steward.cases.case import Cases
from steward.cases.case_queue import CaseQueue
from steward.contracts import health as contract_health
from steward.contracts import source_probe
from steward.contracts.health import ContractAlert, ContractHealth
from steward.language import stewardship
from steward.notify.outbox import Outbox
from steward.oversight import risk
from steward.oversight.model_signals import Signals
from steward.oversight.register import Register, UnsealableError
from steward.oversight.review import Reviews

SEARCHED = "searched"
OF_A_CASE = "case"
GROUNDS = ("request", "complaint", OF_A_CASE, "audit")  # permitted reasons for a search
OFFICER = "data-protection-officer"
ROLES = ("account-manager", OFFICER)


@dataclass(frozen=True, slots=True)
class Agreements:
    """The health of all agreements together."""

    customers: int
    total: HealthReport
    advised: Mapping[Advice, int]
    limits: Thresholds


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search for one customer. `name`: as the gate answered it."""

    subject: str
    name: str | None
    report: HealthReport
    advice: tuple[Advice, ...]
    searches: int  # how often they were searched for, this time included


class Office:
    """The desk's stores. Thread-safe. Each is opened when first needed."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self._lock = Lock()
        self._running: tuple[object, RunningHealth] | None = None
        self._seen = 0

    @cached_property
    def sessions(self) -> Sessions:
        """The sessions of stewards; customers have their own."""
        table = SessionTable(self.product.home)
        return Sessions(table, STEWARD, self.product.settings.session)

    def read_logs_without_end(self) -> list[tuple[str, ReadLogFacts]]:
        """The read logs of which nobody knows whether entries follow, by their name."""
        return [*self.product.read_log_acts.without_end(self.product.home)]

    @cached_property
    def register(self) -> Register:
        return self.product.register()

    @cached_property
    def reviews(self) -> Reviews:
        return Reviews(self.register, risk.load(own=stewardship.load(self.product.company)))

    @cached_property
    def contracts(self) -> ContractHealth:
        return ContractHealth(self.product.home, self.product.scenes)

    @cached_property
    def trend(self) -> Trend:
        return Trend(self.product.home)

    @cached_property
    def signals(self) -> Signals:
        return Signals(self.product.ledger)

    @cached_property
    def cases(self) -> Cases:
        return Cases(self.product.home)

    @cached_property
    def queue(self) -> CaseQueue:
        return CaseQueue(self.product.home)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.product.home)

    @cached_property
    def limits(self) -> Thresholds:
        return health.thresholds()

    def check(self, at: datetime) -> list[ContractAlert]:
        """Check the source against every contract, and record the health of all agreements.

        Returns the alerts raised for the first time. Raises SourceUnavailableError, RunOrderError.
        """
        product = self.product
        facts = source_probe.observe(product.tables, product.source)
        checks = contract_health.checks(product.scenes, product.source, facts, at)
        alerts = self.contracts.record(checks, at)
        together = self.agreements(at)
        self.trend.note(together.customers, together.total, at)
        return alerts

    def agreements(self, at: datetime) -> Agreements:
        """The aggregate health, updated incrementally from one call to the next."""
        gate, minute = self.product.gate, consent_bits.minute(at)
        measure, key = self._measure()
        with self._lock, gate.lock:
            state, _ = gate.current(0)
            if self._running is None or self._running[0] != key:
                running = RunningHealth(measure, self.limits, state, minute)
            else:
                running = self._running[1]
                running.follow(self.product.ledger.follow(self._seen), state, minute)
            self._running, self._seen = (key, running), state.size
            return Agreements(len(running), running.total(), running.advised(), self.limits)

    def search(
        self, subject: str, by: str, ground: str, reason: str, at: datetime
    ) -> SearchResult | None:
        """Search for one customer. The search is logged before any data is read.

        None for a customer without an instruction, whether they exist or not. The name is read
        through the gate, so the customer sees that read in their read log; None if the company has
        no role for it.
        """
        if not self._log(subject, by, ground, reason, at) or not self._agreed(subject):
            return None
        gate, (measure, _) = self.product.gate, self._measure()
        with gate.lock:
            state, _point = gate.current(0)
            report = measure.report(state, subject, consent_bits.minute(at))
        name = None
        if (use := self.product.company.roles.desk) is not None:
            asked = ReadRequest(use.service, use.scene, subject, (use.item,), at)
            name = gate.read(asked).values.get(use.item)
        searches = len(self.register.of(subject, SEARCHED))
        return SearchResult(subject, name, report, report.advice(self.limits), searches)

    def open_customer(
        self, case: int, entry: int, by: str, reason: str, at: datetime
    ) -> SearchResult | None:
        """Search for the customer whose instruction at `entry` is part of a case, as `search`.

        None also for a customer who was erased. Raises UnknownCaseError.
        """
        self.queue.require_entry(case, entry)
        why, subject = f"case {case}: {reason}", self._giver(entry)
        if subject is not None:
            return self.search(subject, by, OF_A_CASE, why, at)
        with self.register.writing() as writing:
            writing.append(SEARCHED, None, {"by": by, "ground": OF_A_CASE}, None, at)
        return None

    def _giver(self, entry: int) -> str | None:
        """The customer whose instruction an entry is; None after their erasure."""
        recorded = next(iter(self.product.ledger.follow(entry)), None)
        if recorded is None or recorded.index != entry:
            return None
        return recorded.event.subject if isinstance(recorded.event, Instruction) else None

    def _log(self, subject: str, by: str, ground: str, reason: str, at: datetime) -> bool:
        """Log the search; False if the customer has no key (then it is logged without them)."""
        shown = {"by": by, "ground": ground}
        try:
            with self.register.writing() as writing:
                writing.append(SEARCHED, subject, shown, {"reason": reason}, at)
        except UnsealableError:
            with self.register.writing() as writing:
                writing.append(SEARCHED, None, shown, None, at)
            return False
        return True

    def _agreed(self, subject: str) -> bool:
        """Whether the customer ever gave an instruction."""
        return bool(self.product.ledger.history(subject))

    def _measure(self) -> tuple[AgreementHealth, object]:
        """The present measure of agreements' health, and the inputs it was made from."""
        product = self.product
        released = {name for name in product.scenes if product.gate.release(name) is not None}
        freshness: Freshness = self.contracts.freshness()
        measure = AgreementHealth(product.scenes, released, freshness)
        return measure, (released, freshness)
