"""What an audit of a period found. *Could not be read* and *was read and is wrong* are apart."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ledger.tlog.auditor import AuditFinding, FindingKind


class PeriodVerdict(StrEnum):
    """How an audit of a period ends, and the exit status of the command."""

    SOUND = "sound"  # all was read, and nothing is wrong
    WRONG = "wrong"  # something was read and is wrong
    UNREAD = (
        "unread"  # nothing that was read is wrong; something could not be read, or is not shown
    )

    @property
    def status(self) -> int:
        return {PeriodVerdict.SOUND: 0, PeriodVerdict.WRONG: 1, PeriodVerdict.UNREAD: 3}[self]


@dataclass(frozen=True, slots=True)
class PeriodFinding:
    """`place`: a part of the directory. `kind`: one word, for programs. `unread`: not looked at."""

    place: str
    kind: str
    message: str
    unread: bool = False

    @classmethod
    def of(cls, place: str, found: AuditFinding) -> "PeriodFinding":
        """The same finding of the audit of one log."""
        unread = found.kind in {FindingKind.UNREADABLE, FindingKind.WITHHELD}
        return cls(place, str(found.kind), found.message, unread)


def verdict(findings: Iterable[PeriodFinding]) -> PeriodVerdict:
    """What is wrong outweighs what could not be read."""
    kinds = {each.unread for each in findings}
    if False in kinds:
        return PeriodVerdict.WRONG
    return PeriodVerdict.UNREAD if kinds else PeriodVerdict.SOUND
