"""Why a ledger refuses what it is asked. Whatever was refused left nothing behind."""


class VersionConflictError(Exception):
    """The instruction was written for another version of the agreement. Nothing was recorded.

    Show the customer what is in force at version `current`, and ask again.
    """

    def __init__(self, subject: str, wanted: int, current: int) -> None:
        super().__init__(f"the agreement is at version {current}, the instruction wants {wanted}")
        self.subject, self.wanted, self.current = subject, wanted, current


class IdempotencyError(Exception):
    """The key was used for another request. Nothing was recorded; use a fresh key."""


class UnknownSubjectError(LookupError):
    """Nothing was ever said by this subject, or their data key was destroyed."""


class CorruptLogError(Exception):
    """The store does not hold what its checkpoint says. Restore a backup, then check it."""
