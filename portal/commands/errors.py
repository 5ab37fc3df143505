"""Prints a user's mistake as one or two plain lines and exits with status 2.

A command lets the product's own exceptions pass. `CommandGroup` catches those that a user can
cause: a data directory without a ledger, a file that is missing or malformed, a setting that names
nothing. Any other exception is a defect of the product. Its message and its traceback may quote a
customer's value, so only its type and the lines of code that it passed are printed.

    no ledger in /srv/dta: there is no such folder. Check --data-dir
    unexpected ZeroDivisionError (a defect: please report it) at synthetic/model/counts.py:52 count
"""

from collections.abc import Iterator
from pathlib import Path
from tomllib import TOMLDecodeError
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from sqlalchemy.exc import DatabaseError

WRONG_USAGE = 2  # exit status
DEFECT = 70  # exit status of an unexpected error: EX_SOFTWARE of sysexits.h
MAX_PLACES = 6  # lines of code of an unexpected error
ROOT = Path(__file__).parents[2]
LEDGER_KEY = Path("keys") / "consent.vkey"


class CommandGroup(TyperGroup):
    """The root of the command line. Every command runs inside its `invoke`."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if is_control_flow(error):
                raise
            if (message := explained(error)) is None:
                fail(defect(error), DEFECT)
            fail(message)


class MistakeError(Exception):
    """A command cannot run with these arguments. Says what was wanted and found, and what to do."""


def fail(message: str, status: int = WRONG_USAGE) -> NoReturn:
    """Print `message` on standard error and end the command."""
    typer.echo(message, err=True)
    raise typer.Exit(status) from None


def require_ledger(home: Path) -> Path:
    """A data directory with a ledger. Raises MistakeError, and creates nothing, otherwise."""
    if (home / LEDGER_KEY).is_file():
        return home
    raise MistakeError(f"no ledger in {home}: {_state_of(home)}. Check --data-dir")


def require_file(path: Path, what: str) -> Path:
    """An existing file. `what`: how the message calls it, e.g. "a receipt". Raises MistakeError."""
    if path.is_file():
        return path
    actual = "a folder" if path.is_dir() else "no file"
    raise MistakeError(f"want {what} at {path}, found {actual}: check the path")


def require_place(path: Path) -> Path:
    """Where a file may be written. Raises MistakeError; creates no folder.

    A file may be written again, but not one of a data directory, and nothing that is no file.
    """
    if path.is_dir():
        raise MistakeError(f"{path} is a folder: name a file to write")
    if not path.parent.is_dir():
        raise MistakeError(f"no folder {path.parent}: create it, or check the path")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise MistakeError(f"{path} is not a file: name a file to write")
    if path.exists() and (home := _data_directory_of(path)) is not None:
        raise MistakeError(
            f"{path} belongs to the data directory {home}, in which commands replace nothing: name "
            "another file"
        )
    return path


def _data_directory_of(path: Path) -> Path | None:
    return next((each for each in path.resolve().parents if (each / LEDGER_KEY).is_file()), None)


def explained(error: BaseException) -> str | None:
    """The message for a mistake of the user; None for any other exception."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError
    from sqlalchemy.exc import DatabaseError

    match error:
        case ValidationError():
            return "\n".join(_settings_lines(error))
        case TOMLDecodeError() | SettingsError():
            form = "TOML in sovereign.toml" if isinstance(error, TOMLDecodeError) else "JSON"
            return f"{error}: want {form}. Correct it and try again"
        case OSError(filename=str() | Path() as place, strerror=str() as reason):
            return f"{place}: {reason}. Check the path"
        case DatabaseError():
            return _unusable(error)
        case _ if isinstance(error, _mistakes()):
            return " ".join(str(error).split())
        case _:
            return None


def _unusable(error: "DatabaseError") -> str:
    if hasattr(error.orig, "sqlstate"):  # of PostgreSQL
        first = (str(error.orig).strip().splitlines() or ["no answer"])[0]
        return f"the database cannot be used ({first}): check that it runs, and `database`"
    return f"a database cannot be used ({error.orig}). Run sovereign fsck on its folder"


def is_control_flow(error: BaseException) -> bool:
    """Whether typer, or the guard of the one writer, handles this exception."""
    from ledger.storage.writer_lock import WriterBusyError

    typers_own = hasattr(error, "exit_code")  # typer.Exit, and its errors of usage
    return typers_own or isinstance(error, typer.Abort | WriterBusyError)


def defect(error: BaseException) -> str:
    """An unexpected error without any value: its type, its causes' types, and the lines of code."""
    types = [type(each).__name__ for each in _chain(error)]
    kind = " from ".join(dict.fromkeys(types))
    return f"unexpected {kind} (a defect: please report it) at {', '.join(_places(error))}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _places(error: BaseException) -> list[str]:
    """The product's own lines that the error passed, the innermost first."""
    frames = [
        (Path(frame.f_code.co_filename), number, frame.f_code.co_name)
        for frame, number in walk_tb(error.__traceback__)
    ]
    own = [each for each in frames if each[0].is_relative_to(ROOT) and ".venv" not in each[0].parts]
    innermost = own[: -MAX_PLACES - 1 : -1]
    return [f"{path.relative_to(ROOT)}:{number} {name}" for path, number, name in innermost]


def _state_of(home: Path) -> str:
    if home.is_dir():
        return f"{LEDGER_KEY} is missing"
    return "it is a file" if home.exists() else "there is no such folder"


def _settings_lines(error: Any) -> Iterator[str]:
    """One line for each setting that cannot be used. Values are left out: they may be secrets."""
    from portal.configuration import sources
    from portal.operations.settings import Settings

    for each in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(map(str, each["loc"])) or "settings"
        where = sources.place(str(each["loc"][0])) if each["loc"] else "sovereign.toml, SOVEREIGN_…"
        said = each["msg"]
        if each["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
            known = Settings.model_fields[str(each["loc"][0])].annotation
            said = f"unknown, want {sources.nearest_member(known, str(each['loc'][-1]))}"
        yield f"{name}: {said}. Correct it ({where})"


def _mistakes() -> tuple[type[Exception], ...]:
    """Exceptions whose messages are written for whoever runs a command."""
    from gate.contracts.odcs import ContractError
    from gate.http.jwks import JwksError
    from gate.policy.cedar import CedarPolicyError
    from gate.reads.sources.interface import SourceUnavailableError
    from ledger.errors import CorruptLogError
    from ledger.storage import database
    from ledger.storage.interface import ForkError
    from ledger.tlog.cosignature import CosignatureError
    from ledger.tlog.fetcher import UnreadableError
    from ledger.tlog.policy import LogPolicyError
    from ledger.tlog.signed_note import NoteError
    from ledger.vault.key_encryption_key import KekError
    from ledger.vault.vault import VaultError
    from ledger.witness.client import QuorumError, RolledBackError
    from portal.configuration.sources import SettingError
    from steward.contracts.widening import UndeclaredChangeError

    return (
        MistakeError,
        CedarPolicyError,
        ContractError,
        CorruptLogError,
        CosignatureError,
        database.DatabaseError,
        database.SchemaVersionError,
        ForkError,
        JwksError,
        KekError,
        LogPolicyError,
        NoteError,
        QuorumError,
        RolledBackError,
        SettingError,
        SourceUnavailableError,
        UndeclaredChangeError,
        UnreadableError,
        VaultError,
    )
