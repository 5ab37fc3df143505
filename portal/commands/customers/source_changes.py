"""`sovereign customers`: what the company did with customers at its source.

Each act is the company's, of evidence class D. It takes permission away, or takes over under a new
number what the old one allowed. The acts of one command are recorded together or not at all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger import clock
from portal.commands.errors import fail, require_ledger
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from gate.contracts.scene import Scene
    from gate.contracts.versions import Version
    from ledger.events.envelope import Act, Instruction
    from ledger.events.reducer import ConsentState
    from ledger.reader import RecordedInstruction
    from ledger.service import Ledger

app = typer.Typer(
    help="What you did with customers at the source: deleted, renamed, merged, split.",
    no_args_is_help=True,
)

Subjects = Annotated[list[str], typer.Argument(help="The customers' numbers.")]
Subject = Annotated[str, typer.Argument(help="The customer's number.")]
MAX_NUMBER = 200  # characters
ATTEMPTS = 3  # if a customer gives an instruction in between


class SourceChangeError(Exception):
    """The customers are not as the command needs them. Nothing was recorded."""


@app.command()
def deleted(subjects: Subjects, data_dir: DataDir = HERE) -> None:
    """Record that you deleted customers at the source: all of these, or none.

    Every use that they can switch ends, and no silence allows one again. History, receipts and keys
    stay until `sovereign erase`. Delete their rows yourself: uses on a contract or a legal
    obligation read what the source has. Exit status 1: one of them is no customer, and nothing was
    recorded. 2: no ledger in the folder.
    """
    recorded = _recorded(data_dir, lambda ledger, home: _deleted(ledger, home, subjects))
    before = len({*subjects}) - len(recorded)
    again = f"; {before} were recorded before" if before else ""
    typer.echo(f"{len(recorded)} customers deleted at the source{again}")


@app.command()
def rename(old: Subject, new: Subject, data_dir: DataDir = HERE) -> None:
    """Record that the customer OLD has the number NEW at the source from now on.

    What OLD allowed and refused holds for NEW, with its items, ends and conditions, as the
    company's record of it. OLD ends as if deleted; its history, receipts and keys stay under its
    number, so NEW enrols keys of their own again. Record it before the source has the number NEW,
    so that nobody reads it in between. Exit status 1: OLD is no customer, asked to be erased or is
    under a legal hold, or NEW has decided something already, and nothing was recorded. 2: no ledger
    in the folder.
    """
    recorded = _recorded(data_dir, partial(_renamed, old=old, new=new))
    kinds = [each.event.act.__struct_config__.tag for each in recorded]
    decided = kinds.count("imported") + kinds.count("withdrawn")
    typer.echo(f"renamed: what was decided about {decided} uses holds for the new number")


@app.command()
def merge(merged: Subject, into: Subject, data_dir: DataDir = HERE) -> None:
    """Record that you merged the customer MERGED into INTO at the source.

    Nothing stays allowed that only one of them allowed: the narrower holds for each use and item.
    MERGED ends as if deleted; its history and receipts stay under its number. Both histories say
    what happened. Exit status 1: one of them is no customer, and nothing was recorded. 2: no ledger
    in the folder.
    """
    recorded = _recorded(data_dir, partial(_merged, merged=merged, into=into))
    ended = sum(each.event.act.__struct_config__.tag == "withdrawn" for each in recorded)
    limited = sum(each.event.act.__struct_config__.tag == "limited" for each in recorded)
    typer.echo(f"merged: {ended} uses ended, {limited} were limited to what both allowed")


@app.command()
def split(subject: Subject, new: Subject, data_dir: DataDir = HERE) -> None:
    """Record that you made a customer NEW of a part of SUBJECT at the source.

    NEW has no permission of SUBJECT and must be asked; what SUBJECT refused stays refused.
    Exit status 1: one of them is no customer, or NEW has decided something already, and nothing was
    recorded. 2: no ledger in the folder.
    """
    recorded = _recorded(data_dir, partial(_split, subject=subject, new=new))
    objected = sum(each.event.act.__struct_config__.tag == "withdrawn" for each in recorded)
    typer.echo(f"split: {objected} refusals hold for the new customer, too")


Drafted = Callable[["Ledger", Path], "list[Instruction]"]


def _recorded(home: Path, drafted: Drafted) -> "list[RecordedInstruction]":
    """Record what `drafted` makes; a refusal ends the command with status 1."""
    from ledger.service import VersionConflictError
    from portal.operations import open_ledger

    try:
        with open_ledger.writing(require_ledger(home)) as ledger:
            for _ in range(ATTEMPTS):
                try:
                    return ledger.record(drafted(ledger, home))
                except VersionConflictError:
                    continue
    except SourceChangeError as error:
        return fail(f"{error}: nothing was recorded", 1)
    return fail(
        "the customer gave instructions meanwhile: nothing was recorded; repeat the command", 1
    )


def _deleted(ledger: "Ledger", home: Path, subjects: Sequence[str]) -> "list[Instruction]":
    from ledger.events.acts import SourceDeleted

    unique = [*dict.fromkeys(subjects)]
    _require_known(ledger, unique)
    drafts = []
    for subject in unique:
        history = ledger.history(subject)
        if not history or not isinstance(history[-1].event.act, SourceDeleted):
            drafts += _drafts(ledger, home, subject, [(clock.now(), SourceDeleted())])
    return drafts


def _merged(ledger: "Ledger", home: Path, *, merged: str, into: str) -> "list[Instruction]":
    from ledger.events.acts import Merged, SourceDeleted
    from portal.commands.customers import narrowing

    _require_two(merged, into)
    _require_known(ledger, [into])
    for each in (merged, into):
        _require_settled(ledger, home, each)
    last = ledger.history(merged)[-1:]
    if last and last[0].event.act == SourceDeleted(into):
        raise SourceChangeError(f"{merged!r} was merged into {into!r} before")
    other, mine, at = _shareable(ledger, merged), _state(ledger, into), clock.now()
    scenes = _scenes(home)
    acts = narrowing.shared(scenes, mine, other, at, _published(ledger))
    theirs = _drafts(ledger, home, merged, [(at, SourceDeleted(into))])
    marker = Merged(merged, narrowing.silent(scenes, other))
    return [*theirs, *_drafts(ledger, home, into, [(at, each) for each in (marker, *acts)])]


def _renamed(ledger: "Ledger", home: Path, *, old: str, new: str) -> "list[Instruction]":
    from ledger.events.acts import Renamed, SourceDeleted
    from portal.commands.customers import narrowing

    _require_two(old, new)
    if ledger.history(old)[-1:] and ledger.history(old)[-1].event.act == SourceDeleted(new):
        raise SourceChangeError(f"{old!r} became {new!r} before")
    _require_settled(ledger, home, old)
    other, at = _shareable(ledger, old), clock.now()
    _require_new(ledger, new)
    acts = narrowing.taken_over(_scenes(home), other, f"renamed:{old}", at, _agreed(ledger))
    theirs = _drafts(ledger, home, old, [(at, SourceDeleted(new))], "renamed-to")
    return [*theirs, *_drafts(ledger, home, new, [*acts, (at, Renamed(old))], "renamed")]


def _split(ledger: "Ledger", home: Path, *, subject: str, new: str) -> "list[Instruction]":
    from ledger.events.acts import Split
    from portal.commands.customers import narrowing

    _require_two(subject, new)
    _require_known(ledger, [new])
    other, mine, at = _shareable(ledger, subject), _require_new(ledger, new), clock.now()
    acts: list[Act] = [Split(subject), *narrowing.objected(_scenes(home), mine, other, at)]
    theirs = _drafts(ledger, home, subject, [(at, Split(new))])
    return [*theirs, *_drafts(ledger, home, new, [(at, each) for each in acts])]


def _require_new(ledger: "Ledger", new: str) -> "ConsentState":
    """The state of a customer who decided nothing. Raises SourceChangeError if there is another."""
    if not 0 < len(new) <= MAX_NUMBER or not new.isprintable() or new != new.strip():
        raise SourceChangeError(f"want a customer's number, found {new[:20]!r}")
    state = _state(ledger, new)
    if state.returned:
        raise SourceChangeError(f"want a new customer, and {new!r} was erased here")
    if state.seq:
        raise SourceChangeError(f"want a new customer, found {state.seq} decisions of {new!r}")
    return state


def _require_two(one: str, other: str) -> None:
    if one == other:
        raise SourceChangeError(f"want two customers, found {one!r} twice")


def _require_settled(ledger: "Ledger", home: Path, subject: str) -> None:
    """Refuse to rename or merge somebody whose erasure is requested, or prevented by a hold."""
    from portal.storage import departures
    from steward.oversight.legal_hold import Holds
    from steward.oversight.register import Register

    if (asked := departures.find(home, subject)) is not None:
        raise SourceChangeError(
            f"{subject!r} asked to be erased at {asked.due:%Y-%m-%d %H:%M}Z. Erase them (sovereign "
            "erase), or wait until they stop it on their page"
        )
    if Holds(Register(home, ledger)).of(subject) is not None:
        raise SourceChangeError(
            f"{subject!r} is under a legal hold, which stands under this number. Lift it, and set "
            "one for the other number afterwards"
        )


def _require_known(ledger: "Ledger", subjects: Sequence[str]) -> None:
    known = ledger.numbers(subjects)
    if unknown := [each for each in subjects if each not in known]:
        raise SourceChangeError(
            "want customers who gave an instruction, or whom the server found in the source; "
            f"{len(unknown)} of these are none, the first is {unknown[0]!r} (check the numbers, and"
            " leave out who was erased)"
        )


def _state(ledger: "Ledger", subject: str) -> "ConsentState":
    from ledger.events.reducer import ConsentState

    state = ledger.state(subject) or ConsentState(subject)
    return replace(state, returned=ledger.tombstones().erased_at(subject) is not None)


def _shareable(ledger: "Ledger", subject: str) -> "ConsentState":
    """The state of a customer whom no erasure or deletion makes one that must be asked.

    That holds in scenes that are published later, too, and no act can say it of another customer.
    """
    if ledger.tombstones().erased_at(subject) is not None:
        ended = "was erased here"
    else:
        _require_known(ledger, [subject])
        if (state := _state(ledger, subject)).deleted is None:
            return state
        ended = "was deleted at the source"
    raise SourceChangeError(
        f"{subject!r} {ended} and must be asked before anything is read, which cannot pass to "
        "another customer. Record the other one as deleted, too (sovereign customers deleted), and "
        "ask them again"
    )


def _scenes(home: Path) -> "dict[str, Scene]":
    from portal.operations import company_folder

    _, company = company_folder.at(home)
    return dict(company.scenes)


def _published(ledger: "Ledger") -> dict[str, int]:
    from ledger.events.envelope import ScenePublished

    events = ((each.index, each.event) for each in ledger.announced())
    return {event.scene: at for at, event in events if isinstance(event, ScenePublished)}


def _agreed(ledger: "Ledger") -> "Callable[[str, int], Version]":
    """The version of a scene's contract at an entry of the log, by the log."""
    from gate.contracts import versions
    from ledger.events.envelope import ScenePublished

    seen = [(e.index, e.event) for e in ledger.announced() if isinstance(e.event, ScenePublished)]

    def agreed(scene: str, index: int) -> "Version":
        earlier = (e.version for i, e in seen if e.scene == scene and i < index)
        return versions.published(["", *earlier][-1])

    return agreed


def _drafts(
    ledger: "Ledger",
    home: Path,
    subject: str,
    acts: "Iterable[tuple[datetime, Act]]",
    words: str | None = None,
) -> "list[Instruction]":
    """The acts as the customer's next instructions, in the language of their last one.

    `words`: the name of the words that explain all of them; each has its own otherwise.
    """
    from ledger.events.envelope import EvidenceClass
    from portal.consent import wording
    from portal.operations import company_folder
    from portal.web import i18n

    catalogues = i18n.load(company_folder.of(home))
    history, spoken = ledger.history(subject), next(iter(catalogues.values()))
    if history:
        spoken = catalogues.get(history[-1].event.wording.locale, spoken)
    drafts: list[Instruction] = []
    for at, act in acts:
        shown = wording.of_act(words or _words(act), spoken)
        drafts.append(
            drafts[-1].next(act, at=at, wording=shown)
            if drafts
            else ledger.draft(
                subject,
                act,
                at=at,
                wording=shown,
                evidence=EvidenceClass.IMPORTED,
                time_uncertain=clock.doubt() is not None,
            )
        )
    return drafts


def _words(act: "Act") -> str:
    """The name of the words that explain an act: wording.shown_of_act."""
    from ledger.events.acts import SourceDeleted

    if isinstance(act, SourceDeleted) and act.into is not None:
        return "merged-into"
    kind = str(act.__struct_config__.tag)
    return "limited" if kind == "withdrawn" else kind
