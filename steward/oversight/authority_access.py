"""An authority may look into one customer's history: with a token, for a while, and seen by them.

    opening-granted  open: {"by": "data-protection-officer", "digest": "<64 hex>", "until": "…"}
                     sealed: {"reason": "complaint 2026/114"}
    opening-used     open: {"digest": "<64 hex>"}

Both stand in the register under the customer's pseudonym, so that they go when the customer goes.
The token is shown once and its digest kept; without the customer's number it opens nothing.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from steward.oversight.register import Register

GRANTED, USED = "opening-granted", "opening-used"
LONGEST = timedelta(days=90)


class AuthorityAccessError(ValueError):
    """No opening was made; it says what is wanted."""


@dataclass(frozen=True, slots=True)
class AuthorityAccess:
    by: str
    reason: str
    at: datetime
    until: datetime
    used: int  # how often


class AuthorityAccesses:
    """Thread-safe. What a method recorded is durable when it returns."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def grant(self, subject: str, by: str, reason: str, days: int, at: datetime) -> str:
        """A token for `subject`'s history. Raises OpeningError, and UnsealableError for a
        customer without a data key: there is nothing to open."""
        if not reason.strip() or not timedelta() < timedelta(days=days) <= LONGEST:
            raise AuthorityAccessError(f"want a reason, and 1 to {LONGEST.days} days; found {days}")
        token = secrets.token_urlsafe(32)
        shown = {"by": by, "digest": _digest(token), "until": _stamp(at + timedelta(days=days))}
        with self._register.writing() as writing:
            writing.append(GRANTED, subject, shown, {"reason": reason.strip()}, at)
        return token

    def use(self, subject: str, token: str, at: datetime) -> bool:
        """Whether the token opens this customer's history at `at`; recorded before it is said."""
        digest = _digest(token)
        granted = [entry for entry, _ in self._register.of(subject, GRANTED)]
        live = [e for e in granted if e.open["digest"] == digest and at < _moment(e.open["until"])]
        if not live:
            return False
        with self._register.writing() as writing:
            writing.append(USED, subject, {"digest": digest}, None, at)
        return True

    def of(self, subject: str) -> list[AuthorityAccess]:
        """Every opening of the customer's history, newest first, for the customer to see."""
        uses = [entry.open["digest"] for entry, _ in self._register.of(subject, USED)]
        found = [
            AuthorityAccess(
                entry.open["by"],
                str(private.get("reason", "")),
                entry.at,
                _moment(entry.open["until"]),
                uses.count(entry.open["digest"]),
            )
            for entry, private in self._register.of(subject, GRANTED)
        ]
        return found[::-1]


def _digest(token: str) -> str:
    return sha256(b"sovereign/opening/v1\0" + token.encode()).hexdigest()


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
