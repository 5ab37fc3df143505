"""A short model of the organisation's policy: rules as data, and their evaluation.

An expression is a tuple; `text` writes it as Cedar. `value` follows Cedar's evaluation semantics
(docs.cedarpolicy.com, "Evaluation semantics"). `permits` is our rule for decisions: deny by
default, a forbid overrides every permit, and an error in any rule denies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from specs.model.contract import Contract

Expression = tuple[Any, ...]


class MistakeError(Exception):
    """The expression has no value: it overflows, names something missing, or mixes types."""


@dataclass(frozen=True)
class Rule:
    permit: bool
    service: str | None  # None: any
    scene: str | None
    conditions: tuple[tuple[bool, Expression], ...]  # true: when, false: unless


@dataclass(frozen=True)
class Asked:
    service: str
    scene: Contract
    field: str


def permits(rules: Sequence[Rule], asked: Asked) -> bool:
    try:
        met = [rule.permit for rule in rules if applies(rule, asked)]
    except MistakeError:
        return False
    return any(met) and all(met)


def applies(rule: Rule, asked: Asked) -> bool:
    """Whether a rule applies. Errors in a rule only affect those whom it is about."""
    if rule.service not in {None, asked.service} or rule.scene not in {None, asked.scene.id}:
        return False
    return all(truth(condition, asked) is wanted for wanted, condition in rule.conditions)


def truth(expression: Expression, asked: Asked) -> bool:
    result = value(expression, asked)
    if not isinstance(result, bool):
        raise MistakeError(expression)
    return result


def value(expression: Expression, asked: Asked) -> bool | int:
    match expression:
        case ("not", inner):
            return not truth(inner, asked)
        case ("and", first, second):
            return truth(first, asked) and truth(second, asked)
        case ("or", first, second):
            return truth(first, asked) or truth(second, asked)
        case ("if", condition, then, otherwise):
            return value(then if truth(condition, asked) else otherwise, asked)
        case ("number", number):
            return int(number)
        case (kind, *words) if kind in FACTS:
            return FACTS[kind](asked, *words)
    raise MistakeError(expression)  # "overflow", "missing", "absent", "mistyped"


FACTS: dict[str, Callable[..., bool]] = {
    "field": lambda asked, name: asked.field == name,
    "begins": lambda asked, letter: asked.field.startswith(letter),
    "basis": lambda asked, wanted: asked.scene.basis == wanted,
    "fallback": lambda asked, wanted: asked.scene.fallback == wanted,
    "purpose": lambda asked, wanted: asked.scene.purpose == wanted,
    "partner": lambda asked: asked.scene.services.get(asked.service, False),
    "named": lambda asked: asked.service in asked.scene.services,
    "has": lambda _, attribute: attribute in {"purpose", "basis", "fallback", "services"},
}


def text(rule: Rule) -> str:
    """The rule in Cedar."""
    who = f'principal == Service::"{rule.service}"' if rule.service else "principal"
    what = f'resource == Scene::"{rule.scene}"' if rule.scene else "resource"
    effect = "permit" if rule.permit else "forbid"
    conditions = "".join(
        f" {'when' if wanted else 'unless'} {{ {cedar(each)} }}" for wanted, each in rule.conditions
    )
    return f"{effect} ({who}, action, {what}){conditions};"


def cedar(expression: Expression) -> str:
    match expression:
        case ("not", inner):
            return f"!({cedar(inner)})"
        case ("and", first, second):
            return f"({cedar(first)}) && ({cedar(second)})"
        case ("or", first, second):
            return f"({cedar(first)}) || ({cedar(second)})"
        case ("if", condition, then, otherwise):
            return f"(if {cedar(condition)} then {cedar(then)} else {cedar(otherwise)})"
        case (kind, *words):
            return SIMPLE[kind].format(*words)
    raise AssertionError(expression)


SIMPLE = {
    "field": 'context.field == "{}"',
    "begins": 'context.field like "{}*"',
    "basis": 'resource.basis == "{}"',
    "fallback": 'resource.fallback == "{}"',
    "purpose": 'resource.purpose == "{}"',
    "partner": "principal.partner",
    "named": "resource.services.contains(principal)",
    "has": "resource has {}",
    "number": "{}",
    "overflow": "9223372036854775807 + 1 > 0",
    "missing": 'resource.{} == "x"',
    "absent": "context.nowhere",
    "mistyped": "context.field > 3",
}
