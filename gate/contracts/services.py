"""services.toml: who asks the gate for data, in one place.

    [recommender]
    title = { en = "Recommendation engine", zh-CN = "推荐引擎" }
    partner = false                              # true: a third party, named to customers
    scenes = ["recommendation"]                  # what it may ask for
    quota = { points_per_minute = 600 }          # in each of its scenes
    quotas = { recommendation = { rows_per_day = 1000 } }   # in one of them

    [chat-agent]
    title = { en = "Chat agent", zh-CN = "对话智能体" }
    partner = false
    scenes = ["recommendation"]
    on_behalf_of = ["recommender"]               # an agent: never asks for more than these may

    [todo-app]
    title = { en = "Task list", zh-CN = "任务清单" }
    partner = false
    scenes = []                                  # it reads no customer's data
    may_ask_for = ["user"]                       # an enforcement point: policy/decisions.cedar

    [broker]
    title = { en = "Insurance broker", zh-CN = "保险经纪公司" }
    partner = true
    scenes = ["third-party-sharing"]
    entity = { id = "…", name = "…", address = "…", email = "…" }   # for consent records

A scene's contract is published, and what customers agree to stands in it: so it repeats title and
partner of each service that it names, and the two files must say the same. Normative clauses:
`specs/company.md`.
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.contracts import odcs
from gate.contracts.odcs import ContractError, Text
from gate.contracts.scene import Scene, Service

FILE = "services.toml"
KEYS = frozenset(
    {
        "default_scene",
        "entity",
        "may_ask_for",
        "on_behalf_of",
        "partner",
        "quota",
        "quotas",
        "scenes",
        "title",
    }
)
WANTED = ("title", "partner", "scenes")
FACTS = ("id", "name", "address", "email")  # of a partner
WHOLE = frozenset({"points_alert", "points_per_minute", "rows_per_day"})  # limits that count
SHARES = frozenset({"share_alert", "table_share_alert"})
Limits = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RegisteredService:
    """`quotas`: by scene. `entity`: of a partner, by FACTS; empty where the file does not say.

    `may_ask_for`: types of subjects for which it asks by the company's policy. `default_scene`: of
    evaluations and searches that name none; empty: they are denied.
    """

    id: str
    title: Text
    partner: bool
    scenes: tuple[str, ...]
    on_behalf_of: tuple[str, ...] = ()
    quotas: Mapping[str, Limits] = field(default_factory=dict)
    entity: Mapping[str, str] = field(default_factory=dict)
    may_ask_for: tuple[str, ...] = ()
    default_scene: str = ""


@dataclass(frozen=True, slots=True)
class ServiceRegister:
    """The services of a company. `lines`: where each stands in the file."""

    path: Path
    services: Mapping[str, RegisteredService]
    lines: Mapping[str, int]

    def fault(self, service: str, message: str) -> str:
        return f"{self.path}: line {self.lines[service]}: {service}: {message}"


def load(folder: Path) -> ServiceRegister | None:
    """The register of a company's folder; None if it has none. Raises ContractError."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ContractError(f"{path}: cannot be read as TOML: {error}") from error
    lines = {name: _line(text, name) for name in data}
    services = {}
    for name, declared in data.items():
        try:
            services[name] = _service(name, declared)
        except (ContractError, KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ContractError(f"{path}: line {lines[name]}: {name}: {why}") from error
    if not services:
        raise ContractError(f"{path}: line 1: found no service, want a table for each: [service]")
    return ServiceRegister(path, services, lines)


def differences(
    register: ServiceRegister, scenes: Mapping[str, Scene], files: Mapping[str, Path]
) -> Iterator[str]:
    """Where the register and the scenes' contracts say different things. `files`: of the scenes."""
    for scene in scenes.values():
        for each in scene.services:
            if (wrong := _named(register, scene, each)) is not None:
                yield f"{files[scene.id]}: line {_place(files[scene.id], each)}: {wrong}"
    for service in register.services.values():
        for wrong in (*_of_scenes(service, scenes), *_of_agent(service, register.services)):
            yield register.fault(service.id, wrong)


def _place(path: Path, service: Service) -> int:
    """The line of a contract that names the service."""
    named = re.compile(rf"\bid: [\"']?{re.escape(service.id)}\b(?!-)")
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    return next((number for number, line in lines if named.search(line)), 1)


def _named(register: ServiceRegister, scene: Scene, named: Service) -> str | None:
    """What is wrong with a service that a scene names."""
    try:
        odcs.require_known([named.id], register.services, f"service of {FILE}")
    except ContractError as error:
        return str(error)
    known = register.services[named.id]
    if scene.id not in known.scenes:
        return f"service {named.id!r} is named here, and not {scene.id!r} in its scenes in {FILE}"
    for what, here, there in (
        ("title", named.title, known.title),
        ("partner", named.partner, known.partner),
    ):
        if here != there:
            found = f"{here!r} here and {there!r} in {FILE}"
            return f"{what} of service {named.id!r} is {found}: want the same"
    return None


def _of_scenes(service: RegisteredService, scenes: Mapping[str, Scene]) -> Iterator[str]:
    for name in service.scenes:
        try:
            odcs.require_known([name], scenes, "scene")
        except ContractError as error:
            yield str(error)
            continue
        if not scenes[name].admits(service.id):
            yield f"may ask for {name!r}, whose contract does not name it: change one of them"


def _of_agent(service: RegisteredService, known: Mapping[str, RegisteredService]) -> Iterator[str]:
    for name in service.on_behalf_of:
        try:
            odcs.require_known([name], known.keys() - {service.id}, "service in on_behalf_of")
        except ContractError as error:
            yield str(error)
            continue
        if more := sorted({*service.scenes} - {*known[name].scenes}):
            yield f"acts on behalf of {name!r} and may ask for more than that: {', '.join(more)}"


def _service(name: str, declared: Any) -> RegisteredService:
    if not isinstance(declared, Mapping):
        raise ContractError(f"is {declared!r}, want a table: [{name}]")
    odcs.require_known(declared, KEYS, "key of a service")
    if missing := [each for each in WANTED if each not in declared]:
        raise ContractError(f"want {', '.join(missing)}, found none")
    title, partner = declared["title"], odcs.boolean(declared["partner"], "partner")
    if not isinstance(title, Mapping):
        raise ContractError(f"title is {title!r}, want a text in each language")
    scenes = odcs.strings(declared["scenes"], "scenes")
    agent = "on_behalf_of" in declared
    behalf = odcs.strings(declared["on_behalf_of"], "on_behalf_of") if agent else ()
    subjects = odcs.strings(declared.get("may_ask_for", []), "may_ask_for")
    if (not scenes and not subjects) or (agent and not behalf):
        raise ContractError("scenes or on_behalf_of names none, want at least one")
    default = declared.get("default_scene", "")
    if default and default not in scenes:
        raise ContractError(f"default_scene is {default!r}, want one of its scenes")
    return RegisteredService(
        odcs.slug(name),
        odcs.text(title),
        partner,
        scenes,
        behalf,
        _quotas(declared, scenes),
        _entity(declared.get("entity"), partner=partner),
        subjects,
        default,
    )


def _quotas(declared: Mapping[str, Any], scenes: Collection[str]) -> dict[str, Limits]:
    """The limits in each scene: those of `quotas`, else those of `quota`."""
    everywhere = _limits(declared["quota"], "quota") if "quota" in declared else {}
    single = declared.get("quotas", {})
    if not isinstance(single, Mapping):
        raise ContractError(f"quotas is {single!r}, want limits by scene")
    odcs.require_known(single, scenes, "scene in quotas")
    within = {name: _limits(each, f"quotas.{name}") for name, each in single.items()}
    made = {name: {**everywhere, **within.get(name, {})} for name in scenes}
    return {name: each for name, each in made.items() if each}


def _limits(declared: Any, name: str) -> Limits:
    if not isinstance(declared, Mapping):
        raise ContractError(f"{name} is {declared!r}, want limits such as {{ rows_per_day = 100 }}")
    odcs.require_known(declared, WHOLE | SHARES, f"limit in {name}")
    for limit, number in declared.items():
        whole = type(number) is int and number >= 0
        share = type(number) in {int, float} and 0 <= number <= 1
        if not (whole if limit in WHOLE else share):
            wanted = "a whole number" if limit in WHOLE else "a share from 0 to 1"
            raise ContractError(f"{name}.{limit} is {number!r}, want {wanted}")
    return dict(declared)


def _entity(declared: Any, *, partner: bool) -> dict[str, str]:
    if declared is None:
        return {}
    if not partner:
        raise ContractError("entity of a service of the company itself: that is in company.toml")
    if not isinstance(declared, Mapping) or {*declared} != {*FACTS}:
        raise ContractError(f"entity is {declared!r}, want {', '.join(FACTS)}")
    return {name: odcs.string(declared[name], f"entity.{name}") for name in FACTS}


def _line(text: str, name: str) -> int:
    """The line on which a service's table begins; line 1 if it is written in another way."""
    begins = re.compile(rf'\s*(\[\s*)?"?{re.escape(name)}"?\s*[]=.]')
    return next((n for n, each in enumerate(text.splitlines(), 1) if begins.match(each)), 1)
