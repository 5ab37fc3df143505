"""Legal holds: while one is active, its customer is not erased; an erasure request is stored.

    hold-set           open: {"by": "data-protection-officer"}   sealed: {"reason": "claim 114"}
    hold-lifted        open: {"by": "data-protection-officer"}   sealed: {"reason": "claim settled"}
    erasure-requested  open: {}                                  sealed: {}

All are entries of the register under the customer's pseudonym, so an erasure of the customer covers
them. A request made during a hold is carried out when the hold is lifted.
"""

from dataclasses import dataclass
from datetime import datetime

from steward.oversight.register import Register

SET, LIFTED, REQUESTED = "hold-set", "hold-lifted", "erasure-requested"
MAX_REASON = 2000  # characters


class HoldError(ValueError):
    """The hold was not set or lifted; the message says why."""


class LegalHoldError(Exception):
    """A legal hold is active: nothing was erased, and the request is stored until it is lifted."""

    def __init__(self, hold: "Hold") -> None:
        super().__init__(
            f"a legal hold since {hold.since:%Y-%m-%d} ({hold.reason}), set by {hold.by}: "
            "nothing was erased; the request is kept and carried out when the hold is lifted"
        )
        self.hold = hold


@dataclass(frozen=True, slots=True)
class Hold:
    by: str
    reason: str
    since: datetime


class Holds:
    """Sets, lifts and looks up holds. Thread-safe; methods are durable on return."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def of(self, subject: str) -> Hold | None:
        """The customer's active hold, or None."""
        entries = self._register.of(subject, SET)
        lifted = self._register.of(subject, LIFTED)
        if len(entries) == len(lifted):
            return None
        entry, private = entries[-1]
        return Hold(entry.open["by"], str(private.get("reason", "")), entry.at)

    def set(self, subject: str, by: str, reason: str, at: datetime) -> None:
        """Set a hold. Raises HoldError, and UnsealableError for a customer without a data key."""
        _want(by, reason)
        if self.of(subject) is not None:
            raise HoldError("the customer already has a hold: lift it first")
        with self._register.writing() as writing:
            writing.append(SET, subject, {"by": by}, {"reason": reason.strip()}, at)

    def lift(self, subject: str, by: str, reason: str, at: datetime) -> bool:
        """Lift the hold; returns whether an erasure was requested and must be carried out now.

        Raises HoldError.
        """
        _want(by, reason)
        if self.of(subject) is None:
            raise HoldError("the customer has no hold to lift: check the customer's number")
        with self._register.writing() as writing:
            writing.append(LIFTED, subject, {"by": by}, {"reason": reason.strip()}, at)
        return self.requested(subject)

    def request(self, subject: str, at: datetime) -> None:
        """Record that the customer asked to be erased."""
        if not self.requested(subject):
            with self._register.writing() as writing:
                writing.append(REQUESTED, subject, {}, {}, at)

    def requested(self, subject: str) -> bool:
        """Whether the customer has an erasure request that is not yet carried out."""
        return bool(self._register.of(subject, REQUESTED))


def _want(by: str, reason: str) -> None:
    if not by.strip() or not 0 < len(reason.strip()) <= MAX_REASON:
        raise HoldError(f"want who and a reason of at most {MAX_REASON} characters")
