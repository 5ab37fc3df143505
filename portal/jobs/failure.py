"""Describes why a job failed, for operators: one line without personal data.

    steward.toml: webhook.crm.ur: unknown key, want roles or url; did you mean url?
    NotADirectoryError: Not a directory: data/log/consent/tile
    KeyError in portal/operations/release_service.py, line 118

An exception's message may contain a customer's data, so it is used only for types that are known
not to. For any other exception the line gives its type and where in our code it was raised.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from traceback import extract_tb

from gate.reads.bulk.statistics import StatisticsRefusedError
from gate.reads.sources.interface import SourceUnavailableError
from ledger.storage.database import DatabaseError, SchemaVersionError
from ledger.storage.interface import ForkError
from ledger.witness.client import QuorumError, RolledBackError
from portal.operations.release_service import TooFewAdmittedError
from steward.notify.recipients import RecipientError
from synthetic.fitting.checkpoint import PartialError

MAX_LINE = 300  # characters
ROOT = Path(__file__).parents[2]
PLAIN = (  # their messages contain configuration and counts only
    DatabaseError,
    ForkError,
    PartialError,
    QuorumError,
    RecipientError,
    RolledBackError,
    SchemaVersionError,
    StatisticsRefusedError,
    TooFewAdmittedError,
)


class JobError(Exception):
    """A run failed, and the message says why in one line without personal data.

    `retry_at` and `failures` replace the runner's own values, for a job of several parts that are
    retried separately.
    """

    def __init__(
        self, message: str, *, retry_at: datetime | None = None, failures: int | None = None
    ) -> None:
        super().__init__(message)
        self.retry_at, self.failures = retry_at, failures


def line(error: BaseException) -> str:
    """The line that describes `error`."""
    return " ".join(_message(error).split())[:MAX_LINE]


def _message(error: BaseException) -> str:
    match error:
        case JobError() | RecipientError():
            return str(error)
        case SourceUnavailableError():
            cause = type(error.__cause__).__name__ if error.__cause__ else "see the contracts page"
            return f"the source of personal rows cannot be read ({cause})"
        case OSError(strerror=str() as reason):
            place = f": {error.filename}" if isinstance(error.filename, str) else ""
            return f"{type(error).__name__}: {reason}{place}"
        case _ if isinstance(error, PLAIN):
            return f"{type(error).__name__}: {error}"
        case _:
            return f"{type(error).__name__}{next(_places(error), '')}"


def _places(error: BaseException) -> Iterator[str]:
    """The places in our own code that the exception passed through, innermost first."""
    for frame in reversed(extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
            yield f" in {path.relative_to(ROOT).as_posix()}, line {frame.lineno}"
