"""Run a command in the process that serves the data directory: both ends of it.

Here, where the command was typed, its paths are made absolute before it is sent. There, it runs in
a thread of its own, and what it prints goes back instead of onto the server's terminal.
"""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from ledger.storage.writer_lock import WriterBusyError
from portal.operations import control
from portal.operations.control import ControlError, Outcome

if TYPE_CHECKING:  # loading it takes as long as most commands run
    from ledger.service import Ledger

_PRINTED: ContextVar[tuple[TextIO, TextIO] | None] = ContextVar("printed", default=None)


def elsewhere(app: typer.Typer, argv: Sequence[str], busy: WriterBusyError) -> int:
    """Run `argv` in the writer's process and print its output. Returns its exit status."""
    try:
        outcome = control.forward(busy.home, _absolute(app, argv))
    except ControlError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("given up; what has begun in the serving process is finished there\n")
        return 130
    if outcome is None:
        sys.stderr.write(f"{busy}\n")
        return 2
    sys.stdout.write(outcome.out)
    sys.stderr.write(outcome.err)
    return outcome.code


@contextmanager
def accepting(app: typer.Typer, home: Path, ledger: "Ledger") -> Iterator[None]:
    """Run commands of other processes on `ledger` while the context lasts."""
    sys.stdout, sys.stderr = _Routed(0, sys.stdout), _Routed(1, sys.stderr)

    def run(argv: Sequence[str]) -> Outcome:
        return _run(app, argv, ledger)

    with control.serving(home, run):
        yield


def _run(app: typer.Typer, argv: Sequence[str], ledger: "Ledger") -> Outcome:
    from portal.operations import open_ledger

    if argv[:1] in (["demo"], ["serve"]):
        return Outcome(2, "", f"{argv[0]} serves by itself: it is not run in another server\n")
    if argv[:1] == ["apply"]:  # this process would go on showing the old contracts
        return Outcome(2, "", "apply: stop the server first, then serve again\n")
    out, err = io.StringIO(), io.StringIO()
    token = _PRINTED.set((out, err))
    try:
        with open_ledger.served(ledger):
            typer.main.get_command(app).main(args=[*argv], prog_name="sovereign")
        code = 0
    except SystemExit as ended:  # as every command ends, with its exit status
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:  # noqa: BLE001 - whatever it was, the server goes on, and says so
        code = 1
        err.write(f"{type(error).__name__}: {error}\n")
    finally:
        _PRINTED.reset(token)
    return Outcome(code, out.getvalue(), err.getvalue())


def _absolute(app: typer.Typer, argv: Sequence[str]) -> list[str]:
    """The same command with every path absolute: the writer works in another folder."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    words: list[str] = []
    rest = [*argv]
    while hasattr(command, "resolve_command"):  # a group of commands
        context = command.make_context(command.name, [*rest], parent=context)
        name, command, rest = command.resolve_command(context, rest)  # groups have no options
        words.append(str(name))
    values = command.make_context(command.name, rest, parent=context).params
    arguments: list[str] = []
    for parameter in command.params:
        written = _written(parameter, values.get(parameter.name))
        (arguments if parameter.param_type_name == "argument" else words).extend(written)
    return [*words, "--", *arguments]


def _written(parameter: Any, value: Any) -> list[str]:
    """The arguments that give `parameter` this value on a command line."""
    values = [*value] if isinstance(value, list | tuple) else [] if value is None else [value]
    if parameter.param_type_name == "argument":
        return [_word(each) for each in values]
    if parameter.is_flag:
        names = parameter.opts if value else parameter.secondary_opts
        return [*names[:1]]
    return [word for each in values for word in (parameter.opts[0], _word(each))]


def _word(value: Any) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    return str(getattr(value, "value", value))  # of an enumeration


class _Routed(io.TextIOBase):
    """A stream that is replaced in the thread of a forwarded command, and in no other."""

    def __init__(self, place: int, inner: TextIO) -> None:
        self._place, self._inner = place, inner

    def write(self, text: str) -> int:
        return self._stream().write(text)

    def flush(self) -> None:
        self._stream().flush()

    def isatty(self) -> bool:
        return _PRINTED.get() is None and self._inner.isatty()

    def fileno(self) -> int:
        return self._inner.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override] # a property of the stream behind it
        return "utf-8"

    def _stream(self) -> TextIO:
        printed = _PRINTED.get()
        return self._inner if printed is None else printed[self._place]
