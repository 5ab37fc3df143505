"""`sovereign replay`: derive every decision of a data directory's read logs again."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def replay(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="The gate's data directory.")],
    instance: Annotated[
        str | None, typer.Argument(help="One read log, e.g. reads-1a2b3c4d; all of them if absent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON.")] = False,
) -> None:
    """Derive every logged decision again from ledger, contracts and policy.

    Exit status 0: all of them follow. 1: some do not, and they are listed. 2: nothing to replay.
    """
    from gate import policy
    from gate.contract import specs_folder
    from gate.journal import LOG
    from gate.replay import replay as derive
    from ledger.ledger import Ledger
    from portal.product import contracts
    from portal.settings import Settings

    folders = sorted(path.parent for path in (data_dir / "reads").glob(f"{instance or '*'}/{LOG}"))
    if not folders:
        typer.echo(
            f"no read log under {data_dir / 'reads'}; name a gate's data directory", err=True
        )
        raise typer.Exit(2)
    _, scenes = contracts()
    rules = policy.load(specs_folder() / "policy")
    ledger = Ledger.open(data_dir, origin=Settings().origin)
    differing = 0
    for folder in folders:
        report = derive(ledger, folder, scenes, rules)
        differing += len(report.differences)
        if as_json:
            typer.echo(json.dumps({"log": folder.name} | asdict(report), ensure_ascii=False))
            continue
        typer.echo(
            f"{folder.name}  {report.entries} entries, {report.derived} derived again,"
            f" {report.unopened} cannot be opened, {len(report.differences)} differ"
        )
        for each in report.differences:
            typer.echo(f"  entry {each.entry}: found {each.found}; derived {each.derived}")
    raise typer.Exit(1 if differing else 0)
