"""`sovereign doctor`: what is wrong with an installation, and what to do about it."""

import typer

from portal.commands.options import HERE, DataDir

app = typer.Typer()
NOT_LOOKED = 3  # exit status, as of fsck


@app.command()
def doctor(data_dir: DataDir = HERE) -> None:
    """Say what is wrong with a data directory, the settings and what the product depends on.

    Looks at the permissions of files, the versions and the pages of databases, insecure settings,
    the clock, the proxy in front of the pages, mail, the source and the witnesses. It writes
    nothing, and the data directory may be served meanwhile. `fsck` checks every entry; this does
    not.

    Exit status 0: nothing is wrong. 1: something is; each line says what to do. 2: no ledger in the
    folder, or a setting that is none. 3: nothing is known to be wrong, but something could not be
    looked at.
    """
    from portal.commands.errors import require_ledger
    from portal.data_directory.diagnosis import examination
    from portal.operations.settings import Settings

    home = require_ledger(data_dir)
    findings = [*examination.examine(Settings(data_dir=home))]
    for each in findings:
        typer.echo(f"{'' if each.looked else 'not looked at: '}{each}")
    if not findings:
        typer.echo("nothing is wrong")
    if any(each.looked for each in findings):
        raise typer.Exit(1)
    raise typer.Exit(NOT_LOOKED if findings else 0)
