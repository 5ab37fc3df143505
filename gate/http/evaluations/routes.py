"""The routes of AuthZEN evaluations, alone and in batches, about customers and other resources."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from gate.http import authzen
from gate.http.evaluations import batch_text
from gate.http.evaluations.batch import BatchWork, Deciding
from gate.http.policy_questions import BehalfAnswer, PolicyAnswer, PolicyQuestions, is_on_behalf
from gate.http.reads import decoded
from gate.http.response import Response, evidence
from gate.http.serving.turns import ServiceTurns
from gate.readlog.group_commit import Commits
from gate.readlog.writer import Asked, Several
from gate.reads.grouped_decisions import GroupedDecisions, waiting_elsewhere
from gate.reads.point import Gate

_EVALUATION = msgspec.json.Decoder(authzen.Evaluation)


class EvaluationRoutes:
    """Answers evaluations of one gate, on the event loop where nothing has to be waited for."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime], turns: ServiceTurns) -> None:
        self._gate, self._clock, self._turns = gate, clock, turns
        self._commits = Commits(lambda: gate.journal, on_loop=not gate.options.asks_server)
        self._together = GroupedDecisions(gate, self._commits, clock)
        self._policy = PolicyQuestions(gate)
        self._deciding = Deciding(gate, self._commits, self._policy, clock)

    async def evaluation(self, service: str, body: bytes) -> Response:
        evaluation = decoded(_EVALUATION, body, authzen.least_members)
        if evaluation.resource and self._policy.is_about(service, evaluation.resource.type):
            return await self._by_policy(service, msgspec.json.decode(body))
        if is_on_behalf(evaluation.subject, evaluation.resource):
            return await self._on_behalf(service, evaluation)
        question = authzen.question(self._gate, service, evaluation)
        decision, logged = await self._together.logged(question)
        sent = evidence((logged, decision.moment.point.size))
        return Response(200, decision.answer().encode(), logged=(logged,), headers=sent)

    async def _by_policy(self, service: str, raw: Any) -> Response:
        at = self._clock()

        def decide() -> tuple[PolicyAnswer, Several]:
            found = self._policy.answer(service, raw, at)
            return found, self._policy.logged(service, [found], at)

        found, asked = await waiting_elsewhere(self._gate, decide)
        logged = await self._commits.record([asked])
        sent = evidence((logged, None))
        return Response(200, found.text.encode(), logged=(logged,), headers=sent)

    async def _on_behalf(self, service: str, evaluation: authzen.Evaluation) -> Response:
        at = self._clock()

        def decide() -> tuple[BehalfAnswer, list[Asked]]:
            found = self._policy.on_behalf(service, evaluation, at)
            return found, [found.asked, *self._policy.asked(service, [found], at)]

        found, asked = await waiting_elsewhere(self._gate, decide, is_long=True)
        logged = await self._commits.record(asked)
        sent = evidence((logged, found.decision.moment.point.size))
        return Response(200, found.text.encode(), logged=(logged,), headers=sent)

    async def evaluations(self, service: str, body: bytes) -> Response:
        async with self._turns.turn(service, len(body)) as pause:
            batch = await batch_text.read(body, pause)
            if not batch.elements:  # a single evaluation: AuthZEN 1.0, section 7
                return await self.evaluation(service, body)
            await pause()
            return await BatchWork(self._deciding, service, batch, body).response(pause)
