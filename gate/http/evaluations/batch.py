"""Answers a batch of evaluations: decides it piece by piece, and logs each piece before the next.

Other requests are answered between pieces, so the ledger may move meanwhile. Before the answer
leaves, what was decided at an earlier position is decided again, in one call, and what differs is
logged and answered as it is now: nothing in the answer rests on a grant that was withdrawn before.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from gate.decision.decide import Reason
from gate.decision.key_scope import CUSTOMER
from gate.http import authzen, policy_questions
from gate.http.authzen import MalformedRequestError
from gate.http.evaluations.batch_text import PIECE, BatchText, Element
from gate.http.policy_questions import BehalfAnswer, PolicyAnswer, PolicyQuestions, is_on_behalf
from gate.http.response import Response, evidence
from gate.http.serving.turns import Pause
from gate.readlog.entry import DecisionGroup, WrittenDecision
from gate.readlog.group_commit import Commits
from gate.readlog.writer import Asked, Several
from gate.reads.grouped_decisions import waiting_elsewhere
from gate.reads.point import Gate
from gate.storage.deliveries import Delivery, Logged

Answered = WrittenDecision | PolicyAnswer | BehalfAnswer | str  # a text: of a malformed element
SLICE = 64  # elements that are decided one by one without a pause: half a millisecond


class Deciding(NamedTuple):
    """What decides and logs."""

    gate: Gate
    commits: Commits
    policy: PolicyQuestions
    clock: Callable[[], datetime]


class BatchWork:
    """One batch of one service. Await `response`, once."""

    def __init__(self, by: Deciding, service: str, batch: BatchText, body: bytes) -> None:
        self._by, self._service, self._batch = by, service, batch
        self._raw = _raw(by.policy, service, batch, body)
        given = batch.defaults
        self._stops = authzen.stops(given.options.evaluations_semantic)
        apart = self._raw is not None or any(map(partial(_is_apart, given), batch.elements))
        self._is_alike = not apart and given.options.evaluations_semantic == "execute_all"
        self._is_ended = False
        self._at = by.clock()
        self._answers: list[Answered] = []
        self._texts: list[str] = []  # of the answers
        self._decided: list[WrittenDecision] = []  # of this piece, to be logged
        self._behalf: list[Asked] = []  # the same
        self._logged: list[tuple[Logged, int | None]] = []  # and the ledger's size

    async def response(self, pause: Pause) -> Response:
        """The answer, once all of it is logged."""
        try:
            for first in range(0, len(self._batch.elements), PIECE):
                if first:
                    await self._log()
                    await pause()
                await self._decide(first, pause)
                if self._is_ended:
                    break
            if len(self._answers) > SLICE:  # others may have gone between
                await waiting_elsewhere(self._by.gate, self._decide_again)
            await self._log(self._of_policy())
        except BaseException:
            for logged, _ in self._logged:
                logged.ended(Delivery.CUT)
            raise
        body = f'{{"evaluations":[{",".join(self._texts)}]}}'.encode()
        sent = evidence(*self._logged) if self._logged else ()
        return Response(200, body, logged=tuple(each for each, _ in self._logged), headers=sent)

    async def _decide(self, first: int, pause: Pause) -> None:
        """Decide the piece that begins at `first`, as far as the batch's semantic requires."""
        self._at, end = self._by.clock(), min(first + PIECE, len(self._batch.elements))
        is_long = self._by.policy.policy is not None  # Cedar itself decides, element by element
        if self._is_alike:
            whole = partial(self._whole, range(first, end))
            if await waiting_elsewhere(self._by.gate, whole, is_long=is_long):
                return
        for start in range(first, end, SLICE):
            if start > first:
                await pause()
            some = partial(self._one_by_one, range(start, min(start + SLICE, end)))
            await waiting_elsewhere(self._by.gate, some, is_long=is_long)
            if self._is_ended:
                return

    def _whole(self, places: range) -> bool:
        """Decide a piece in one call; False if an element is malformed: nothing is decided."""
        elements = self._batch.elements[places.start : places.stop]
        whole = [each for each in elements if isinstance(each, authzen.Evaluation)]
        if len(whole) < len(elements):
            return False
        try:
            found = authzen.ask(*self._asking(whole))
        except MalformedRequestError:
            return False
        for each in found:
            self._take(each)
        return True

    def _asking(
        self, elements: Sequence[authzen.Evaluation]
    ) -> tuple[Gate, str, Sequence[authzen.Evaluation], datetime, authzen.Evaluations]:
        return self._by.gate, self._service, elements, self._at, self._batch.defaults

    def _one_by_one(self, places: range) -> None:
        for place in places:
            try:
                found = self._one(place)
            except MalformedRequestError as error:
                found = authzen.refused_item(str(error))
            self._take(found)
            if self._stops(not isinstance(found, str) and found.allowed):
                self._is_ended = True
                return

    def _one(self, place: int) -> Answered:
        """Raises MalformedRequestError."""
        each, given, by = self._batch.elements[place], self._batch.defaults, self._by
        if isinstance(each, MalformedRequestError):
            raise each
        resource = each.resource or given.resource
        if self._raw is not None and resource and by.policy.is_about(self._service, resource.type):
            return by.policy.answer(self._service, self._raw[place], self._at)
        if _is_apart(given, each):
            return by.policy.on_behalf(self._service, authzen.filled(each, given), self._at)
        return authzen.ask(*self._asking([each]))[0]

    def _take(self, found: Answered) -> None:
        self._answers.append(found)
        self._texts.append(_text(found))
        if isinstance(found, WrittenDecision):
            self._decided.append(found)
        elif isinstance(found, BehalfAnswer):
            self._behalf.append(found.asked)

    def _decide_again(self) -> None:
        """Replace the decisions that are others by now, because the ledger moved meanwhile.

        The denial that a batch ended at stays: as a permit it would say that all was permitted.
        """
        self._at = self._by.clock()
        size, elements = self._by.gate.catch_up(), self._batch.elements
        answers = self._answers[:-1] if self._is_ended and self._stops(False) else self._answers
        earlier = [
            (place, each, element)
            for place, (each, element) in enumerate(zip(answers, elements, strict=False))
            if isinstance(each, WrittenDecision) and each.moment.point.size != size
            if isinstance(element, authzen.Evaluation)
        ]
        if not earlier:
            return
        again = authzen.ask_again(*self._asking([element for _, _, element in earlier]))
        for (place, before, _), now in zip(earlier, again, strict=True):
            if _differ(before, now):
                self._answers[place], self._texts[place] = now, now.answer()
                self._decided.append(now)
                if self._stops(now.allowed):  # what follows is no part of the answer
                    del self._answers[place + 1 :], self._texts[place + 1 :]
                    return

    async def _log(self, more: Sequence[Asked] = ()) -> None:
        asked = [*_asked(self._service, self._decided), *self._behalf, *more]
        size = self._decided[0].moment.point.size if self._decided else None
        self._decided, self._behalf = [], []
        if asked:
            self._logged.append((await self._by.commits.record(asked), size))

    def _of_policy(self) -> list[Asked]:
        return self._by.policy.asked(self._service, self._answers, self._by.clock())


def _raw(
    policy: PolicyQuestions, service: str, batch: BatchText, body: bytes
) -> list[Mapping[str, Any]] | None:
    """The elements as they were sent, if one of them may be for the company's policy."""
    if policy.policy is None:
        return None
    kinds = {
        (each.resource or batch.defaults.resource or _NO_ENTITY).type
        if isinstance(each, authzen.Evaluation)
        else CUSTOMER
        for each in batch.elements
    }
    concerned = any(policy.is_about(service, each) for each in kinds)
    return policy_questions.completed(body) if concerned else None


_NO_ENTITY = authzen.Entity(CUSTOMER, "")


def _is_apart(given: authzen.Evaluations, each: Element) -> bool:
    """Whether an element is decided by policy and grant: its subject is no service."""
    if isinstance(each, MalformedRequestError):
        return False
    return is_on_behalf(each.subject or given.subject, each.resource or given.resource)


def _differ(before: WrittenDecision, now: WrittenDecision) -> bool:
    """Whether a decision is another one now. One beyond the quota stays refused."""
    if before.wording.reason is Reason.QUOTA_EXCEEDED:
        return False
    return (before.wording, before.determined_by) != (now.wording, now.determined_by)


def _asked(service: str, decisions: Sequence[WrittenDecision]) -> list[Asked]:
    """What is logged of decisions on customers: one entry for those of one moment."""
    asked: list[Asked] = []
    for _, alike in groupby(decisions, key=lambda each: each.moment):
        together = [*alike]
        if len(together) == 1:
            asked.append((together[0], together[0].customer))
            continue
        customers = [each.customer for each in together]
        asked.append(Several(DecisionGroup(service, together), customers))
    return asked


def _text(answered: Answered) -> str:
    match answered:
        case str():
            return answered
        case PolicyAnswer() | BehalfAnswer():
            return answered.text
        case WrittenDecision():
            return answered.answer()
