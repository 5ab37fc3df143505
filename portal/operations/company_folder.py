"""Which company a data directory belongs to: the setting `company`, a folder.

The data directory remembers the folder, so that a command which is only given the directory finds
it. Without the setting the demonstration, and a log with the name of its log, have the example.
What customers notice of settings stands beside it, so that `sovereign plan` can say what changes:

    {"folder":"/srv/company","settings":{"controller_name":"Bank AG","session_hours":"12",…}}
"""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

from pydantic import TypeAdapter

from gate.contracts import company, services
from gate.contracts.company import Company, ItemUse
from gate.contracts.odcs import ContractError
from gate.decision.quota import Quota
from gate.policy import cedar
from gate.policy.cedar import CedarPolicy
from gate.policy.decisions import SCHEMA, DecisionPolicy
from gate.policy.decisions import load as load_decisions
from ledger.errors import CorruptLogError
from ledger.service import Ledger
from ledger.tlog import atomic_file
from portal.configuration import languages
from portal.configuration.sources import SettingError
from portal.operations.settings import Partner, Settings
from steward.dpv import party
from steward.dpv.party import Organisation, Party
from steward.language import catalogue

REMEMBERED = "company.json"
CENTRE = "/customer"
NOTHING: Mapping[str, str] = {}
_FACTS = (  # settings that a consent record states
    "controller_name",
    "controller_id",
    "controller_address",
    "controller_email",
    "jurisdiction",
    "storage_location",
)
_WANTED = (
    "set `company` (--company, sovereign.toml, SOVEREIGN_COMPANY) to the folder that defines the "
    "company; `sovereign demo` serves an example"
)


class UnstatedError(ValueError):
    """The company does not say what a consent record must state."""


def example() -> Path:
    """The folder of the demonstration's company, in a checkout or a wheel."""
    package = Path(__file__).parents[1]
    inside = package / "examples" / "bank"
    return inside if inside.is_dir() else package.parent / "examples" / "bank"


def folder(settings: Settings) -> Path:
    """The company's folder: of the setting, or remembered, or the example. Raises SettingError."""
    home = settings.data_dir
    chosen = settings.company or _remembered(home)
    if chosen:
        if not (place := Path(chosen)).is_dir():
            raise SettingError(f"the company's folder {place} does not exist; {_WANTED}")
        return place
    if settings.demo or _origin(home) == company.origin(example()):
        return example()
    raise SettingError(f"{home} is no company's yet; {_WANTED}")


def configured(settings: Settings) -> tuple[Settings, Company]:
    """The company, and the settings with what it says where they say nothing.

    Raises SettingError, ContractError.
    """
    read = company.load(folder(settings))
    languages.require(read)
    said = {"origin": read.origin, "source": read.rows}
    said |= dict(zip(_FACTS, astuple(read.entity), strict=True))
    unsaid = {name: value for name, value in said.items() if not getattr(settings, name)}
    registered = {
        "quota": _quotas(read) | dict(settings.quota),
        "partners": _partners(read) | dict(settings.partners),
    }
    return settings.model_copy(update=unsaid | registered), read


def _quotas(read: Company) -> dict[str, Quota]:
    """The quotas of services.toml, named as in the settings."""
    return {
        f"{each.id}/{scene}": TypeAdapter(Quota).validate_python(dict(limits))
        for each in read.services.values()
        for scene, limits in each.quotas.items()
    }


def _partners(read: Company) -> dict[str, Partner]:
    stated = (each for each in read.services.values() if each.entity)
    return {each.id: Partner(**each.entity) for each in stated}


def at(home: Path) -> tuple[Settings, Company]:
    """The same for a command over the data directory `home`. Raises as `configured` does."""
    return configured(Settings(data_dir=home))


def of(home: Path) -> Company:
    """The company of a data directory. Raises as `configured` does."""
    return at(home)[1]


def policy(of: Company) -> CedarPolicy:
    """The product's rules and the company's own. Raises CedarPolicyError."""
    return cedar.load(cedar.law_folder(), of.policy)


def decisions(of: Company) -> DecisionPolicy | None:
    """The company's policy about other resources than customers; None if it has none.

    Raises CedarPolicyError, and ContractError if a service may ask for a type that it has not.
    """
    found = load_decisions(of.policy)
    types = {} if found is None else found.types
    for each in of.services.values():
        if unknown := sorted({*each.may_ask_for} - types.keys()):
            raise ContractError(
                f"{of.folder / services.FILE}: {each.id}: may_ask_for names {', '.join(unknown)}, "
                f"want types of policy/{SCHEMA}: {', '.join(sorted(types)) or 'there is none'}"
            )
    return found


def stated(settings: Settings) -> bool:
    """Whether the company says all that a consent record must state."""
    return all(_facts(settings).values())


def organisation(settings: Settings, of: Company | None = None) -> Organisation:
    """The controller and its partners, for consent records, in the languages of a company.

    Raises UnstatedError.

    People keep these documents, so one with a missing fact is not made.
    """
    facts = _facts(settings)
    if missing := [name for name, value in facts.items() if not value]:
        raise UnstatedError(
            f"want {', '.join(_FACTS)} in the settings, found no {', '.join(missing)}: a consent"
            f" record must say who is responsible; state it in {company.FILE} of the company's"
            " folder, or set them (sovereign.toml, SOVEREIGN_…)"
        )
    controller = Party(
        facts["controller_id"],
        facts["controller_name"],
        facts["controller_address"],
        facts["controller_email"],
    )
    partners = {
        service: Party(each.id, each.name, each.address, each.email)
        for service, each in settings.partners.items()
    }
    centre = (settings.login_origin or f"http://localhost:{settings.port}") + CENTRE
    return Organisation(
        controller,
        facts["jurisdiction"],
        facts["storage_location"],
        centre,
        partners,
        party.rights(catalogue.load(of)),
    )


def _facts(settings: Settings) -> dict[str, str]:
    return {name: getattr(settings, name) for name in _FACTS}


def noticed(settings: Settings, company: Company) -> dict[str, str]:
    """What customers notice of settings and of company.toml, besides contracts and policy.

    Addresses of a server are not in it: whoever plans may have none, or another.
    """
    found = {**_facts(settings), "brand.title": company.brand.title}
    for each in fields(company.roles):
        found[f"roles.{each.name}"] = _shown(getattr(company.roles, each.name))
    for name in ("session_idle_minutes", "session_hours"):
        found[name] = str(getattr(settings, name))
    for service, partner in settings.partners.items():
        found[f"partners.{service}"] = ", ".join(str(each) for _, each in sorted(partner))
    return found


def _shown(role: object) -> str:
    """A role, in one line: `service/this-page/email`, `offers, statistics`."""
    if isinstance(role, ItemUse):
        return "/".join(astuple(role))
    return ", ".join(role) if isinstance(role, tuple) else str(role or "")


def remember(home: Path, folder: Path, seen: Mapping[str, str] = NOTHING) -> None:
    """Let commands that are given the data directory find the company. Durable on return.

    `seen`: what customers notice of the settings.
    """
    remembered: dict[str, object] = {"folder": str(folder.resolve())}
    remembered |= {"settings": dict(seen)} if seen else {}
    content = json.dumps(remembered, ensure_ascii=False, separators=(",", ":")).encode()
    path = home / REMEMBERED
    if not path.exists() or path.read_bytes() != content:
        atomic_file.write(path, content)


def remembered_settings(home: Path) -> dict[str, str]:
    """What customers noticed of the last start; empty if it left nothing. Raises SettingError."""
    return dict(_read(home).settings)


def require_remembered(path: Path) -> None:
    """Raises SettingError unless the file can be read."""
    _read(path.parent)


def _remembered(home: Path) -> str:
    return _read(home).folder


@dataclass(frozen=True, slots=True)
class _Remembered:
    folder: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


def _read(home: Path) -> _Remembered:
    path = home / REMEMBERED
    try:
        read = json.loads(path.read_bytes())
        settings = TypeAdapter(dict[str, str]).validate_python(read.get("settings", {}))
        return _Remembered(str(read["folder"]), settings)
    except FileNotFoundError:
        return _Remembered()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(f'{path} cannot be read, want {{"folder":…}}; {_WANTED}') from error


def _origin(home: Path) -> str:
    """The name of the log in a data directory; empty: there is none."""
    try:
        return Ledger.origin_in(home)
    except CorruptLogError:
        return ""
