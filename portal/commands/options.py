"""Options that name settings. --data-dir is the same for every command.

Where it is not given, the setting `data_dir` counts: SOVEREIGN_DATA_DIR, else sovereign.toml, else
the folder `sovereign-data`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portal.commands.errors import MistakeError

if TYPE_CHECKING:
    from portal.operations.settings import Settings

HERE = Path("sovereign-data")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def of_setting(ctx: typer.Context, parameter: typer.CallbackParam, value: Path) -> Path:
    """The folder that was given, else that of the setting."""
    from portal.operations.settings import Settings

    source: Any = ctx.get_parameter_source(str(parameter.name))
    return Settings().data_dir if source.name == "DEFAULT" else value


def given(**flags: Any) -> dict[str, Any]:
    """The settings that are given as flags; the others are read elsewhere."""
    return {name: each for name, each in flags.items() if each is not None}


def require_at_home(settings: "Settings") -> None:
    """Raises MistakeError if a demonstration would be served to other machines."""
    if settings.demo and settings.host not in LOOPBACK:
        raise MistakeError(
            "with --trial, or the setting demo, anybody signs in as any customer: it serves this "
            f"machine only, and the setting host is {settings.host}"
        )


DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        callback=of_setting,
        help="Folder with the ledger, the keys and the data.",
        show_default="the setting data_dir, sovereign-data",
    ),
]
