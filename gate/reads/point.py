"""Enforces decisions on reads of one customer: decide, fetch or synthesise, log, answer.

gather   the plan, and the customer's consent bits, caught up with the ledger
decide   pure functions: gate.decision.decide, gate.decision.eligibility
apply    fetch personal values only for fields that the decision allows; write the read-log entry
         and make it durable; only then return the answer
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any, Protocol

from gate.contracts.scene import Scene
from gate.decision import purpose
from gate.decision.alert import Alarm, log
from gate.decision.decide import REFUSED, Decision, Reason, View, decide, verdict
from gate.decision.eligibility import Cohort
from gate.decision.eligibility_cache import Cohorts
from gate.decision.quota import Quotas
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy
from gate.policy.compiled import Plan, compile_plan
from gate.readlog.entry import EntryText, Moment, Question, WrittenDecision, moment, worded, wording
from gate.readlog.writer import Journal, ReadLogEntry
from gate.reads import masking
from gate.reads.completion import Completions
from gate.reads.releases import NOTHING, Served, Synthesiser
from gate.reads.sources.interface import UNREADABLE, RowSource, SourceUnavailableError
from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex, ErasureLog
from gate.state.ledger_position import ConsentPoint

MAX_BEHIND = 64  # entries that are applied on an event loop: at most a few milliseconds


class StaleStateError(Exception):
    """The ledger is smaller than the size the caller requires. Nothing was read."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A request for one customer's `fields` in one scene.

    `minimum_size`: the smallest ledger size the answer may rest on, e.g. that of a receipt that the
    caller has seen.
    """

    service: str
    scene: str
    subject: str
    fields: tuple[str, ...]
    at: datetime
    minimum_size: int = 0
    purpose: str | None = None  # DPV term the caller states; must equal the contract's


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a `ReadRequest`.

    Every requested field has a value (None if withheld) and a view; a refused request has neither.
    """

    decision: Decision
    values: Mapping[str, Any]
    views: Mapping[str, View]
    release: str | None  # id of the release that the synthetic values come from
    entry: int  # index of the answer's entry in the read log
    read_log: str  # origin of the read log


class LedgerView(ErasureLog, Protocol):
    """What the gate needs of the consent ledger."""

    def root(self) -> tuple[int, str]:
        """Size and base64 root of the current checkpoint."""
        ...


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Settings of a gate.

    `known_by`: columns whose values are masked in free text. `crosscheck_every`: one answer in so
    many, on average, is checked against full Cedar.
    """

    known_by: tuple[str, ...] = ()
    quotas: Quotas = field(default_factory=Quotas)
    alarm: Alarm = log
    crosscheck_every: int = 1000


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
            self._served[scene] = self.served(scene).after(self.scenes[scene], more)
            self._plans.clear()

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
        minimum = max([each.minimum_size for each in asked], default=0)
        plans = [self.plan(each.service, each.scene) for each in asked]
        reached = self._ledger.size  # before the lock: one query serves all waiting threads
        decisions: list[WrittenDecision] = []
        with self._lock:
            state, point = self._reach(reached, minimum)
            now = self._moment(int(at.timestamp()), point)
            for each, plan in zip(asked, plans, strict=True):
                decisions += _ruled(state, now, each, plan)
        return decisions

    def _moment(self, second: int, point: ConsentPoint) -> Moment:
        """The JSON beginning that all entries of one second share; cached."""
        if self._now is None or self._now.second != second or self._now.point is not point:
            self._now = moment(second, point)
        return self._now

    def read(self, request: ReadRequest) -> Answer:
        """One customer's fields, each personal, generalised, synthetic or withheld.

        Raises StaleStateError. If the source is down, personal fields are withheld.
        """
        plan = self.plan(request.service, request.scene)
        decision, point = self._decide(request, plan)
        if plan is not None and not decision.refused and (bar := self._bar(request, plan)):
            decision = Decision(False, {}, bar, None, point.size)
        values: Mapping[str, Any] = {}
        if plan is not None and not decision.refused:
            try:
                values, after = self._values(request, plan, decision)
            except SourceUnavailableError:
                decision = _without_source(decision)
                values, after = self._values(request, plan, decision)
            complete = View.WITHHELD not in after.views.values()
            decision = after if complete else replace(after, allowed=False)
        logged = _log_entry(request, "read", plan, decision, point)
        entry = self.journal.record(logged, request.subject)
        # Durable from here on: the answer may leave.
        origin = self.journal.log.origin
        return Answer(decision, values, decision.views, logged.release, entry, origin)

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
        plan = self._plans.get((service, scene))
        if plan is None:
            served, stopped = self.served(scene), scene in self.suspended
            plan = compile_plan(
                service,
                contract,
                offered=() if stopped else cedar.offered(self.policy, contract, service),
                release=served.last.id if served.last else None,
                anchor=served.anchor.id if served.anchor else None,
                policy=self.policy.digest,
                suspended=stopped,
            )
            if plan.offered:  # unknown services must not fill the cache with made-up names
                self._plans[service, scene] = plan
            # `suspend` or `serve` may have run while the plan was compiled.
            if (scene in self.suspended, self.served(scene)) != (stopped, served):
                self._plans.pop((service, scene), None)
                return self.plan(service, scene)
        return plan

    def subjects(self) -> list[str]:
        """All customers with an instruction in the ledger, in the order of their first one."""
        with self._lock:
            return [each for each in self.current(0)[0].subjects if each]

    def decides_at_once(self) -> bool:
        """Whether a decision waits for nobody and applies few ledger entries, so that an event loop
        may take it.
        """
        return not self._lock.locked() and self._ledger.size - self._point.size <= MAX_BEHIND

    def catch_up(self) -> int:
        """Apply all new ledger entries and return the size reached. Reads do this themselves."""
        with self._lock:
            return self.current(0)[1].size

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
            consent, index = state.bits_and_entry(request.scene, request.subject)
            minute = consent_bits.minute(request.at)
            stale = state.stale(request.scene, minute) if consent & consent_bits.ARMED else 0
        decision = decide(
            plan, request.fields, consent, minute, index=index, size=point.size, stale=stale
        )
        return decision, point

    def _bar(self, request: ReadRequest, plan: Plan) -> Reason | None:
        """Why a read that contract and policy allow is refused nevertheless; None if it is not."""
        if not purpose.agrees(request.purpose, plan.scene):
            return Reason.PURPOSE_DIFFERS
        admitted = self.options.quotas.admits_point(request.service, request.scene, request.at)
        return None if admitted else Reason.QUOTA_EXCEEDED

    def _values(
        self, request: ReadRequest, plan: Plan, decision: Decision
    ) -> tuple[dict[str, Any], Decision]:
        """The values, and the decision with the views that the source could give."""
        views = dict(decision.views)
        columns = _columns(plan, views)
        free = [name for name in columns if plan.scene.fields[name].item.free_text]
        wanted = dict.fromkeys([*columns.values(), *(self.options.known_by if free else ())])
        row = self.source.row(request.subject, [*wanted]) if columns else {}
        unreadable = {name for name, value in (row or {}).items() if value is UNREADABLE}
        row = row and {name: None if name in unreadable else row[name] for name in row}
        views |= {f: View.WITHHELD for f, column in columns.items() if column in unreadable}
        row = masking.row(row, free, self.options.known_by) if row and free else row
        if row is None:  # the customer has a grant but no row in the source
            views |= dict.fromkeys(columns, View.WITHHELD)
            row = {}
        values = {field: row.get(columns.get(field, field)) for field in request.fields}
        values |= self._surrogates(request, plan, views, values)
        after = replace(decision, views=views)
        return values, _without_values(after) if unreadable else after

    def _surrogates(
        self,
        request: ReadRequest,
        plan: Plan,
        views: Mapping[str, View],
        values: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Synthetic values for fields that may not be read, conditioned on the personal ones."""
        import pyarrow as pa

        fields = [field for field, view in views.items() if view is View.SYNTHETIC]
        release = self.served(request.scene).by_id(plan.release) if fields else None
        if release is None:
            return {}
        shown = {
            field: [values[field]]
            for field, view in views.items()
            if view is View.PERSONAL and plan.scene.fields[field].item.domain is not None
        }
        drawn = release.conditional(fields, pa.table(shown), self._key, [request.subject])
        return dict(drawn.to_pylist()[0])


def _ruled(
    state: ConsentIndex, now: Moment, asked: Question, plan: Plan | None
) -> Iterator[WrittenDecision]:
    scene, lookup = asked.scene, state.bits_and_entry
    known: dict[int, EntryText] = {}  # by consent bits: nothing else differs among the subjects
    for customer in asked.subjects:
        consent, index = lookup(scene, customer) if plan is not None else _NOTHING
        if (text := known.get(consent)) is None:
            text = known[consent] = _worded(state, now, asked, plan, consent)
        yield WrittenDecision(now, text, index if text.rests else None, customer)


def _worded(
    state: ConsentIndex, now: Moment, asked: Question, plan: Plan | None, consent: int
) -> EntryText:
    scene, fields = asked.scene, asked.fields
    if plan is None:
        return worded(asked.service, scene, None, fields, REFUSED[Reason.UNKNOWN_SCENE])
    stale = state.stale(scene, now.minute) if consent & consent_bits.ARMED else 0
    result = verdict(plan, fields, consent, now.minute, stale)
    if not plan.offered:  # unknown service: do not cache text with its name
        return worded(asked.service, scene, plan, fields, result)
    return wording(plan, fields, result)


_NOTHING = 0, None


def _columns(plan: Plan, views: Mapping[str, View]) -> dict[str, str]:
    """The source column that each personal or generalised field is read from."""
    columns = {}
    for name, view in views.items():
        if view is View.PERSONAL:
            columns[name] = name
        elif view is View.GENERALISED:
            columns[name] = str(plan.scene.fields[name].generalised_by)
    return columns


def _without_values(decision: Decision) -> Decision:
    """The decision for a customer some of whose values the source cannot give."""
    return replace(decision, allowed=False, reason=Reason.SOURCE_UNAVAILABLE)


def _without_source(decision: Decision) -> Decision:
    needs = {View.PERSONAL, View.GENERALISED}
    views = {f: View.WITHHELD if v in needs else v for f, v in decision.views.items()}
    return replace(decision, views=views, reason=Reason.SOURCE_UNAVAILABLE)


def _log_entry(
    request: ReadRequest, action: str, plan: Plan | None, decision: Decision, point: ConsentPoint
) -> ReadLogEntry:
    synthetic = plan is not None and View.SYNTHETIC in decision.views.values()
    return ReadLogEntry(
        action=action,
        at=request.at.replace(microsecond=0),
        service=request.service,
        scene=request.scene,
        rows=1 if decision.views else 0,
        fields=request.fields,
        views=decision.views,
        reason=decision.reason,
        determined_by=decision.determined_by,
        plan=plan.digest if plan else "",
        release=plan.release if plan and synthetic else None,
        consent=point,
    )
