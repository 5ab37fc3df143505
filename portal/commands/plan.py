"""`sovereign plan` and `apply`: what the next start would publish, and to publish it."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portal.commands import company, plan_settings
from portal.commands.errors import MistakeError, fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from gate.contracts.company import Company
    from gate.policy.cedar import CedarPolicy
    from portal.operations.settings import Settings
    from steward.contracts.publication_plan import (
        ChangedSetting,
        PlannedChange,
        PlannedScene,
        PublicationPlan,
    )

app = typer.Typer()

Folder = Annotated[
    Path | None,
    typer.Option("--company", help="Folder that defines the company. Default: as for `serve`."),
]
NOTHING = "nothing to publish"


@app.command()
def plan(
    folder: Folder = None,
    data_dir: DataDir = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what the next start would publish, and which customers would have to agree again.

    Reads only, so a server may run meanwhile. Exit status 0: nothing to publish. 1: something, and
    the plan is printed. 2: the company's folder has faults, all of which are printed, or the data
    directory cannot be used.
    """
    terms = _terms(folder, data_dir)
    with _log(terms.home) as log:
        planned = terms.plan(log)
    typer.echo(_json(planned) if as_json else "\n".join(_lines(planned)))
    raise typer.Exit(1 if planned.publishes else 0)


@app.command()
def apply(
    folder: Folder = None,
    data_dir: DataDir = HERE,
    digest: Annotated[
        str | None,
        typer.Option("--plan", help="Publish only if `sovereign plan` still prints this plan."),
    ] = None,
) -> None:
    """Publish in the consent log what `sovereign plan` prints, and print it.

    A server has to be stopped first: it would go on showing customers the earlier words. Exit
    status 2: the folder has faults, there is no ledger, a process serves it, or the plan is another
    one; nothing was published.
    """
    from gate.policy import decisions
    from portal.operations import company_folder, open_ledger, wiring

    terms = _terms(folder, data_dir)
    require_ledger(terms.home)
    wiring.require_usable(terms.settings, terms.company.scenes)
    wiring.sound_source(terms.settings, terms.company.source)
    with open_ledger.writing(terms.home) as ledger:
        planned = terms.plan(ledger)
        if digest not in {None, planned.digest}:
            fail(
                f"want plan {digest}, found {planned.digest}: the folder or the log changed since."
                " Run `sovereign plan` again; nothing was published"
            )
        if planned.publishes:
            plan_settings.publish(ledger, terms.company, terms.settings)
            wiring.publish_scenes(ledger, terms.company, terms.home)
            wiring.publish_policy(ledger, terms.policy, terms.home)
            own = company_folder.decisions(terms.company)
            wiring.publish_decisions(ledger, own, terms.home)
            decisions.activate(own, terms.home)
    lines = _lines(planned)
    typer.echo("\n".join([*lines[:-1], "published"] if planned.publishes else lines))


def require_agreed(planned: "PublicationPlan") -> None:
    """Refuse a start by which consents end, or data is read that nobody was asked for, unless
    somebody has read the plan."""
    if ending := [each for each in planned.scenes if each.ending]:
        scenes = ", ".join(f"{each.scene} ({each.ending} customers)" for each in ending)
        raise MistakeError(
            f"contracts changed so that earlier consents end: {scenes}. Run `sovereign plan`, then "
            "`sovereign apply`, or serve with --apply; nothing was published"
        )
    if unasked := [each for each in planned.scenes if each.unasked]:
        scenes = ", ".join(f"{each.scene} ({each.unasked})" for each in unasked)
        raise MistakeError(
            f"contracts changed so that data is used without consent: {scenes}. Run `sovereign "
            "plan`, then `sovereign apply`, or serve with --apply; nothing was published"
        )


@dataclass(frozen=True, slots=True)
class _Terms:
    """A company's folder without faults, and the data directory that it is compared with."""

    settings: "Settings"
    company: "Company"
    policy: "CedarPolicy"

    @property
    def home(self) -> Path:
        return self.settings.data_dir

    def plan(self, log: Any) -> "PublicationPlan":
        from portal.operations import wiring

        changes = plan_settings.changed(log, self.company, self.settings)
        return wiring.planned(log, self.company, self.policy, self.home, changes)


def _terms(folder: Path | None, data_dir: Path) -> _Terms:
    """Ends the command if the folder has faults, or the log has another origin."""
    from gate.contracts.odcs import ContractError
    from gate.policy.cedar import CedarPolicyError
    from ledger.integrity import start
    from portal.operations import company_folder
    from portal.operations.settings import Settings

    settings = Settings(data_dir=data_dir)
    if folder is not None:
        settings = settings.model_copy(update={"company": str(folder)})
    if not settings.data_dir.is_dir():
        require_ledger(settings.data_dir)
    place = company_folder.folder(settings)
    if faults := [*company.faults(place)]:
        fail("\n".join(faults))
    try:
        settings, read = company_folder.configured(settings)
        policy = company_folder.policy(read)
    except (ContractError, CedarPolicyError) as error:  # the folder changed meanwhile
        fail(str(error))
    start.require(settings.data_dir, settings.origin)
    return _Terms(settings, read, policy)


@contextmanager
def _log(home: Path) -> Iterator[Any]:
    """The log of a data directory, to read; None if it has none yet."""
    from ledger.follower import Follower
    from ledger.service import Ledger

    if not Ledger.exists(home):
        yield None
        return
    with closing(Follower(home)) as follower:
        yield follower


def _lines(planned: "PublicationPlan") -> list[str]:
    width = max(len(each.scene) for each in planned.scenes)
    lines = [f"{each.scene:{width}}  {_line(each)}" for each in planned.scenes]
    lines.append(f"{'policy':{width}}  {_policy(planned.policy)}")
    if planned.decisions is not None:
        lines.append(f"{'policy/decisions':{width}}  {_policy(planned.decisions)}")
    lines += [_setting(each) for each in planned.settings]
    last = f"plan {planned.digest}" if planned.publishes else NOTHING
    return [*lines, last]


def _setting(each: "ChangedSetting") -> str:
    return f"setting {each.name}  changed from {_value(each.before)} to {_value(each.after)}"


def _value(text: str) -> str:
    return text if text.isdecimal() else json.dumps(text, ensure_ascii=False)


def _policy(change: "PlannedChange") -> str:
    from steward.contracts.publication_plan import PlannedChange

    names = {PlannedChange.REWORDED: "changed", PlannedChange.RETIRED: "removed"}
    return names.get(change, change.value)


def _line(each: "PlannedScene") -> str:
    from steward.contracts.publication_plan import PlannedChange

    match each.change:
        case PlannedChange.NEW:
            return f"new, version {each.version}{_basis(each)}"
        case PlannedChange.RETIRED:
            return (
                f"retired, version {each.before}: {_allowing(each)}, and nothing is read under it"
            )
        case PlannedChange.UNCHANGED:
            return f"unchanged, version {each.version}: {_allowing(each)}"
        case PlannedChange.REWORDED | PlannedChange.NARROWED | PlannedChange.WIDENED:
            parts = [f"{_allowing(each)}, {each.ending} of them must agree again"]
            if each.interest:
                parts = [_allowing(each)]
            elif each.unasked:
                parts = [f"{each.unasked}, used of every customer, whatever they allow"]
            parts = [f"more: {', '.join(each.came)}" for _ in each.came[:1]] + parts
            parts = [f"less: {', '.join(each.gone)}" for _ in each.gone[:1]] + parts
            versions = f"version {each.before} to {each.version}"
            return f"{each.change}, {versions}: {'; '.join(parts)}"


def _basis(each: "PlannedScene") -> str:
    if each.interest:
        return ": legitimate interest, on for every customer until they object"
    from steward.contracts.publication_plan import COUNTED

    if each.unasked == COUNTED:
        return f": {COUNTED}"
    return f": {each.unasked}, on for every customer" if each.unasked else ""


def _allowing(each: "PlannedScene") -> str:
    if each.interest and each.allowing is not None:
        return f"{each.objecting} customer{'s object' if each.objecting != 1 else ' objects'} to it"
    if each.allowing is None:
        return "an unknown number of customers allow it"
    return f"{each.allowing} customer{'s allow' if each.allowing != 1 else ' allows'} it"


def _json(planned: "PublicationPlan") -> str:
    """The plan as one object.

    {"plan":"3f2a…","publishes":true,"policy":"unchanged","decisions":null,"scenes":[{"scene":"statistics",
     "change":"widened","version":"2.0.0","before":"1.0.0","more":["service planning"],"less":[],
     "allowing":52,"must_agree_again":52,"objecting":3,"without_consent":null}],
     "settings":[{"setting":"reads_kept_days","before":"0","after":"365"}]}

    `without_consent`: the basis that the start gives the scene, if it is read without consent.
    """
    scenes = [
        {
            "scene": each.scene,
            "change": each.change.value,
            "version": each.version or None,
            "before": each.before or None,
            "more": [*each.came],
            "less": [*each.gone],
            "allowing": each.allowing,
            "must_agree_again": each.ending,
            "objecting": each.objecting,
            "without_consent": each.unasked or None,
        }
        for each in planned.scenes
    ]
    made = {
        "plan": planned.digest,
        "publishes": planned.publishes,
        "policy": _policy(planned.policy),
    }
    made["decisions"] = None if planned.decisions is None else _policy(planned.decisions)
    settings = [
        {"setting": each.name, "before": each.before, "after": each.after}
        for each in planned.settings
    ]
    return json.dumps(made | {"scenes": scenes, "settings": settings})
