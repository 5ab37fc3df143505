"""`sovereign init` and `check`: a company's folder, from a table, and what is wrong with it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands.errors import MistakeError, fail

if TYPE_CHECKING:
    from gate.contracts.company import Company
    from portal.configuration.budget_plan import BudgetPlan

app = typer.Typer()

NAMED = re.compile(r'\b(Scene|Service)::"([^"]*)"')  # in Cedar rules
COMMENT = re.compile(r"//.*")
ORGANISATION = "organisation.cedar"
NOTES = {".md", ".txt"}  # texts for people, which may lie beside what is read


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="The folder that defines a company.")],
) -> None:
    """Check a company's folder: every fault, one a line, with its file and what to do.

    If company.toml names the source, it is compared with the source contract: columns, types, one
    row a customer, missing values; values outside a domain are noted. It counts inside the engine
    and keeps no customer's row. It notes what a year's releases cost a customer's privacy budget.
    Exit status 0: `sovereign serve --company` accepts it. 1: it has
    faults. 2: there is no such folder.
    """
    from gate.contracts import company as company_folders
    from portal.commands import company_source
    from portal.configuration import languages

    if not folder.is_dir():
        raise MistakeError(f"no folder {folder}: check the path")
    if found := [*faults(folder)]:
        fail("\n".join(found), 1)
    read = company_folders.load(folder)
    compared = company_source.contents(read)
    plan = _budget_plan(read)
    for note in (*compared.notes, *_untranslated(folder), *languages.to_read(read), str(plan)):
        typer.echo(f"note: {note}")
    if compared.faults:
        fail("\n".join(compared.faults), 1)
    typer.echo(f"{folder}: no fault")


@app.command()
def schema(
    folder: Annotated[Path, typer.Argument(help="The folder that defines a company.")],
) -> None:
    """Write the JSON Schemas with which editors complete and check a company's files.

    They go to FOLDER/.schemas. A contract names its own in its first line, as `init` writes it:
    `# yaml-language-server: $schema=../.schemas/scene.schema.json`, and company.toml by
    `#:schema ./.schemas/company.schema.json`. Exit status 2: there is no such folder.
    """
    from gate.contracts import editor_schemas
    from ledger.tlog import atomic_file

    if not folder.is_dir():
        raise MistakeError(f"no folder {folder}: check the path")
    for name, content in editor_schemas.files().items():
        atomic_file.write(folder / name, content.encode())
        typer.echo(str(folder / name))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The folder to write; it must be empty.")],
    source: Annotated[
        str,
        typer.Option("--from", help="A CSV, Parquet, DuckDB or SQLite file, or postgresql://…"),
    ],
    origin: Annotated[
        str, typer.Option(help="Name of the consent log, such as telco.example/consent.")
    ],
    book: Annotated[
        Path | None,
        typer.Option("--codebook", help="JSON file with the public domains of columns."),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Name of the customers' table, if there are several.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Column with the customer's id.")] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="Language of the company, such as de; once for each. Default: en, zh-CN"),
    ] = None,
) -> None:
    """Write a company's folder for its customers' tables: contracts to edit, a policy, settings.

    Reads columns, types, keys, constraints and comments, and no value. Tables of one row a customer
    that are joined by the customer's key are proposed too. Exit status 2: the table cannot be read,
    the codebook is no such file, or the folder is not empty.
    """
    from gate.contracts import odcs
    from portal.adoption import codebook, customer_tables, starter

    found = source if "://" in source else str(Path(source).resolve())
    try:
        proposed = customer_tables.find(source, table, key)
        made = starter.propose(
            proposed.tables,
            origin=origin,
            source=found,
            book=codebook.load(book) if book else {},
            languages=language or odcs.LANGUAGES,
        )
        starter.write(made, folder)
    except (starter.StarterError, codebook.CodebookError) as error:
        fail(str(error))
    typer.echo("\n".join([*(f"{folder / name}" for name in made.files), *proposed.notes]))
    if made.without_domain:
        typer.echo(
            f"without a domain, so never synthesised: {', '.join(made.without_domain)}; declare "
            "one in the source contract, or name a --codebook"
        )
    if made.unused:
        typer.echo(f"in no scene, so never read: {', '.join(made.unused)}; add what a use needs")
    typer.echo(f"next: edit the texts, then `sovereign check {folder}`")


def faults(folder: Path) -> Iterator[str]:
    """Every fault of a company's folder, one a line; none: a start accepts it."""
    from gate.contracts import company
    from gate.contracts.odcs import ContractError
    from gate.policy import cedar
    from portal.commands import company_source
    from portal.configuration.budget_plan import BudgetPlanError
    from portal.operations import company_folder

    found = [*company.faults(folder), *_unread(folder / "policy")]
    yield from found
    try:
        cedar.load(cedar.law_folder(), folder / "policy")
    except cedar.CedarPolicyError as error:
        yield f"{folder / 'policy' / 'organisation.cedar'}: {error}"
        return
    if not found:
        try:
            company_folder.decisions(company.load(folder))
        except (cedar.CedarPolicyError, ContractError) as error:
            yield str(error)
            return
        yield from _languages(folder)
        yield from _unknown_names(folder)
        try:
            _budget_plan(company.load(folder)).require_feasible()
        except BudgetPlanError as error:
            yield f"{folder}: {error}"
        yield from company_source.columns(company.load(folder))


def _budget_plan(read: "Company") -> "BudgetPlan":
    """What releases cost, by the settings of the folder, the environment and the defaults."""
    from portal.configuration.budget_plan import BudgetPlan
    from portal.operations.settings import Settings

    known = Settings(company=str(read.folder))
    return BudgetPlan.of(known.privacy, known.refit_days, known.refit_changes, read.scenes.values())


def _unread(folder: Path) -> Iterator[str]:
    """Files of the folder of policies that nothing reads: a rule in one of them does nothing."""
    from gate.contracts import odcs
    from gate.policy import decisions

    known = {ORGANISATION, decisions.RULES, decisions.SCHEMA, decisions.ENTITIES}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or path.suffix in NOTES:
            continue
        try:
            odcs.require_known([path.name], known, "file")
        except odcs.ContractError as error:
            yield f"{path}: {error}: nothing reads it; rename or remove it"


def _languages(folder: Path) -> Iterator[str]:
    """What is missing in the languages that the company adds to those of the product."""
    from gate.contracts import company
    from portal.configuration import languages
    from steward.language import stewardship
    from steward.language.catalogue import LanguageError

    read = company.load(folder)
    yield from languages.faults(read)
    try:
        stewardship.load(read)
    except LanguageError as error:
        yield str(error)


def _untranslated(folder: Path) -> Iterator[str]:
    """Files with texts that `init` could not write in every language."""
    from portal.adoption.labels import UNTRANSLATED

    for path in sorted((*folder.rglob("*.odcs.yaml"), *folder.glob("*.toml"))):
        lines = path.read_text("utf-8").splitlines()
        if found := [number for number, line in enumerate(lines, 1) if UNTRANSLATED in line]:
            yield (
                f"{path}: line {found[0]}: {len(found)} texts wait for a translation: replace what "
                f"begins with {UNTRANSLATED}"
            )


def _unknown_names(folder: Path) -> Iterator[str]:
    """Scenes and services of the company's rules that no contract has: such a rule does nothing."""
    from gate.contracts import company, odcs

    read = company.load(folder)
    services = {each.id for scene in read.scenes.values() for each in scene.services}
    known = {"Scene": {*read.scenes}, "Service": services}
    path = read.policy / "organisation.cedar"
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        for kind, name in NAMED.findall(COMMENT.sub("", line)):
            try:
                odcs.require_known([name], known[kind], kind.lower())
            except odcs.ContractError as error:
                yield f"{path}: line {number}: {error}"
