"""A customer whom the company gave another number: their choices go on there, and not here."""

from collections.abc import Sequence

from ledger.events.acts import SourceDeleted
from ledger.reader import RecordedEvent, RecordedInstruction
from portal.web.problems import MovedError


def successor(history: Sequence[RecordedEvent]) -> str | None:
    """The number that the customer has now, if it was renamed or merged into another."""
    known = [each.event.act for each in history if isinstance(each, RecordedInstruction)]
    last = known[-1] if known else None
    return last.into if isinstance(last, SourceDeleted) else None


def require_present(history: Sequence[RecordedEvent]) -> None:
    """Raise MovedError for a decision under a number that the company gave up.

    It would change nothing under the new number, and the customer would take it for done.
    """
    if successor(history) is not None:
        raise MovedError
