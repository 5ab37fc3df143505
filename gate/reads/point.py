"""Enforces decisions on reads of one customer: decide, fetch or synthesise, log, answer.

gather   the plan, and the customer's consent bits, caught up with the ledger
decide   pure functions: gate.decision.decide, gate.decision.eligibility
apply    fetch personal values only for fields that the decision allows; write the read-log entry
         and make it durable; only then return the answer
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Protocol

from gate.contracts.scene import Population, ReadShape, Scene, statistics
from gate.decision import purpose
from gate.decision.alert import Alarm, log
from gate.decision.decide import Decision, Reason, decide, refusal
from gate.decision.eligibility import Cohort
from gate.decision.eligibility_cache import Cohorts
from gate.decision.quota import Quotas
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy
from gate.policy.compiled import Plan, compile_plan
from gate.policy.decisions import DecisionPolicy
from gate.readlog.entry import Moment, Question, WrittenDecision, moment
from gate.readlog.writer import Journal
from gate.reads import releases
from gate.reads.completion import Completions
from gate.reads.evaluations import written_decisions
from gate.reads.releases import NOTHING, Served, Synthesiser
from gate.reads.request import Answer, DecidedRead, ReadRequest, StaleStateError
from gate.reads.sources.interface import RowSource
from gate.reads.values import ValueReader
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.customer_numbers import CustomerNumbers
from gate.state.followed import ErasureLog
from gate.state.ledger_position import ConsentPoint
from ledger import clock

MAX_BEHIND = 64  # entries that are applied on an event loop: at most a few milliseconds


class LedgerView(ErasureLog, Protocol):
    """What the gate needs of the consent ledger."""

    def root(self) -> tuple[int, str]:
        """Size and base64 root of the current checkpoint."""
        ...


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Settings of a gate.

    `known_by`: columns whose values are masked in free text. `crosscheck_every`: one answer in so
    many, on average, is checked against full Cedar. `clock_doubt`: why the clock is not believed;
    while it is not, every scene is suspended. `asks_server`: the ledger's size, the vault or the
    read log are in a database server, so a decision may have to wait for it. `decisions`: the
    company's policy about resources that are no customer's data. `may_ask_for`: the types of
    subjects for which a service may ask by it. `active_decisions`: the digest of the policy that
    is active in the data directory, or nothing; None: this gate shares it with no other process.
    """

    known_by: tuple[str, ...] = ()
    quotas: Quotas = field(default_factory=Quotas)
    alarm: Alarm = log
    crosscheck_every: int = 1000
    clock_doubt: Callable[[], str | None] = clock.doubt
    asks_server: bool = False
    decisions: DecisionPolicy | None = None
    active_decisions: Callable[[], str] | None = None
    may_ask_for: Mapping[str, frozenset[str]] = field(default_factory=dict)
    default_scenes: Mapping[str, str] = field(default_factory=dict)  # by service

    def decisions_suspended(self) -> bool:
        """Whether another process began with another decision policy: this gate uses its own no
        more until it starts again."""
        own = "" if self.decisions is None else self.decisions.digest
        return self.active_decisions is not None and self.active_decisions() != own


class Gate:
    """Enforcement point: every read of personal data goes through a `Gate`.

    Thread-safe. Fails closed: after any error no data is returned. Build it with
    `gate.factory.build`, which explains the arguments.
    """

    def __init__(  # noqa: PLR0913 - see gate.factory.build
        self,
        ledger: LedgerView,
        source: RowSource,
        scenes: Mapping[str, Scene],
        journal: Journal,
        organisation: CedarPolicy,
        key: bytes,
        *,
        state: ConsentIndex | None,
        options: GateOptions,
    ) -> None:
        self.scenes = scenes
        self.journal = journal
        self.source = source
        self._ledger = ledger
        self.policy = organisation
        # Scenes in which everything is refused: see gate.reads.crosscheck.
        self.suspended: set[str] = set()
        self._key = key
        self._lock = Lock()
        self._state = state or ConsentIndex(scenes)
        self._point = ConsentPoint(0, "")
        self._cohorts = Cohorts()
        self.numbers = CustomerNumbers(journal.numbers)
        self._now: Moment | None = None
        self._served: dict[str, Served] = {}
        self.completions = Completions()
        self._plans: dict[tuple[str, str], Plan] = {}
        self.options = options

    def serve(self, scene: str, *more: Synthesiser) -> None:
        """Add releases to `scene`; the last one answers where personal data may not be read.

        `more` is in log order and follows the releases that are served already.
        """
        with self._lock:
            self._serve(scene, *more)
            if self.scenes[scene].counts_everybody:
                for each in self.scenes.values():
                    if each.population is Population.NOT_OBJECTING:
                        self._serve(each.id)
            self._plans.clear()

    def _serve(self, scene: str, *more: Synthesiser) -> None:
        counting = statistics(self.scenes)
        counted = self.served(counting.id).last if counting else None
        self._served[scene] = self.served(scene).after(self.scenes[scene], more, counted)

    def continue_in(self, journal: Journal) -> None:
        """Write the next entries to another journal, which follows the present one."""
        self.journal = journal

    def suspend(self, scene: str) -> None:
        """Refuse everything in the scene until the gate is restarted."""
        with self._lock:
            self.suspended.add(scene)
            self._plans.clear()

    def served(self, scene: str) -> Served:
        return self._served.get(scene, NOTHING)

    def release(self, scene: str) -> Synthesiser | None:
        return self.served(scene).last

    def decide(self, request: ReadRequest) -> Decision:
        """The decision only: reads no data and logs nothing. Raises StaleStateError."""
        return self._decide(request, self.plan(request.service, request.scene))[0]

    def decide_all(self, requests: Sequence[ReadRequest]) -> list[Decision]:
        """The decisions only, all at the current ledger size, which is read once for the batch.

        Raises StaleStateError.
        """
        reached = self._ledger.size
        plans = [self.plan(each.service, each.scene) for each in requests]
        return [self._decide(*each, reached)[0] for each in zip(requests, plans, strict=True)]

    def decide_in_writing(self, asked: Sequence[Question], at: datetime) -> list[WrittenDecision]:
        """Decisions with the JSON of their read-log entries, all at one ledger size.

        In the order of the questions and of their subjects. The caller must make their entries
        durable before it answers anybody. Raises StaleStateError.
        """
        plans = [self.plan(each.service, each.scene) for each in asked]
        admitted = [self._admitted(*each, at) for each in zip(asked, plans, strict=True)]
        return self._written(asked, plans, admitted, at)

    def decide_again(self, asked: Sequence[Question], at: datetime) -> list[WrittenDecision]:
        """The same for questions that quotas have admitted already."""
        plans = [self.plan(each.service, each.scene) for each in asked]
        return self._written(asked, plans, [len(each.subjects) for each in asked], at)

    def _written(
        self,
        asked: Sequence[Question],
        plans: Sequence[Plan | None],
        admitted: Sequence[int],
        at: datetime,
    ) -> list[WrittenDecision]:
        minimum = max([each.minimum_size for each in asked], default=0)
        reached = self._ledger.size  # before the lock: one query serves all waiting threads
        decisions: list[WrittenDecision] = []
        with self._lock:
            state, point = self._reach(reached, minimum)
            now = self._moment(int(at.timestamp()), point)
            for each, plan, number in zip(asked, plans, admitted, strict=True):
                lookup = state.bits_and_entry
                if plan is not None and state.unsaid(each.scene):
                    lookup = partial(self.consent, state)
                decisions += written_decisions(lookup, state, now, each, plan, number)
        return decisions

    def _admitted(self, asked: Question, plan: Plan | None, at: datetime) -> int:
        """About how many of the customers the service may ask, by its quota.

        What contract and policy refuse is not counted.
        """
        if (
            plan is None
            or refusal(plan, asked.fields)
            or ReadShape.EVALUATE not in plan.scene.shapes
        ):
            return len(asked.subjects)
        quotas, number = self.options.quotas, len(asked.subjects)
        return quotas.admits_points(asked.service, asked.scene, at, number)

    def _moment(self, second: int, point: ConsentPoint) -> Moment:
        """The JSON beginning that all entries of one second share; cached."""
        if self._now is None or self._now.second != second or self._now.point is not point:
            self._now = moment(second, point)
        return self._now

    def read(self, request: ReadRequest) -> Answer:
        """One customer's fields, each personal, generalised, synthetic or withheld.

        Raises StaleStateError. If the source is down, personal fields are withheld.
        """
        return self.read_all([request])[0]

    def read_all(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        """The same for several requests, whose reads share the ledger's size, the queries of the
        source and a commit. Raises StaleStateError for all of them.
        """
        reached = self._ledger.size  # before the lock: one query serves all waiting threads
        decided = [self._decided(each, reached) for each in requests]
        reader = ValueReader(
            self.source, self.journal, self.options.known_by, self.served, self._key
        )
        answered = reader.answered(decided)
        lines = [each.read.entry for each in answered]
        journal = self.journal
        subjects = (each.subject for each in requests)
        first = journal.record_all([*zip(lines, subjects, strict=True)]).start
        # Durable from here on: the answers may leave.
        origin = journal.log.origin
        return [
            Answer(
                *(each.read.decision, each.values, each.read.decision.views, line.release),
                *(entry, origin, journal.logged(entry)),
            )
            for entry, (each, line) in enumerate(zip(answered, lines, strict=True), first)
        ]

    def _decided(self, request: ReadRequest, reached: int) -> DecidedRead:
        plan = self.plan(request.service, request.scene)
        decision, point = self._decide(request, plan, reached)
        if plan is not None and not decision.refused and (bar := self._bar(request, plan)):
            decision = Decision(False, {}, bar, None, point.size)
        return DecidedRead(request, plan, decision, point)

    def consenting(self, scene: str, fields: Sequence[str], at: datetime) -> list[str]:
        """The customers who grant all of `fields` in the scene at `at`.

        A release may be fitted on these customers only. Raises KeyError for an unknown scene.
        """
        contract = self.scenes[scene]
        plan = compile_plan("", contract, offered=(), release=None)
        with self._lock:
            state, _ = self.current(0)
            members = self.members(plan, plan.mask(tuple(fields)) or 0, at)
            selection = state.subjects.selected(members)
        return selection.names()

    def members(self, plan: Plan, wanted: int, at: datetime) -> Cohort:
        """By row of the current state, whether all fields `wanted` (bits) may be read.

        The caller holds `lock` and does not modify the result.
        """
        return self._cohorts.readable(self._state, plan, wanted, consent_bits.minute(at))

    def plan(self, service: str, scene: str) -> Plan | None:
        """The compiled contract and policy for a service in a scene; None for an unknown scene."""
        contract = self.scenes.get(scene)
        if contract is None:
            return None
        doubted = self.options.clock_doubt() is not None
        plan = None if doubted else self._plans.get((service, scene))
        if plan is None:
            served, stopped = self.served(scene), doubted or scene in self.suspended
            plan = compile_plan(
                service,
                contract,
                offered=() if stopped else cedar.offered(self.policy, contract, service),
                release=served.last.id if served.last else None,
                anchor=served.anchor.id if served.anchor else None,
                policy=self.policy.digest,
                lacking=releases.lacking(contract, served.last),
            )
            plan = replace(plan, suspended=stopped)
            if doubted:
                return plan
            if plan.offered:  # unknown services must not fill the cache with made-up names
                self._plans[service, scene] = plan
            # `suspend` or `serve` may have run while the plan was compiled.
            if (scene in self.suspended, self.served(scene)) != (stopped, served):
                self._plans.pop((service, scene), None)
                return self.plan(service, scene)
        return plan

    def consent(self, state: ConsentIndex, scene: str, subject: str) -> tuple[int, int | None]:
        """A customer's consent bits in a scene, and the entry that last changed them.

        Under legitimate interest silence allows a read, but only of a customer: of an id without a
        data key nothing may be read, nor of an id that was erased, and with everything else any
        objection of its owner. The caller holds `lock`.
        """
        bits, index = state.bits_and_entry(scene, subject)
        if index is None and bits and state.unsaid(scene) and not self.journal.has_tags(subject):
            return 0, None
        return bits, index

    def returned(self, subjects: Sequence[str]) -> list[int]:
        """The places of the ids that were erased: whoever has them now is not silent."""
        state = self._state
        return [place for place, each in enumerate(subjects) if state.returned(each)]

    def subjects(self) -> list[str]:
        """All customers with an instruction in the ledger, in the order of their first one."""
        with self._lock:
            return [each for each in self.current(0)[0].subjects if each]

    def decides_at_once(self) -> bool:
        """Whether a decision waits for nobody and applies few ledger entries, so that an event loop
        may take it.
        """
        return not self._lock.locked() and self._ledger.size - self._point.size <= MAX_BEHIND

    @property
    def applied(self) -> int:
        """How many ledger entries the consent state has. What a decision lacks it applies first."""
        return self._point.size

    def catch_up(self) -> int:
        """Apply all new ledger entries and return the size reached. Reads do this themselves."""
        reached = self._ledger.size  # before the lock, which no query may hold
        with self._lock:
            return self._reach(reached, 0)[1].size

    def current(self, minimum_size: int) -> tuple[ConsentIndex, ConsentPoint]:
        """The consent state, caught up with the ledger, and the ledger size and root it is at.

        The caller holds `lock`. Raises StaleStateError.
        """
        return self._reach(self._ledger.size, minimum_size)

    def _reach(self, reached: int, minimum_size: int) -> tuple[ConsentIndex, ConsentPoint]:
        """The state after at least `reached` entries of the ledger."""
        while self._point.size < reached or not self._point.root:
            self._state.keep_up(self._ledger)
            size, root = self._ledger.root()
            if size == self._state.size:  # otherwise the ledger grew in between: try again
                self._point = ConsentPoint(size, root)
        if self._point.size < minimum_size:
            raise StaleStateError(
                f"the ledger has {self._point.size} entries, want at least {minimum_size}; "
                "retry later, or check that the size belongs to this ledger"
            )
        return self._state, self._point

    @property
    def key(self) -> bytes:
        """The key that synthetic values about one customer depend on."""
        return self._key

    @property
    def lock(self) -> Lock:
        return self._lock

    def _decide(
        self, request: ReadRequest, plan: Plan | None, reached: int | None = None
    ) -> tuple[Decision, ConsentPoint]:
        if reached is None:  # before the lock: one query serves all waiting threads
            reached = self._ledger.size
        with self._lock:
            state, point = self._reach(reached, request.minimum_size)
            if plan is None:
                return Decision(False, {}, Reason.UNKNOWN_SCENE, None, point.size), point
            consent, index = self.consent(state, request.scene, request.subject)
            minute = consent_bits.minute(request.at)
            stale = state.stale(request.scene, minute) if consent & consent_bits.ALL_ARMED else 0
        decision = decide(
            plan, request.fields, consent, minute, index=index, size=point.size, stale=stale
        )
        return decision, point

    def _bar(self, request: ReadRequest, plan: Plan) -> Reason | None:
        """Why a read that contract and policy allow is refused nevertheless; None if it is not."""
        if ReadShape.POINT not in plan.scene.shapes:
            return Reason.SHAPE_OUTSIDE_SCENE
        if not purpose.agrees(request.purpose, plan.scene):
            return Reason.PURPOSE_DIFFERS
        admitted = self.options.quotas.admits_point(request.service, request.scene, request.at)
        return None if admitted else Reason.QUOTA_EXCEEDED
