"""The routes of AuthZEN evaluations, alone and in batches, about customers and other resources."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, cast

import msgspec

from gate.decision.key_scope import CUSTOMER
from gate.http import authzen, policy_questions
from gate.http.authzen import MalformedRequestError
from gate.http.policy_questions import BehalfAnswer, PolicyAnswer, PolicyQuestions, is_on_behalf
from gate.http.reads import decoded
from gate.http.response import Response, evidence
from gate.http.serving.turns import ServiceTurns
from gate.readlog.entry import DecisionGroup, WrittenDecision
from gate.readlog.group_commit import Commits
from gate.readlog.writer import Asked, Several
from gate.reads.grouped_decisions import GroupedDecisions, waiting_elsewhere
from gate.reads.point import Gate
from gate.storage.deliveries import Logged

_EVALUATION = msgspec.json.Decoder(authzen.Evaluation)
_EVALUATIONS = msgspec.json.Decoder(authzen.Evaluations)
_LOOSE = msgspec.json.Decoder(authzen.LooseEvaluations)
Answered = WrittenDecision | PolicyAnswer | BehalfAnswer | str  # a text: of a malformed element
SLICE = 64  # elements that are decided one by one without a pause: half a millisecond
Element = authzen.Evaluation | MalformedRequestError


class _Slice(NamedTuple):
    """What was decided of a part of a batch, and whether the batch ends with it."""

    decisions: Sequence[WrittenDecision]  # to be logged
    answers: Sequence[Answered]
    is_end: bool


class EvaluationRoutes:
    """Answers evaluations of one gate, on the event loop where nothing has to be waited for."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._gate, self._clock = gate, clock
        self._commits = Commits(lambda: gate.journal, on_loop=not gate.options.asks_server)
        self._together = GroupedDecisions(gate, self._commits, clock)
        self._policy = PolicyQuestions(gate)
        self._turns = ServiceTurns()

    async def evaluation(self, service: str, body: bytes) -> Response:
        evaluation = decoded(_EVALUATION, body, authzen.least_members)
        if evaluation.resource and self._policy.is_about(service, evaluation.resource.type):
            return await self._by_policy(service, msgspec.json.decode(body))
        if is_on_behalf(evaluation.subject, evaluation.resource):
            return await self._on_behalf(service, evaluation)
        question = authzen.question(self._gate, service, evaluation)
        decision, logged = await self._together.logged(question)
        sent = evidence(logged, decision.moment.point.size)
        return Response(200, decision.answer().encode(), logged=(logged,), headers=sent)

    async def _by_policy(self, service: str, raw: Any) -> Response:
        at = self._clock()

        def decide() -> tuple[PolicyAnswer, Several]:
            found = self._policy.answer(service, raw, at)
            return found, self._policy.logged(service, [found], at)

        found, asked = await waiting_elsewhere(self._gate, decide)
        logged = await self._commits.record([asked])
        return Response(200, found.text.encode(), logged=(logged,), headers=evidence(logged))

    async def _on_behalf(self, service: str, evaluation: authzen.Evaluation) -> Response:
        at = self._clock()

        def decide() -> tuple[BehalfAnswer, list[Asked]]:
            found = self._policy.on_behalf(service, evaluation, at)
            return found, [found.asked, *self._of_policy(service, [found], at)]

        found, asked = await waiting_elsewhere(self._gate, decide, is_long=True)
        logged = await self._commits.record(asked)
        sent = evidence(logged, found.decision.moment.point.size)
        return Response(200, found.text.encode(), logged=(logged,), headers=sent)

    def _of_policy(self, service: str, answers: Sequence[Answered], at: datetime) -> list[Asked]:
        """What is logged of the answers that the company's policy gave."""
        mine = [each for each in answers if isinstance(each, PolicyAnswer)]
        behalf = [each.by_policy for each in answers if isinstance(each, BehalfAnswer)]
        mine += [each for each in behalf if each is not None]
        return [self._policy.logged(service, mine, at)] if mine else []

    async def evaluations(self, service: str, body: bytes) -> Response:
        async with self._turns.turn(service, len(body)):
            return await self._evaluations(service, body)

    async def _evaluations(self, service: str, body: bytes) -> Response:
        try:
            batch = decoded(_EVALUATIONS, body)
        except msgspec.ValidationError:
            return await self._loose(service, body)
        if not batch.evaluations:  # a single evaluation: AuthZEN 1.0, section 7
            return await self.evaluation(service, body)
        authzen.split_if_long(batch.evaluations)
        return await self._batch(service, batch.evaluations, batch, body)

    async def _loose(self, service: str, body: bytes) -> Response:
        """A batch with malformed elements: these are denied one by one."""
        loose = decoded(_LOOSE, body)
        if not loose.evaluations:
            return await self.evaluation(service, body)
        whole = authzen.Evaluations(options=loose.options)
        return await self._batch(service, authzen.completed(loose), whole, body)

    async def _batch(
        self, service: str, evaluations: Sequence[Element], batch: authzen.Evaluations, body: bytes
    ) -> Response:
        """Decide as far as the batch's semantic requires, log all together, then answer."""
        at = self._clock()
        raw = self._raw(service, evaluations, batch, body)
        is_long = self._policy.policy is not None  # Cedar itself decides, element by element
        apart = raw is not None or any(map(partial(_is_apart, batch), evaluations))
        if not apart and batch.options.evaluations_semantic == "execute_all":
            ask = partial(self._whole, service, evaluations, batch, at)
            if (alike := await waiting_elsewhere(self._gate, ask, is_long=is_long)) is not None:
                return await self._answer(service, alike, alike, at)
        decisions: list[WrittenDecision] = []
        answers: list[Answered] = []
        for first in range(0, len(evaluations), SLICE):
            if first:
                await asyncio.sleep(0)  # others' requests go between
            some, mine = evaluations[first : first + SLICE], raw and raw[first : first + SLICE]
            decide = partial(self._one_by_one, service, some, batch, at, mine)
            found = await waiting_elsewhere(self._gate, decide, is_long=is_long)
            decisions += found.decisions
            answers += found.answers
            if found.is_end:
                break
        return await self._answer(service, decisions, answers, at)

    async def _answer(
        self,
        service: str,
        decisions: Sequence[WrittenDecision],
        answers: Sequence[Answered],
        at: datetime,
    ) -> Response:
        """The answer to a batch, once all of it is logged."""
        behalf = [each.asked for each in answers if isinstance(each, BehalfAnswer)]
        asked = _asked(service, decisions) + behalf + self._of_policy(service, answers, at)
        logged: list[Logged] = [await self._commits.record(asked)] if asked else []
        texts = [_text(each) for each in answers]
        size = decisions[0].moment.point.size if decisions else None
        sent = evidence(logged[0], size) if logged else ()
        body = f'{{"evaluations":[{",".join(texts)}]}}'.encode()
        return Response(200, body, logged=(*logged,), headers=sent)

    def _whole(
        self,
        service: str,
        evaluations: Sequence[Element],
        batch: authzen.Evaluations,
        now: datetime,
    ) -> list[WrittenDecision] | None:
        """All decisions in one call, which takes a few milliseconds; None if one is malformed."""
        if evaluations is not batch.evaluations and any(
            isinstance(each, MalformedRequestError) for each in evaluations
        ):
            return None
        whole = cast("Sequence[authzen.Evaluation]", evaluations)
        with suppress(MalformedRequestError):
            return authzen.ask(self._gate, service, whole, now, batch)
        return None

    def _raw(
        self,
        service: str,
        evaluations: Sequence[Element],
        batch: authzen.Evaluations,
        body: bytes,
    ) -> list[Mapping[str, Any]] | None:
        """The elements as they were sent, if one of them may be for the company's policy."""
        if self._policy.policy is None:
            return None
        kinds = {
            (each.resource or batch.resource or _NO_ENTITY).type
            if isinstance(each, authzen.Evaluation)
            else CUSTOMER
            for each in evaluations
        }
        concerned = any(self._policy.is_about(service, each) for each in kinds)
        return policy_questions.completed(body) if concerned else None

    def _one_by_one(
        self,
        service: str,
        evaluations: Sequence[Element],
        batch: authzen.Evaluations,
        now: datetime,
        raw: list[Mapping[str, Any]] | None,
    ) -> "_Slice":
        stop = authzen.stops(batch.options.evaluations_semantic)
        decisions: list[WrittenDecision] = []
        answers: list[Answered] = []
        for place, each in enumerate(evaluations):
            try:
                if isinstance(each, MalformedRequestError):
                    raise each
                resource = each.resource or batch.resource
                if raw is not None and resource and self._policy.is_about(service, resource.type):
                    answers.append(found := self._policy.answer(service, raw[place], now))
                    allowed = found.allowed
                elif _is_apart(batch, each):
                    behalf = self._policy.on_behalf(service, authzen.filled(each, batch), now)
                    answers.append(behalf)
                    allowed = behalf.allowed
                else:
                    decisions += authzen.ask(self._gate, service, [each], now, batch)
                    answers.append(decisions[-1])
                    allowed = decisions[-1].allowed
            except MalformedRequestError as error:
                answers.append(authzen.refused_item(str(error)))
                allowed = False
            if stop(allowed):
                return _Slice(decisions, answers, is_end=True)
        return _Slice(decisions, answers, is_end=False)


_NO_ENTITY = authzen.Entity(CUSTOMER, "")


def _is_apart(batch: authzen.Evaluations, each: Element) -> bool:
    """Whether an element is decided by policy and grant: its subject is no service."""
    if isinstance(each, MalformedRequestError):
        return False
    return is_on_behalf(each.subject or batch.subject, each.resource or batch.resource)


def _asked(service: str, decisions: Sequence[WrittenDecision]) -> list[Asked]:
    """What is logged of a batch's decisions on customers: one entry, if they are of one moment."""
    if len(decisions) > 1 and decisions[0].moment == decisions[-1].moment:
        customers = [each.customer for each in decisions]
        return [Several(DecisionGroup(service, decisions), customers)]
    return [(each, each.customer) for each in decisions]


def _text(answered: Answered) -> str:
    match answered:
        case str():
            return answered
        case PolicyAnswer() | BehalfAnswer():
            return answered.text
        case WrittenDecision():
            return answered.answer()
