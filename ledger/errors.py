"""Errors of the ledger. An operation that raises one of them has written nothing."""


class VersionConflictError(Exception):
    """The instruction follows an outdated version of the agreement. Nothing was recorded.

    Show the customer the agreement at version `current`, and ask again.
    """

    def __init__(self, subject: str, wanted: int, current: int) -> None:
        super().__init__(
            f"the instruction follows version {wanted} of the agreement, which is now at version "
            f"{current}: show the current version and ask again"
        )
        self.subject, self.wanted, self.current = subject, wanted, current


class IdempotencyError(Exception):
    """The idempotency key was used for a different request. Nothing was recorded; use a new key."""


class UnwitnessedTimeError(Exception):
    """The log's witnesses do not confirm a time, or could not later. Nothing was recorded."""


class UnknownSubjectError(LookupError):
    """The subject has no instruction in this ledger, or their data key was destroyed."""


class CorruptLogError(Exception):
    """Stored data does not match the signed checkpoint. Restore a backup, then run fsck."""
