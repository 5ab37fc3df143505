"""A company: a folder with everything that defines it.

    company.toml           origin of its log, who is responsible, what the product itself reads,
                           its languages, how its pages look
    locales/               languages that the product does not have: see steward/language
    sources/*.odcs.yaml    one source contract: where personal rows lie
    scenes/*.odcs.yaml     the scene contracts
    services.toml          who asks for data; a folder without it has the services of its contracts
    policy/                organisation.cedar: rules on top of what contracts and customers allow;
                           decisions.cedar: about resources that are no customer's data

A complete example: `examples/bank`. Normative clauses: `specs/company.md`.
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from gate.contracts import odcs, services
from gate.contracts.brand import DARK, LIGHT, Brand, wrong_colour, wrong_logo, wrong_title
from gate.contracts.odcs import ContractError
from gate.contracts.scene import Scene
from gate.contracts.scene_file import in_order, load_scene
from gate.contracts.services import RegisteredService, ServiceRegister
from gate.contracts.source import SourceContract, load_source
from gate.contracts.specs import dpv_terms

FILE = "company.toml"
CONTRACT = ".odcs.yaml"


@dataclass(frozen=True, slots=True)
class ItemUse:
    """An item that the product itself reads through the gate, as a service of a scene."""

    scene: str
    service: str
    item: str


@dataclass(frozen=True, slots=True)
class Roles:
    """What a company's scenes are to the product. None or empty: the company has no such scene."""

    greeting: ItemUse | None = None  # the name on the customer's own page
    letters: ItemUse | None = None  # the address for copies of receipts
    desk: ItemUse | None = None  # the name on the desk and, masked, in notices
    global_privacy_control: tuple[str, ...] = ()  # scenes that the browser's signal withdraws
    ai_training: str | None = None  # the scene whose grants allow training a model


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """Who is responsible. Empty where company.toml does not say it."""

    name: str = ""
    id: str = ""
    address: str = ""
    email: str = ""
    jurisdiction: str = ""
    storage_location: str = ""


SETTINGS = frozenset(
    {"brand", "languages", "origin", "roles", "source"}
    | {each.name for each in fields(LegalEntity)}
)


@dataclass(frozen=True, slots=True)
class Company:
    folder: Path
    origin: str  # of the consent log
    rows: str  # where personal rows are: an address, or a path; empty: in the data directory
    entity: LegalEntity
    roles: Roles
    source: SourceContract
    scenes: Mapping[str, Scene]  # in the order in which customers see them
    services: Mapping[str, RegisteredService] = field(default_factory=dict)  # of services.toml
    brand: Brand = field(default_factory=Brand)
    languages: tuple[str, ...] = odcs.LANGUAGES  # BCP 47; pages fall back to the first

    @property
    def locales(self) -> Path:
        """Catalogues of languages that the product does not have. It need not exist."""
        return self.folder / "locales"

    @property
    def policy(self) -> Path:
        """The folder of the organisation's own rules."""
        return self.folder / "policy"

    @property
    def source_file(self) -> Path:
        return _only_source(self.folder)

    def scene_file(self, scene: str) -> Path:
        """The contract of a scene. Its name is the scene's id."""
        return self.folder / "scenes" / f"{scene}{CONTRACT}"


def origin(folder: Path) -> str:
    """The name of the company's log. Raises ContractError."""
    return _CompanyFile.read(folder / FILE).origin()


def load(folder: Path) -> Company:
    """Read a company's folder. Raises ContractError with the first fault."""
    source = load_source(_only_source(folder))
    scenes = in_order(folder / "scenes", [_scene(each, source) for each in _scenes(folder)])
    settings = _CompanyFile.read(folder / FILE)
    register = services.load(folder)
    for fault in _differences(folder, register, scenes):
        raise ContractError(fault)
    languages = settings.languages()
    for fault in _wrong_texts(folder, languages, source, register, scenes):
        raise ContractError(fault)
    return Company(
        folder,
        settings.origin(),
        settings.rows(),
        settings.entity(),
        settings.roles(scenes),
        source,
        scenes,
        register.services if register else {},
        settings.brand(),
        languages,
    )


def faults(folder: Path) -> Iterator[str]:
    """Every fault of a company's folder; none: `load` reads it."""
    found: list[str] = []
    source = _noting(found, lambda: load_source(_only_source(folder)))
    settings = _noting(found, lambda: _CompanyFile.read(folder / FILE))
    scenes: list[Scene] = []
    if source is not None:
        files = _noting(found, lambda: _scenes(folder)) or []
        read = [_noting(found, partial(_scene, each, source)) for each in files]
        scenes = [each for each in read if each is not None]
        if len(scenes) == len(files) and files:
            _noting(found, lambda: in_order(folder / "scenes", scenes))
    register = _noting(found, lambda: services.load(folder))
    known = {each.id: each for each in scenes}
    languages = _noting(found, settings.languages) if settings is not None else None
    if source is not None and languages is not None:
        found += _wrong_texts(folder, languages, source, register, known)
    if not found:
        found += _differences(folder, register, known)
    if settings is not None:
        _noting(found, settings.origin)
        _noting(found, settings.rows)
        _noting(found, settings.entity)
        _noting(found, settings.brand)
        if not found:
            _noting(found, lambda: settings.roles(known))
    yield from found


def _differences(
    folder: Path, register: ServiceRegister | None, scenes: Mapping[str, Scene]
) -> Iterator[str]:
    if register is not None:
        files = {name: folder / "scenes" / f"{name}{CONTRACT}" for name in scenes}
        yield from services.differences(register, scenes, files)


def _wrong_texts(
    folder: Path,
    languages: Collection[str],
    source: SourceContract,
    register: ServiceRegister | None,
    scenes: Mapping[str, Scene],
) -> Iterator[str]:
    """Texts of the present contracts that lack a language of the company, or have another one."""
    titles = [each.title for each in source.items.values()]
    for line, wrong in odcs.wrong_languages([source.systems, titles], languages):
        yield f"{_only_source(folder)}: line {line}: {wrong}"
    for scene in scenes.values():
        uses = [each.use for each in scene.fields.values()]
        shown = [scene.title, scene.summary, scene.consequence, scene.alternative, uses]
        for line, wrong in odcs.wrong_languages(
            [*shown, scene.services, scene.triggers], languages
        ):
            yield f"{folder / 'scenes' / (scene.id + CONTRACT)}: line {line}: {wrong}"
    if register is not None:
        for service in register.services.values():
            for _, wrong in odcs.wrong_languages(service.title, languages):
                yield register.fault(service.id, wrong)


def _noting(found: list[str], read: Any) -> Any:
    try:
        return read()
    except ContractError as error:
        found.append(str(error))
        return None


def _scene(path: Path, source: SourceContract) -> Scene:
    """A scene whose file has its id as name, by which it is found again."""
    read = load_scene(path, source)
    if path.name != f"{read.id}{CONTRACT}":
        raise ContractError(f"{path}: its id is {read.id!r}, want the name {read.id}{CONTRACT}")
    prefix, _, name = read.purpose.rpartition(":")
    with odcs.reporting(path), odcs.at(_line_of(path, "property: purpose")):
        odcs.require_known([name], dpv_terms(prefix), "DPV term as a purpose")
    return read


def _line_of(path: Path, text: str) -> int:
    """The first line that has the text; 0 if none does."""
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    return next((number for number, line in lines if text in line), 0)


def _only_source(folder: Path) -> Path:
    files = sorted((folder / "sources").glob(f"*{CONTRACT}"))
    if len(files) != 1:
        raise ContractError(
            f"{folder / 'sources'}: found {len(files)} source contracts (*{CONTRACT}), want one"
        )
    return files[0]


def _scenes(folder: Path) -> list[Path]:
    """The files of the scene contracts. A file with another ending would be passed over."""
    place = folder / "scenes"
    for each in sorted(place.glob("*")):
        if not each.name.endswith(CONTRACT) and not each.name.startswith("."):
            raise ContractError(f"{each}: want scene contracts only, named <scene>{CONTRACT}")
    files = sorted(place.glob(f"*{CONTRACT}"))
    if not files:
        raise ContractError(f"{place}: found no scene contract (*{CONTRACT}), want at least one")
    return files


class _CompanyFile:
    """company.toml, read strictly."""

    def __init__(self, path: Path, text: str, data: Mapping[str, Any]) -> None:
        self._path, self._lines, self._data = path, text.splitlines(), data

    @classmethod
    def read(cls, path: Path) -> "_CompanyFile":
        """Raises ContractError."""
        try:
            text = path.read_text("utf-8")
            made = cls(path, text, tomllib.loads(text))
        except (OSError, ValueError) as error:
            raise ContractError(f"{path}: cannot be read as TOML: {error}") from error
        made._require(made._data, SETTINGS, "setting")
        return made

    def origin(self) -> str:
        """The name of the log: a host, and a path without spaces or a plus."""
        found = self._text("origin")
        if not re.fullmatch(r"[a-z0-9.-]+(/[A-Za-z0-9._-]+)+", found):
            raise self._wrong(
                "origin", f"origin is {found!r}, want host/name such as telco.example/consent"
            )
        return found

    def rows(self) -> str:
        """Where personal rows are; a relative path is one in the company's folder."""
        if "source" not in self._data:
            return ""
        found = self._text("source")
        return found if "://" in found else str(self._path.parent / found)

    def languages(self) -> tuple[str, ...]:
        """The languages of the company, the one that pages fall back to first."""
        named = self._data.get("languages", [*odcs.LANGUAGES])
        tags = isinstance(named, list) and all(
            isinstance(each, str) and odcs.LANGUAGE.fullmatch(each) for each in named
        )
        if not tags or not named or len({*named}) != len(named):
            raise self._wrong(
                "languages",
                f'languages is {named!r}, want different tags such as ["en", "zh-CN", "de"]',
            )
        return tuple(named)

    def entity(self) -> LegalEntity:
        names = [each.name for each in fields(LegalEntity)]
        return LegalEntity(**{each: self._text(each) for each in names if each in self._data})

    def brand(self) -> Brand:
        """How pages look. Raises ContractError."""
        declared = self._data.get("brand", {})
        if not isinstance(declared, Mapping):
            raise self._wrong("brand", f"brand is {declared!r}, want a table: [brand]")
        self._require(declared, {each.name for each in fields(Brand)}, "setting of the brand")
        texts = {name: self._text(name, declared) for name in declared}
        for name, backgrounds in {"colour": LIGHT, "dark_colour": DARK}.items():
            if name in texts and (wrong := wrong_colour(texts[name], backgrounds)):
                raise self._wrong(name, f"{name} is {texts[name]!r}: {wrong}")
        if "title" in texts and (wrong := wrong_title(texts["title"])):
            raise self._wrong("title", f"title: {wrong}")
        logo = self._path.parent / texts["logo"] if "logo" in texts else None
        if logo is not None and not logo.resolve().is_relative_to(self._path.parent.resolve()):
            raise self._wrong("logo", f"logo is {texts['logo']!r}, want a file of this folder")
        if logo is not None and (wrong := wrong_logo(logo)):
            raise self._wrong("logo", f"logo: {wrong}")
        colour, dark_colour = texts.get("colour", ""), texts.get("dark_colour", "")
        return Brand(texts.get("title", ""), colour, dark_colour, logo)

    def roles(self, scenes: Mapping[str, Scene]) -> Roles:
        """The roles, whose scenes, services and items exist. Raises ContractError."""
        declared = self._data.get("roles", {})
        if not isinstance(declared, Mapping):
            raise self._wrong("roles", f"roles is {declared!r}, want a table: [roles]")
        self._require(declared, {each.name for each in fields(Roles)}, "role")
        uses = {
            name: self._use(name, declared[name], scenes)
            for name in ("greeting", "letters", "desk")
            if name in declared
        }
        signals = declared.get("global_privacy_control", [])
        if not isinstance(signals, list):
            raise self._wrong(
                "global_privacy_control",
                f"global_privacy_control is {signals!r}, want a list of scenes",
            )
        for each in signals:
            self._scene("global_privacy_control", each, scenes)
            if scenes[each].locked:
                raise self._wrong(
                    "global_privacy_control",
                    f"scene {each!r} rests on {scenes[each].legal_basis}: a signal cannot withdraw "
                    "it; name scenes that rest on consent or on legitimate interest",
                )
        training = declared.get("ai_training")
        if training is not None:
            self._scene("ai_training", training, scenes)
            if not scenes[training].needs_consent:
                raise self._wrong(
                    "ai_training",
                    f"scene {training!r} rests on {scenes[training].legal_basis}: want one that "
                    "rests on consent, which no customer's silence gives",
                )
        return Roles(**uses, global_privacy_control=tuple(signals), ai_training=training)

    def _use(self, role: str, declared: Any, scenes: Mapping[str, Scene]) -> ItemUse:
        wanted = [each.name for each in fields(ItemUse)]
        if not isinstance(declared, Mapping) or {*declared} != {*wanted}:
            raise self._wrong(role, f"{role} is {declared!r}, want {{ scene, service, item }}")
        use = ItemUse(**declared)
        self._scene(role, use.scene, scenes)
        scene = scenes[use.scene]
        if scene.counts_everybody:
            raise self._wrong(
                role,
                f"{role} reads an item of one customer, and scene {use.scene!r} is for statistics, "
                "which answers about nobody: name a scene that is read",
            )
        self._known(role, "service", use.service, [each.id for each in scene.services])
        self._known(role, "item", use.item, scene.fields)
        return use

    def _scene(self, role: str, name: Any, scenes: Collection[str]) -> None:
        self._known(role, "scene", name, scenes)

    def _known(self, role: str, what: str, name: Any, known: Collection[str]) -> None:
        try:
            odcs.require_known([name], known, what)
        except (ContractError, TypeError) as error:
            raise self._wrong(role, f"{role}: {error}") from error

    def _require(self, declared: Mapping[str, Any], known: Collection[str], what: str) -> None:
        for name in declared:
            self._named(name, known, what)

    def _named(self, name: str, known: Collection[str], what: str) -> None:
        try:
            odcs.require_known([name], known, what)
        except ContractError as error:
            raise self._wrong(name, str(error)) from error

    def _text(self, name: str, among: Mapping[str, Any] | None = None) -> str:
        found = (self._data if among is None else among).get(name)
        if not isinstance(found, str) or not found.strip():
            raise self._wrong(name, f"{name} is {found!r}, want a text in quotes")
        return found

    def _wrong(self, name: str, message: str) -> ContractError:
        """An error at the line that sets `name`; line 1 if none does."""
        place = re.compile(rf'\s*(\[\s*)?"?{re.escape(name)}"?\s*[]=.]')
        lines = (n for n, each in enumerate(self._lines, 1) if place.match(each))
        return ContractError(f"{self._path}: line {next(lines, 1)}: {message}")
