"""Maps the OpenID AuthZEN Authorization API 1.0 to questions to the gate.

An evaluation asks: may this *service* (subject) `read` this *customer* (resource) in this scene?

    {"subject": {"type": "service", "id": "analytics"}, "action": {"name": "read"},
     "resource": {"type": "customer", "id": "c00001"},
     "context": {"scene": "segmentation", "fields": ["age"]}}
    -> {"decision": false, "context": {"reason": "withdrawn", "views": {"age": "synthetic"}, …}}

Without `context.fields`, all fields of the scene are requested. A subject that is no service is
decided by the company's policy as well: gate.http.policy_questions. Any other evaluation that is
not about a service, `read` and a customer is answered `false`. A request of another form raises
MalformedRequestError.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from gate.contracts.scene import ReadShape
from gate.decision import quota
from gate.decision.decide import Reason, refusal
from gate.http.response import refused
from gate.policy.compiled import Plan
from gate.readlog.entry import Question, WrittenDecision
from gate.readlog.writer import ReadLogEntry
from gate.reads.point import Gate
from gate.state.customer_numbers import Numbers
from gate.storage.deliveries import Logged

MAX_EVALUATIONS = 10_000
MAX_RESULTS = 1_000  # per page
_PARTS = ("subject", "action", "resource")
_NAMES = ("type", "id", "name")


# These bounds limit the size of read-log entries: a bundle stores entries of less than 2^16 bytes,
# and a character of a name in a request can take six bytes in its entry.
Name = Annotated[str, msgspec.Meta(max_length=64)]
Names = Annotated[list[Name], msgspec.Meta(max_length=64)]
# See ledger.verify.masked_persons.require_person. The look-ahead refuses a line end after the id.
PersonId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$(?!\n)")]
LedgerSize = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]


class MalformedRequestError(ValueError):
    """The request does not conform to the API. The message says what is missing."""


# Decoded objects cannot form cycles, so the garbage collector need not track them (`gc=False`).
class Entity(msgspec.Struct, frozen=True, gc=False):
    type: str
    id: str
    properties: dict[str, Any] = {}


class EntityKind(msgspec.Struct, frozen=True, gc=False):
    """An entity with a type only: what a search looks for."""

    type: str
    properties: dict[str, Any] = {}


class Action(msgspec.Struct, frozen=True, gc=False):
    name: str
    properties: dict[str, Any] = {}


class Context(msgspec.Struct, frozen=True, gc=False):
    scene: Name = ""
    fields: Names | None = None
    minimum_size: LedgerSize = 0


class Evaluation(msgspec.Struct, frozen=True, gc=False):
    """One evaluation; in a batch, members left out are taken from the batch."""

    subject: Entity | None = None
    action: Action | None = None
    resource: Entity | None = None
    context: Context | None = None


_WHOLE = 8  # members of an evaluation's three entities with their types, ids and name


def least_members(evaluation: Evaluation) -> int:
    """How many members its JSON has at least; 0 if it is not whole."""
    context = evaluation.context
    if evaluation.subject is None or evaluation.action is None or evaluation.resource is None:
        return 0
    if context is None:
        return _WHOLE
    return _WHOLE + 1 + (context.scene != "") + (context.fields is not None)


NO_CONTEXT = Context()
NOTHING_GIVEN = Evaluation()
Semantic = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]


class Options(msgspec.Struct, frozen=True, gc=False):
    evaluations_semantic: Semantic = "execute_all"


class Evaluations(msgspec.Struct, frozen=True, gc=False):
    subject: Entity | None = None
    action: Action | None = None
    resource: Entity | None = None
    context: Context | None = None
    evaluations: list[Evaluation] = []
    options: Options = Options()


class Default(msgspec.Struct, frozen=True, gc=False):
    """A batch's default for an entity; elements may supply what it leaves out."""

    type: str | None = None
    id: str | None = None
    name: str | None = None
    properties: dict[str, Any] = {}


class LooseEvaluations(msgspec.Struct, frozen=True, gc=False):
    """What a batch says beside its elements, which need not be complete evaluations."""

    subject: Default | None = None
    action: Default | None = None
    resource: Default | None = None
    context: Context | None = None
    options: Options = Options()


class SearchPage(msgspec.Struct, frozen=True, gc=False):
    token: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1)] = MAX_RESULTS


class SubjectSearch(msgspec.Struct, frozen=True, gc=False):
    subject: EntityKind
    action: Action
    resource: Entity
    context: Context = Context()
    page: SearchPage = SearchPage()


class ResourceSearch(msgspec.Struct, frozen=True, gc=False):
    subject: Entity
    action: Action
    resource: EntityKind
    context: Context = Context()
    page: SearchPage = SearchPage()


class NumberedEntity(msgspec.Struct, frozen=True, gc=False):
    """An entity whose id may be a whole number, as in the published searches of actions."""

    type: str
    id: str | int
    properties: dict[str, Any] = {}


class ActionSearch(msgspec.Struct, frozen=True, gc=False):
    subject: Entity
    resource: NumberedEntity
    context: Context = Context()
    page: SearchPage = SearchPage()


def ask(
    gate: Gate,
    service: str,
    evaluations: Iterable[Evaluation],
    at: datetime,
    given: Evaluations | Evaluation = NOTHING_GIVEN,
) -> list[WrittenDecision]:
    """Decide evaluations that `service` sent; `given` has the batch's defaults.

    Raises MalformedRequestError, StaleStateError.
    """
    return gate.decide_in_writing(_questions(gate, service, evaluations, given), at)


def ask_again(
    gate: Gate,
    service: str,
    evaluations: Iterable[Evaluation],
    at: datetime,
    given: Evaluations,
) -> list[WrittenDecision]:
    """The same for evaluations that were decided before: they are not counted again."""
    return gate.decide_again(_questions(gate, service, evaluations, given), at)


def question(gate: Gate, service: str, evaluation: Evaluation) -> Question:
    """What one evaluation asks. Raises MalformedRequestError."""
    subject, action, resource = evaluation.subject, evaluation.action, evaluation.resource
    if subject is None or action is None or resource is None:
        raise _incomplete(subject, action, resource)
    asks = resource.type == "customer" and _asks_itself(service, subject, action)
    return _question(gate, service if asks else "", (resource.id,), evaluation.context)


def question_by(gate: Gate, service: str, evaluation: Evaluation) -> Question:
    """The same, whoever the subject is; `service`: who asks, or nobody, which is refused.

    Raises MalformedRequestError.
    """
    subject, action, resource = evaluation.subject, evaluation.action, evaluation.resource
    if subject is None or action is None or resource is None:
        raise _incomplete(subject, action, resource)
    return _question(gate, service, (resource.id,), evaluation.context)


def _questions(
    gate: Gate,
    service: str,
    evaluations: Iterable[Evaluation],
    given: Evaluations | Evaluation,
) -> list[Question]:
    """Merge consecutive evaluations that differ only in the customer to one question."""
    questions: list[Question] = []
    last: tuple[Any, Any, Any] = (None, None, None)
    subjects: list[str] = []
    for each in evaluations:
        subject, action = each.subject or given.subject, each.action or given.action
        resource, context = each.resource or given.resource, each.context or given.context
        if subject is None or action is None or resource is None:
            raise _incomplete(subject, action, resource)
        customer = resource.type == "customer"
        if (
            not customer
            or subject is not last[0]
            or action is not last[1]
            or context is not last[2]
        ):
            last = (subject, action, context) if customer else (None, None, None)
            asks = customer and _asks_itself(service, subject, action)
            questions.append(_question(gate, service if asks else "", subjects := [], context))
        subjects.append(resource.id)
    return questions


def filled(each: Evaluation, batch: Evaluations) -> Evaluation:
    """An element with what it leaves to its batch."""
    return Evaluation(
        each.subject or batch.subject,
        each.action or batch.action,
        each.resource or batch.resource,
        each.context or batch.context,
    )


def _asks_itself(service: str, subject: Entity, action: Action) -> bool:
    """Whether the service asks whether it may read."""
    return subject.type == "service" and subject.id == service and action.name == "read"


def split_if_long(evaluations: Sequence[object]) -> None:
    """Raises MalformedRequestError for a batch with more than MAX_EVALUATIONS elements."""
    if len(evaluations) > MAX_EVALUATIONS:
        raise MalformedRequestError(
            f"{len(evaluations)} evaluations, want at most {MAX_EVALUATIONS}; split them"
        )


def completed(
    batch: LooseEvaluations, elements: Iterable[Any]
) -> list[Evaluation | MalformedRequestError]:
    """Complete elements of a batch with its defaults; a malformed element becomes an error.

    An element's entity replaces the batch's, except for `type`, `id` and `name` that it leaves out.
    """
    return [_completed(each, batch) for each in elements]


def _completed(element: Any, batch: LooseEvaluations) -> Evaluation | MalformedRequestError:
    if not isinstance(element, dict):
        return MalformedRequestError("an evaluation must be a JSON object")
    own = {name: element.get(name) for name in _PARTS}
    whole = {name: _entity(own[name], getattr(batch, name)) for name in _PARTS}
    context = element.get("context")
    whole["context"] = msgspec.to_builtins(batch.context) if context is None else context
    try:
        return msgspec.convert(whole, Evaluation)
    except msgspec.ValidationError as error:
        return MalformedRequestError(str(error))


def _entity(own: Any, default: Default | None) -> Any:
    """`own` completed with members of `default`; `default` if there is no `own`."""
    if default is None or not (own is None or isinstance(own, dict)):
        return own
    names = {n: v for n in _NAMES if (v := getattr(default, n)) is not None}
    return names | (own if own is not None else {"properties": default.properties})


def stops(semantic: Semantic) -> Callable[[bool], bool]:
    """A predicate that says whether a batch of this semantic ends after a decision."""
    match semantic:
        case "execute_all":
            return lambda _: False
        case "deny_on_first_deny":
            return lambda allowed: not allowed
        case "permit_on_first_permit":
            return lambda allowed: allowed


def search_resources(
    gate: Gate,
    service: str,
    search: ResourceSearch,
    at: datetime,
    paged: Callable[[Sequence[str], SearchPage, int], tuple[range, str]],
) -> tuple[dict[str, Any], tuple[Logged, ...]]:
    """One page of the customers whom a service may read in a scene, and the entry about it.

    `paged`: the places of the page among all ids in their order, and the next page's token. Raises
    MalformedRequestError, and HttpError (429) beyond the service's quota of rows.
    """
    asks = search.resource.type == "customer" and _asks_itself(
        service, search.subject, search.action
    )
    by, scene = service if asks else "", scene_of(gate, service, search.context)
    plan, fields = gate.plan(by, scene), _fields(gate, scene, search.context)
    with gate.lock:
        _, point = gate.current(search.context.minimum_size)
    asked = ReadLogEntry(
        action="search",
        at=at.replace(microsecond=0),
        service=by,
        scene=scene,
        fields=fields,
        views={},
        reason=Reason.UNKNOWN_SCENE if plan is None else _refusal(plan, fields),
        plan="" if plan is None else plan.digest,
        consent=point,
    )
    if plan is None or asked.reason is not Reason.GRANTED:
        return {"results": [], "page": {"next_token": ""}}, (_refused(gate, asked),)
    return _found(gate, plan, asked, search, at, paged)


def _refusal(plan: Plan, fields: tuple[str, ...]) -> Reason:
    """Why no customer may be listed; GRANTED if they may."""
    lists = ReadShape.ROWS in plan.scene.shapes
    return refusal(plan, fields) or (Reason.GRANTED if lists else Reason.SHAPE_OUTSIDE_SCENE)


def _refused(gate: Gate, asked: ReadLogEntry) -> Logged:
    journal = gate.journal
    return journal.logged(journal.record(asked))


def _found(
    gate: Gate,
    plan: Plan,
    asked: ReadLogEntry,
    search: ResourceSearch,
    at: datetime,
    paged: Callable[[Sequence[str], SearchPage, int], tuple[range, str]],
) -> tuple[dict[str, Any], tuple[Logged, ...]]:
    fields = asked.fields
    with gate.lock:
        state, point = gate.current(search.context.minimum_size)
        members = gate.members(plan, plan.mask(fields) or 0, at)
        selection, replays = state.subjects.selected(members), state.replays
    unsorted, numbers = selection.names(), gate.numbers.of_rows(replays, selection)
    order = sorted(range(len(unsorted)), key=unsorted.__getitem__)
    subjects = [unsorted[place] for place in order]
    places, following = paged(subjects, search.page, MAX_RESULTS)
    shown = subjects[places.start : places.stop]
    logged = msgspec.structs.replace(asked, rows=len(subjects), consent=point)
    who = _Found(numbers, numbers[order[places.start : places.stop]], len(members))
    entry = _recorded(gate, logged, at, who)
    page = {"next_token": following, "count": len(shown), "total": len(subjects)}
    results = [{"type": "customer", "id": each} for each in shown]
    return {"results": results, "page": page}, (entry,)


@dataclass(frozen=True, slots=True)
class _Found:
    """The numbers of the customers that a search found, those it shows, and how many there are."""

    numbers: Numbers
    shown: Numbers
    everybody: int


def _recorded(gate: Gate, found: ReadLogEntry, at: datetime, who: _Found) -> Logged:
    """Record a search if the quota admits the names that it shows.

    Raises HttpError (429).
    """
    journal = gate.journal  # the sets and the entry belong to one log
    quotas, named = gate.options.quotas, (found.service, found.scene, at)
    names = len(who.shown)
    if not quotas.admits_rows(*named, max(1, names)):  # the total is an answer, too
        refusal_entry = msgspec.structs.replace(found, rows=0, reason=Reason.QUOTA_EXCEEDED)
        entry = journal.record(refusal_entry)
        where = journal.log.origin, entry, journal.logged(entry)
        raise refused(refusal_entry.reason, *where, quota.wait_s(at, quota.DAY))
    sets = journal.sets.put(who.shown), journal.sets.put(who.numbers)
    entry = journal.record(msgspec.structs.replace(found, answered=sets[0], cohort=sets[1]))
    quotas.alert_on_names(*named, names, who.everybody)
    return journal.logged(entry)


def search_subjects(gate: Gate, service: str, search: SubjectSearch) -> list[Evaluation]:
    """One evaluation per service that might be allowed; the caller returns the permitted ones.

    If none might be, one that is refused, so that the search is logged.
    """
    scene = gate.scenes.get(scene_of(gate, service, search.context))
    kind, services = search.subject.type, scene.services if scene else ()
    ids = [each.id for each in services] if kind == "service" else []
    return [
        Evaluation(Entity(kind, each), search.action, search.resource, search.context)
        for each in ids or [service]
    ]


def metadata(base: str) -> dict[str, str]:
    """The PDP metadata of the gate at `base`: AuthZEN 1.0, section 9."""
    return {
        "policy_decision_point": base,
        "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
        "search_subject_endpoint": f"{base}/access/v1/search/subject",
        "search_resource_endpoint": f"{base}/access/v1/search/resource",
        "search_action_endpoint": f"{base}/access/v1/search/action",
    }


def _question(
    gate: Gate, service: str, subjects: Sequence[str], context: Context | None
) -> Question:
    asked = context or NO_CONTEXT
    scene = scene_of(gate, service, asked)
    return Question(service, scene, subjects, _fields(gate, scene, asked), asked.minimum_size)


def scene_of(gate: Gate, service: str, context: Context) -> str:
    """The scene that a question is about: the stated one, else the service's default or none."""
    return context.scene or gate.options.default_scenes.get(service, "")


def _incomplete(*parts: object) -> MalformedRequestError:
    missing = [name for name, part in zip(_PARTS, parts, strict=True) if part is None]
    return MalformedRequestError(f"missing {' and '.join(missing)}")


def _fields(gate: Gate, named: str, context: Context) -> tuple[str, ...]:
    if context.fields is not None:
        return tuple(context.fields)
    scene = gate.scenes.get(named)
    return tuple(scene.fields) if scene else ()


def refused_item(message: str) -> str:
    """The answer to a malformed element of a batch: denied, with the error."""
    error = {"status": 400, "message": message}
    return msgspec.json.encode({"context": {"error": error}, "decision": False}).decode()
