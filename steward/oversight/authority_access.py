"""Temporary access of an authority to one customer's history, by token, visible to the customer.

    opening-granted  open: {"by": "data-protection-officer", "digest": "<64 hex>", "until": "…"}
                     sealed: {"reason": "complaint 2026/114"}
    opening-used     open: {"digest": "<64 hex>"}

Both are entries of the register under the customer's pseudonym, so an erasure of the customer
covers them. The token is shown once, and only its digest is stored. It works only together with the
customer's id.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from steward.oversight.register import Register

GRANTED, USED = "opening-granted", "opening-used"
LONGEST = timedelta(days=90)


class AuthorityAccessError(ValueError):
    """The access cannot be granted; the message says what is needed."""


@dataclass(frozen=True, slots=True)
class AuthorityAccess:
    by: str
    reason: str
    at: datetime
    until: datetime
    used: int  # number of uses
    entry: int  # of the register


class AuthorityAccesses:
    """Grants and records access of authorities. Thread-safe; methods are durable on return."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def grant(self, subject: str, by: str, reason: str, days: int, at: datetime) -> str:
        """Grant access to `subject`'s history for `days`; returns the token.

        Raises AuthorityAccessError, and UnsealableError for a customer without a data key.
        """
        if not reason.strip() or not timedelta() < timedelta(days=days) <= LONGEST:
            raise AuthorityAccessError(f"want a reason, and 1 to {LONGEST.days} days; found {days}")
        token = secrets.token_urlsafe(32)
        shown = {"by": by, "digest": _digest(token), "until": _stamp(at + timedelta(days=days))}
        with self._register.writing() as writing:
            writing.append(GRANTED, subject, shown, {"reason": reason.strip()}, at)
        return token

    def use(self, subject: str, token: str, at: datetime) -> bool:
        """Whether the token gives access to this customer's history at `at`; recorded first."""
        digest = _digest(token)
        granted = [entry for entry, _ in self._register.of(subject, GRANTED)]
        live = [e for e in granted if e.open["digest"] == digest and at < _moment(e.open["until"])]
        if not live:
            return False
        with self._register.writing() as writing:
            writing.append(USED, subject, {"digest": digest}, None, at)
        return True

    def of(self, subject: str) -> list[AuthorityAccess]:
        """All accesses granted to the customer's history, newest first, to show the customer."""
        uses = [entry.open["digest"] for entry, _ in self._register.of(subject, USED)]
        accesses = [
            AuthorityAccess(
                entry.open["by"],
                str(private.get("reason", "")),
                entry.at,
                _moment(entry.open["until"]),
                uses.count(entry.open["digest"]),
                entry.number,
            )
            for entry, private in self._register.of(subject, GRANTED)
        ]
        return accesses[::-1]


def _digest(token: str) -> str:
    return sha256(b"sovereign/opening/v1\0" + token.encode()).hexdigest()


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
