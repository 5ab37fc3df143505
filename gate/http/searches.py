"""The routes of AuthZEN searches: subjects, resources and actions, under the rules of evaluations.

A page token names the last result of its page, and is bound to the question and its service: a
code of the gate's secret key says so. Results are in the order of their ids, so somebody who
appears or goes between two pages neither hides nor doubles anybody else.

    next_token = base64url(code of 16 bytes || id of the last result)
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from gate.decision import quota
from gate.decision.decide import Reason
from gate.http import authzen
from gate.http.authzen import MalformedRequestError, SearchPage
from gate.http.policy_questions import MAX_FOUND, PolicyAnswer, PolicyQuestions, require_short
from gate.http.reads import decoded
from gate.http.response import Response, evidence, refused
from gate.policy.decisions import EntityRef, PolicyQuestion, PolicyReason
from gate.reads.point import Gate
from gate.storage.deliveries import Logged

_CODE = 16  # bytes
_NOTHING = ""  # what a search without candidates is logged as being about
_SUBJECTS = msgspec.json.Decoder(authzen.SubjectSearch)
_RESOURCES = msgspec.json.Decoder(authzen.ResourceSearch)
_ACTIONS = msgspec.json.Decoder(authzen.ActionSearch)
_ENCODER = msgspec.json.Encoder(order="deterministic")
_CANONICAL = msgspec.json.Encoder(order="sorted")
Route = Callable[[str, bytes, Mapping[bytes, bytes]], Response]


class PageTokens:
    """Makes and reads the page tokens of one question of one service."""

    def __init__(self, key: bytes, service: str, question: Any) -> None:
        """`question`: all of the search but its page."""
        asked = _CANONICAL.encode([service, question])
        self._key = hmac.digest(key, b"page of a search\0" + asked, sha256)

    def after(self, last: str) -> str:
        return urlsafe_b64encode(self._code(last) + last.encode()).decode().rstrip("=")

    def last(self, token: str) -> str | None:
        """The id after which the page begins; None: at the first. Raises MalformedRequestError."""
        if not token:
            return None
        try:
            sent = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            last = sent[_CODE:].decode()
        except (ValueError, UnicodeError):
            sent, last = b"", ""
        if self.after(last) != token or not hmac.compare_digest(sent[:_CODE], self._code(last)):
            raise MalformedRequestError(
                f"page token {token[:16]!r} is not of this question: send next_token of the"
                " previous page with the same question, or none for the first"
            )
        return last

    def _code(self, last: str) -> bytes:
        return hmac.digest(self._key, last.encode(), sha256)[:_CODE]

    def page(self, ids: Sequence[str], page: SearchPage, most: int) -> tuple[range, str]:
        """The places of a page in sorted `ids`, and the token of the next one or nothing."""
        last, limit = self.last(page.token), min(page.limit, most)
        first = 0 if last is None else bisect_right(ids, last)
        places = range(first, min(first + limit, len(ids)))
        more = places.stop < len(ids) and len(places) > 0
        return places, self.after(ids[places.stop - 1]) if more else ""


PATHS = tuple(f"/access/v1/search/{each}" for each in ("subject", "resource", "action"))


class Searches:
    """The search routes of one gate. They block: call them off the event loop."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._gate, self._clock, self._policy = gate, clock, PolicyQuestions(gate)

    @property
    def routes(self) -> dict[str, Route]:
        return dict(zip(PATHS, (self.subject, self.resource, self.action), strict=True))

    def subject(self, service: str, body: bytes, _: Mapping[bytes, bytes]) -> Response:
        search = decoded(_SUBJECTS, body)
        self._tokens(service, body).last(search.page.token)
        if self._policy.is_about(service, search.resource.type):
            kind = search.subject.type
            return self._found(service, body, search.page, kind, "subject")
        results, logged = [], []
        for each in authzen.search_subjects(self._gate, service, search):
            if each.subject is None:
                continue
            allowed, entry = self._evaluate(service, each)
            logged.append(entry)
            if allowed:
                results.append({"type": "service", "id": each.subject.id})
        return _json({"results": results, "page": {"next_token": ""}}, *logged)

    def resource(self, service: str, body: bytes, _: Mapping[bytes, bytes]) -> Response:
        search = decoded(_RESOURCES, body)
        tokens = self._tokens(service, body)
        tokens.last(search.page.token)
        if self._policy.is_about(service, search.resource.type):
            kind = search.resource.type
            return self._found(service, body, search.page, kind, "resource")
        at = self._clock()
        found, logged = authzen.search_resources(self._gate, service, search, at, tokens.page)
        return _json(found, *logged)

    def action(self, service: str, body: bytes, _: Mapping[bytes, bytes]) -> Response:
        search = decoded(_ACTIONS, body)
        resource = search.resource
        self._tokens(service, body).last(search.page.token)
        if self._policy.is_about(service, resource.type):
            return self._actions(service, body)
        if not isinstance(resource.id, str):
            raise MalformedRequestError(f"resource.id is {resource.id!r}, want a text")
        action, about = authzen.Action("read"), authzen.Entity(resource.type, resource.id)
        each = authzen.Evaluation(search.subject, action, about, search.context)
        allowed, logged = self._evaluate(service, each)
        results = [{"name": "read"}] if allowed else []
        return _json({"results": results, "page": {"next_token": ""}}, logged)

    def _tokens(self, service: str, body: bytes) -> PageTokens:
        return PageTokens(self._gate.key, service, _without_page(body))

    def _evaluate(self, service: str, evaluation: authzen.Evaluation) -> tuple[bool, Logged]:
        """One evaluation of a search, logged like any other. Raises HttpError (429).

        No result would say that the customer does not allow it, so a quota is not answered so.
        """
        at = self._clock()
        (decision,) = authzen.ask(self._gate, service, [evaluation], at)
        journal = self._gate.journal
        entry = journal.record(decision, decision.customer)
        logged = journal.logged(entry)
        if decision.wording.reason is Reason.QUOTA_EXCEEDED:
            wait = quota.wait_s(at, quota.MINUTE)
            raise refused(decision.wording.reason, journal.log.origin, entry, logged, wait)
        return decision.allowed, logged

    # By the company's own policy: among the entities of its file

    def _found(
        self, service: str, body: bytes, page: SearchPage, kind: str, wanted: str
    ) -> Response:
        """Which entities of a type could stand at `wanted` in the question."""
        raw, policy = msgspec.json.decode(body), self._policy.policy
        ids = [] if policy is None else policy.of_type(kind)
        others = "subject" if wanted == "resource" else "resource"
        require_short(_without_page(body), len(ids))
        other, action = _entity(raw[others]), raw["action"]
        questions = []
        for each in (EntityRef(kind, name) for name in ids or [_NOTHING]):
            ends = {wanted: each, others: other}
            questions.append(_question(ends["subject"], action, ends["resource"], raw))
        answers, logged = self._decided(service, questions)
        decided = zip(ids, answers, strict=False)  # without ids there is one decision, on nothing
        found, tokens = (
            sorted(n for n, each in decided if each.allowed),
            self._tokens(service, body),
        )
        places, following = tokens.page(found, page, MAX_FOUND)
        about = {"next_token": following, "count": len(places), "total": len(found)}
        results = [{"type": kind, "id": found[place]} for place in places]
        return _json({"results": results, "page": about}, *logged)

    def _actions(self, service: str, body: bytes) -> Response:
        raw, policy = msgspec.json.decode(body), self._policy.policy
        subject, resource = _entity(raw["subject"]), _entity(raw["resource"])
        names = [] if policy is None else policy.actions_on(subject.type, resource.type)
        asked = names or [_NOTHING]
        questions = [_question(subject, {"name": each}, resource, raw) for each in asked]
        answers, logged = self._decided(service, questions)
        allowed = zip(names, answers, strict=False)  # as in `_found`
        results = [{"name": name} for name, each in allowed if each.allowed]
        return _json({"results": results, "page": {"next_token": ""}}, *logged)

    def _decided(
        self, service: str, questions: Sequence[PolicyQuestion]
    ) -> tuple[list[PolicyAnswer], list[Logged]]:
        """Decide and log all questions of a search as one entry. Raises HttpError (429)."""
        at, journal = self._clock(), self._gate.journal
        answers = self._policy.decide(service, questions, at)
        entry = journal.record_all([self._policy.logged(service, answers, at)]).start
        logged = journal.logged(entry)
        if any(each.logged.reason is PolicyReason.QUOTA_EXCEEDED for each in answers):
            wait = quota.wait_s(at, quota.MINUTE)
            raise refused(Reason.QUOTA_EXCEEDED, journal.log.origin, entry, logged, wait)
        return answers, [logged]


def _question(
    subject: EntityRef, action: Mapping[str, Any], resource: EntityRef, raw: Mapping[str, Any]
) -> PolicyQuestion:
    context = raw.get("context", {})
    return PolicyQuestion(subject, action["name"], resource, context, action.get("properties", {}))


def _entity(raw: Mapping[str, Any]) -> EntityRef:
    """An entity as it was sent. A whole number as its id is taken as its decimal text."""
    return EntityRef(raw["type"], str(raw["id"]), raw.get("properties", {}))


def _without_page(body: bytes) -> dict[str, Any]:
    return {name: each for name, each in msgspec.json.decode(body).items() if name != "page"}


def _json(value: Mapping[str, Any], *logged: Logged) -> Response:
    sent = evidence((_together(logged), None)) if logged else ()
    return Response(200, _ENCODER.encode(value), logged=logged, headers=sent)


def _together(logged: Sequence[Logged]) -> Logged:
    """The entries of one answer, which need not be consecutive, as a span."""
    first, last = logged[0], logged[-1]
    return first._replace(entries=range(first.entries.start, last.entries.stop))
