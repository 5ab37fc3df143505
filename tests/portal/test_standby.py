"""17.7 and 17.9: what a portal that stands by waits for."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.storage.database import DatabaseError
from ledger.storage.writer_lock import WriterBusyError
from portal.commands.operations import standby


def opening(*outcomes: Exception | str) -> Callable[[], str]:
    """Raises or returns one outcome after the other."""
    left: Iterator[Exception | str] = iter(outcomes)

    def open_() -> str:
        if isinstance(outcome := next(left), Exception):
            raise outcome
        return outcome

    return open_


def test_17_9_a_writer_and_then_a_database_are_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    busy, down = WriterBusyError(tmp_path, "`sovereign serve`"), DatabaseError("no answer")
    assert standby.opened(tmp_path, opening(busy, busy, down, down, "open")) == "open"
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"standing by: `sovereign serve` writes {tmp_path}",
        "standing by: the database cannot be used (DatabaseError)",
    ]


def test_17_9_a_database_that_does_not_answer_at_the_first_attempt_is_a_mistake(
    tmp_path: Path,
) -> None:
    with pytest.raises(DatabaseError):
        standby.opened(tmp_path, opening(DatabaseError("no answer"), "open"))


def test_17_7_nobody_else_s_errors_are_waited_for(tmp_path: Path) -> None:
    busy = WriterBusyError(tmp_path, "`sovereign serve`")
    with pytest.raises(ValueError, match="damaged"):
        standby.opened(tmp_path, opening(busy, ValueError("damaged")))
