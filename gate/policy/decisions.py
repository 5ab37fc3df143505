"""The company's own decisions: a Cedar policy about resources that are no customer's data.

    policy/decisions.cedar               rules
    policy/decisions.schema.json         Cedar's JSON schema, in the empty namespace
    policy/entities.json                 what the company knows of its users and resources

A policy decision point answers by it through AuthZEN: may the user `alice` `edit` the `record` 101?
It is a policy of its own, apart from the one that decides about customers' data, and no rule in it
can permit a customer's data: types with these names are refused. Strictly validated at load, in a
separate process with limits. **Any error denies.**
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from gate.policy.cedar import CedarPolicyError, cap, validate_elsewhere
from ledger.tlog import atomic_file

RULES, SCHEMA, ENTITIES = "decisions.cedar", "decisions.schema.json", "entities.json"
RESERVED = frozenset({"action", "customer", "scene", "service", "subject"})  # never another's type
MAX_ENTITIES_BYTES = 1 << 20
MAX_DEPTH = 16  # of a property or of the context
Json = Mapping[str, Any]


class PolicyReason(StrEnum):
    """Why a policy decision is as it is."""

    PERMITTED = "permitted"
    DENIED = "denied"  # no rule permits it, or one forbids it
    MAY_NOT_ASK = "may-not-ask"  # the service is trusted with no subjects of this type
    NOT_IN_SCHEMA = "not-in-schema"  # a type, action or value that the policy does not know
    EVALUATION_ERROR = "evaluation-error"  # a rule could not be evaluated, such as an overflow
    CONTRADICTS = "contradicts-entity"  # a property other than the company's own entities have
    QUOTA_EXCEEDED = "quota-exceeded"
    SUSPENDED = "suspended"  # a process of the data directory began with another policy


FOLDER = Path("policies") / "decisions"  # of a data directory: every one that was ever active
ACTIVE = FOLDER / "active"  # the digest of the one that the last start had, or NONE
NONE = "none"
# Denials that do not follow from the policy.
GATES_OWN = frozenset(
    {PolicyReason.MAY_NOT_ASK, PolicyReason.QUOTA_EXCEEDED, PolicyReason.SUSPENDED}
)


def earlier(reason: PolicyReason) -> frozenset[PolicyReason]:
    """What earlier versions logged for the same reason."""
    was = {PolicyReason.NOT_IN_SCHEMA} if reason is PolicyReason.EVALUATION_ERROR else ()
    return frozenset(was)


@dataclass(frozen=True, slots=True)
class EntityRef:
    """A subject or resource of a question, with the properties that its sender states."""

    type: str
    id: str
    properties: Json = field(default_factory=dict)

    @property
    def uid(self) -> dict[str, str]:
        return {"type": self.type, "id": self.id}


@dataclass(frozen=True, slots=True)
class PolicyQuestion:
    """May `subject` do `action` to `resource`? `context` and properties are as they were sent."""

    subject: EntityRef
    action: str
    resource: EntityRef
    context: Json = field(default_factory=dict)
    action_properties: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """A validated policy. `digest`: SHA-256 over its three files, in hex."""

    rules: str
    schema: str
    entities: str
    digest: str
    types: Mapping[str, frozenset[str]]  # type -> its attributes
    actions: Mapping[str, "_Action"]
    known: Mapping[tuple[str, str], Json]  # (type, id) -> entity, in the order of the file
    parsed: Any = field(repr=False, compare=False)  # cedarpy.PolicySet and Schema

    def decide(self, question: PolicyQuestion) -> PolicyReason:
        """Evaluate Cedar. Any error denies."""
        action = self.actions.get(question.action)
        if action is None or {question.subject.type, question.resource.type} - self.types.keys():
            return PolicyReason.NOT_IN_SCHEMA
        if not _is_plain(_sent(question)):
            return PolicyReason.NOT_IN_SCHEMA
        try:
            entities = self._entities(question.subject, question.resource)
        except ValueError:
            return PolicyReason.CONTRADICTS
        sent = {**question.context, "action": question.action_properties}
        request = {
            "principal": question.subject.uid,
            "action": {"type": "Action", "id": question.action},
            "resource": question.resource.uid,
            "context": {name: sent[name] for name in action.context if name in sent},
        }
        return self._evaluated(request, entities)

    def _evaluated(self, request: dict[str, Any], entities: list[dict[str, Any]]) -> PolicyReason:
        import cedarpy

        rules, schema = self.parsed
        try:
            found = cedarpy.is_authorized(request, rules, entities, schema)
        except Exception:  # noqa: BLE001 - any error denies
            return PolicyReason.EVALUATION_ERROR
        if found.decision is cedarpy.Decision.NoDecision:  # the request is not of the schema
            return PolicyReason.NOT_IN_SCHEMA
        if found.diagnostics.errors:
            return PolicyReason.EVALUATION_ERROR
        allowed = found.decision is cedarpy.Decision.Allow
        return PolicyReason.PERMITTED if allowed else PolicyReason.DENIED

    def of_type(self, kind: str) -> list[str]:
        """The ids of the company's entities of this type, in the order of its file."""
        return [name for each, name in self.known if each == kind]

    def actions_on(self, subject: str, resource: str) -> list[str]:
        """The actions that the schema has for these types, in its order."""
        return [
            name
            for name, each in self.actions.items()
            if subject in each.subjects and resource in each.resources
        ]

    def _entities(self, *sent: EntityRef) -> list[dict[str, Any]]:
        """The entities asked about, with the declared properties that were sent, and all that they
        lead to.

        Raises ValueError for a property that contradicts the company's own.
        """
        made: dict[tuple[str, str], Json] = {}
        for each in sent:
            key = each.type, each.id
            known = made.get(key) or self.known.get(key)
            own = dict(known["attrs"]) if known else {}
            parents = known["parents"] if known else []
            for name, value in each.properties.items():
                if name in self.types[each.type] and own.setdefault(name, value) != value:
                    raise ValueError(name)
            made[key] = {"uid": each.uid, "attrs": own, "parents": parents}
        waiting = [*made.values()]
        while waiting:
            entity = waiting.pop()
            for key in _named([entity["attrs"], entity["parents"]]):
                if key not in made and key in self.known:
                    made[key] = self.known[key]
                    waiting.append(self.known[key])
        return [dict(each) for each in made.values()]


def _sent(question: PolicyQuestion) -> list[Json]:
    ends = question.subject.properties, question.resource.properties
    return [*ends, question.context, question.action_properties]


def _is_plain(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether a value that was sent is data alone: Cedar's escapes begin with two underscores."""
    if depth == 0:
        return False
    if isinstance(value, Mapping):
        names = all(not name.startswith("__") for name in value)
        return names and all(_is_plain(each, depth - 1) for each in value.values())
    return not isinstance(value, list) or all(_is_plain(each, depth - 1) for each in value)


def _named(value: Any) -> Iterator[tuple[str, str]]:
    """The entities that a value in Cedar's JSON form refers to."""
    if isinstance(value, Mapping):
        if {*value} == {"type", "id"}:
            yield str(value["type"]), str(value["id"])
        for each in value.values():
            yield from _named(each)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each)


@dataclass(frozen=True, slots=True)
class _Action:
    subjects: frozenset[str]
    resources: frozenset[str]
    context: frozenset[str]


def load(folder: Path) -> DecisionPolicy | None:
    """The policy of a company's folder `policy`; None if it has none. Raises CedarPolicyError."""
    names = [name for name in (RULES, SCHEMA, ENTITIES) if (folder / name).exists()]
    if not names:
        return None
    try:
        rules, schema = ((folder / name).read_text("utf-8") for name in (RULES, SCHEMA))
        stored = (folder / ENTITIES).read_text("utf-8") if ENTITIES in names else "[]"
    except (OSError, UnicodeDecodeError) as error:
        raise CedarPolicyError(f"{folder}: want {RULES} and {SCHEMA}: {error}") from error
    try:
        return check(rules, schema, stored)
    except CedarPolicyError as error:
        raise CedarPolicyError(f"{folder}: {error}") from error


def check(rules: str, schema: str, entities: str) -> DecisionPolicy:
    """Validate a policy. Raises CedarPolicyError."""
    for text in (rules, schema):
        cap(text)
    if (size := len(entities.encode())) > MAX_ENTITIES_BYTES:
        raise CedarPolicyError(f"{ENTITIES}: {size} bytes, want at most {MAX_ENTITIES_BYTES}")
    types, actions = _declared(_parsed(schema, SCHEMA))
    known = _known(_parsed(entities, ENTITIES), types)
    validate_elsewhere(_ONCE, schema, rules, entities)
    import cedarpy

    parsed = cedarpy.PolicySet.from_str(rules), cedarpy.Schema.from_json_str(schema)
    digest = _digest(rules, schema, entities)
    return DecisionPolicy(rules, schema, entities, digest, types, actions, known, parsed)


def keep(policy: DecisionPolicy, folder: Path) -> None:
    """Store the policy under its digest, for replays; durable."""
    path = folder / f"{policy.digest}.json"
    if not path.exists():
        atomic_file.write(path, _stored(policy.rules, policy.schema, policy.entities))


def activate(policy: DecisionPolicy | None, home: Path) -> None:
    """Store the policy, and that it is active in the data directory from now on; durable.

    Every process of the directory that has another one decides nothing by it any more. If we crash
    in between, the earlier one is still active.
    """
    if policy is not None:
        keep(policy, home / FOLDER)
    digest = "" if policy is None else policy.digest
    if active(home) != digest:
        atomic_file.write(home / ACTIVE, f"{digest or NONE}\n".encode())


def active(home: Path) -> str:
    """The digest of the active policy; empty: there is none.

    What cannot be read is the digest of no policy, so that nothing is decided.
    """
    try:
        text = (home / ACTIVE).read_text("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return "unreadable"
    return "" if text == NONE else text or "unreadable"


def stored_digest(path: Path) -> str:
    """The digest of a stored policy, which is not validated. Raises CedarPolicyError, OSError."""
    data = path.read_bytes()
    try:
        texts = json.loads(data)
        rules, schema, entities = (texts[name] for name in ("rules", "schema", "entities"))
        same = _stored(rules, schema, entities) == data
        digest = _digest(rules, schema, entities)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CedarPolicyError(f"{path.name}: is no stored decision policy") from error
    if not same:
        raise CedarPolicyError(f"{path.name}: is not as the product writes it")
    return digest


def _stored(rules: str, schema: str, entities: str) -> bytes:
    texts = {"rules": rules, "schema": schema, "entities": entities}
    return json.dumps(texts, ensure_ascii=False).encode()


def _digest(rules: str, schema: str, entities: str) -> str:
    return sha256(f"{schema}\0{rules}\0{entities}".encode()).hexdigest()


def kept(folder: Path, digest: str) -> DecisionPolicy | None:
    """The stored policy with this digest; None if there is none. Raises CedarPolicyError."""
    path = folder / f"{digest}.json"
    if not path.exists():
        return None
    try:
        found = check(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise CedarPolicyError(f"{path}: {error}") from error
    if found.digest != digest:
        raise CedarPolicyError(f"{path}: has the digest {found.digest}")
    return found


def _parsed(text: str, name: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise CedarPolicyError(f"{name}: a member twice: {[key for key, _ in pairs]}")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise CedarPolicyError(f"{name}: is no JSON: {error}") from error


def _declared(schema: Any) -> tuple[dict[str, frozenset[str]], dict[str, _Action]]:
    """The types and actions of a schema. Raises CedarPolicyError."""
    if not isinstance(schema, dict) or {*schema} != {""} or not isinstance(schema[""], dict):
        raise CedarPolicyError(f'{SCHEMA}: want the empty namespace alone: {{"": {{…}}}}')
    space = schema[""]
    if more := {*space} - {"entityTypes", "actions"}:
        raise CedarPolicyError(f"{SCHEMA}: want entityTypes and actions, found {sorted(more)}")
    types = {}
    for name, declared in space.get("entityTypes", {}).items():
        if unicodedata.normalize("NFKC", name).casefold() in RESERVED:
            raise CedarPolicyError(
                f"{SCHEMA}: the type {name!r} is the product's: a customer's data is decided by"
                " contracts and grants; name your type otherwise"
            )
        types[name] = _attributes(declared.get("shape", {}), f"type {name!r}")
    actions = {}
    for name, declared in space.get("actions", {}).items():
        applies = declared.get("appliesTo", {})
        actions[name] = _Action(
            frozenset(applies.get("principalTypes", ())),
            frozenset(applies.get("resourceTypes", ())),
            _attributes(applies.get("context", {}), f"context of {name!r}"),
        )
    return types, actions


def _attributes(shape: Any, what: str) -> frozenset[str]:
    found = shape.get("attributes", {}) if isinstance(shape, dict) else None
    if not isinstance(found, dict):
        raise CedarPolicyError(f"{SCHEMA}: {what}: want a record with attributes")
    return frozenset(found)


def _known(entities: Any, types: Mapping[str, frozenset[str]]) -> dict[tuple[str, str], Json]:
    if not isinstance(entities, list):
        raise CedarPolicyError(f"{ENTITIES}: want a list of entities")
    known: dict[tuple[str, str], Json] = {}
    for place, each in enumerate(entities):
        if not isinstance(each, dict) or {*each} != {"uid", "attrs", "parents"}:
            raise CedarPolicyError(f"{ENTITIES}: [{place}]: want uid, attrs and parents")
        uid = each["uid"]
        named = isinstance(uid, dict) and {*uid} == {"type", "id"}
        if not named or not all(isinstance(part, str) for part in uid.values()):
            raise CedarPolicyError(f"{ENTITIES}: [{place}]: want a uid with type and id")
        if uid["type"] not in types:
            raise CedarPolicyError(f"{ENTITIES}: [{place}]: {uid['type']!r} is not in {SCHEMA}")
        _require_declared(
            each["attrs"], types[uid["type"]], f"[{place}]: {uid['type']} {uid['id']!r}"
        )
        if (key := (uid["type"], uid["id"])) in known:
            raise CedarPolicyError(f"{ENTITIES}: [{place}]: {key} stands there twice")
        known[key] = each
    return known


def _require_declared(attributes: Any, declared: frozenset[str], what: str) -> None:
    """Raises CedarPolicyError for an attribute that the entity's type does not have."""
    if not isinstance(attributes, dict):
        raise CedarPolicyError(f"{ENTITIES}: {what}: attrs: want an object")
    for name in sorted(attributes.keys() - declared):
        near = get_close_matches(name, declared, 1) or [", ".join(sorted(declared)) or "none"]
        raise CedarPolicyError(
            f"{ENTITIES}: {what}: unknown attribute {name!r}, want {near[0]}: declare it in"
            f" {SCHEMA}, or correct the name"
        )


_ONCE = """
schema, rules, entities = texts
errors = cedarpy.validate_policies(rules, schema).errors
if not errors:
    cedarpy.Entities.from_json_str(entities, cedarpy.Schema.from_json_str(schema))
    cedarpy.PolicySet.from_str(rules)
"""
