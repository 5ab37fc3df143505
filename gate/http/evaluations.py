"""The routes of AuthZEN evaluations, alone and in batches, about customers and other resources."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, cast

import msgspec

from gate.decision.key_scope import CUSTOMER
from gate.http import authzen, policy_questions
from gate.http.authzen import MalformedRequestError
from gate.http.policy_questions import BehalfAnswer, PolicyAnswer, PolicyQuestions, is_on_behalf
from gate.http.reads import decoded
from gate.http.response import Response, evidence
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
Element = authzen.Evaluation | MalformedRequestError


class EvaluationRoutes:
    """Answers evaluations of one gate, on the event loop where nothing has to be waited for."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._gate, self._clock = gate, clock
        self._commits = Commits(lambda: gate.journal, on_loop=not gate.options.asks_server)
        self._together = GroupedDecisions(gate, self._commits, clock)
        self._policy = PolicyQuestions(gate)

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

        def decide() -> tuple[list[WrittenDecision], Sequence[Answered], list[Asked]]:
            decisions, answers = self._decided(service, evaluations, batch, at, body)
            behalf = [each.asked for each in answers if isinstance(each, BehalfAnswer)]
            asked = _asked(service, decisions) + behalf + self._of_policy(service, answers, at)
            return decisions, answers, asked

        is_long = self._policy.policy is not None  # Cedar itself decides, element by element
        decisions, answers, asked = await waiting_elsewhere(self._gate, decide, is_long=is_long)
        logged: list[Logged] = [await self._commits.record(asked)] if asked else []
        texts = [_text(each) for each in answers]
        size = decisions[0].moment.point.size if decisions else None
        sent = evidence(logged[0], size) if logged else ()
        body = f'{{"evaluations":[{",".join(texts)}]}}'.encode()
        return Response(200, body, logged=(*logged,), headers=sent)

    def _decided(
        self,
        service: str,
        evaluations: Sequence[Element],
        batch: authzen.Evaluations,
        now: datetime,
        body: bytes,
    ) -> tuple[list[WrittenDecision], Sequence[Answered]]:
        """The decisions to log and the answers to send; decided in one call where possible."""
        broken = evaluations is not batch.evaluations and any(
            isinstance(each, MalformedRequestError) for each in evaluations
        )
        raw = self._raw(service, evaluations, batch, body)
        apart = raw is not None or any(map(partial(_is_apart, batch), evaluations))
        if batch.options.evaluations_semantic == "execute_all" and not broken and not apart:
            whole = cast("Sequence[authzen.Evaluation]", evaluations)
            with suppress(MalformedRequestError):
                decisions = authzen.ask(self._gate, service, whole, now, batch)
                return decisions, decisions
        return self._one_by_one(service, evaluations, batch, now, raw)

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
    ) -> tuple[list[WrittenDecision], list[Answered]]:
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
                break
        return decisions, answers


_NO_ENTITY = authzen.Entity(CUSTOMER, "")


def _is_apart(batch: authzen.Evaluations, each: Element) -> bool:
    """Whether an element is decided by policy and grant: its subject is no service."""
    if isinstance(each, MalformedRequestError):
        return False
    return is_on_behalf(each.subject or batch.subject, each.resource or batch.resource)


def _asked(service: str, decisions: Sequence[WrittenDecision]) -> list[Asked]:
    """What is logged of a batch's decisions on customers: one entry, if they are of one moment."""
    if len(decisions) > 1 and decisions[0].moment is decisions[-1].moment:
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
