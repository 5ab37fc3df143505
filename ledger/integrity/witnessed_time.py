"""Refuses what witnesses could not confirm later: a wait they did not see, a time before theirs.

Without witnesses in the policy, only the log says when something was, and nothing is refused here.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from ledger.errors import UnwitnessedTimeError
from ledger.events.authority import COOLING_OFF
from ledger.tlog import policy as policies
from ledger.verify.times import attested
from ledger.verify.times.attested import AHEAD, BEHIND, FORMAT, Attested
from ledger.witness import cosigned_history
from ledger.witness.client import QuorumError
from ledger.witness.cosigned_checkpoint import CosignedCheckpoints


def require_waited(cosigned: CosignedCheckpoints, request: int) -> None:
    """Raise UnwitnessedTimeError unless witnesses saw 72 hours pass since entry `request`.

    Has the newest checkpoint cosigned and published, so that verifiers can see it too. Raises
    RolledBackError.
    """
    if not cosigned.policy.is_witnessed:
        return
    try:
        now = attested.of_note(cosigned.policy, cosigned.attest())
    except QuorumError as error:
        raise UnwitnessedTimeError(f"too few witnesses answer to confirm it: {error}") from error
    first = first_seen(cosigned, request)
    if now is None or first is None:
        raise UnwitnessedTimeError("no witness has seen the request yet")
    waited = now.at - first.by
    if waited < COOLING_OFF - AHEAD:
        due = first.by + COOLING_OFF
        raise UnwitnessedTimeError(
            f"witnesses saw the request at {first.by:{FORMAT}}, so it completes at {due:{FORMAT}}"
        )


def first_seen(cosigned: CosignedCheckpoints, index: int) -> Attested | None:
    """The first published checkpoint with entry `index` that the quorum cosigned."""
    found = _all(cosigned)
    return attested.bounds_of(index, found).before


def _all(cosigned: CosignedCheckpoints) -> Iterable[Attested]:
    for note in cosigned.published():
        try:
            each = attested.of_note(cosigned.policy, note)
        except ValueError:  # cosigned under an earlier list of witnesses
            continue
        if each is not None:
            yield each


def is_behind(cosigned: CosignedCheckpoints, at: datetime) -> bool:
    """Whether a clock that shows `at` is behind what witnesses saw. Asks nobody."""
    seen = _newest(cosigned)
    return seen is not None and seen.at - at > BEHIND


def seen_at(home: Path) -> Attested | None:
    """When witnesses last saw the consent log of a data directory, by what it has published.

    None if its policy asks for no witness, or if nothing can be read. Raises OSError.
    """
    try:
        trust = policies.parse((home / "consent.policy").read_bytes())
        notes = [*cosigned_history.read(home / "log" / "consent")]
        return attested.of_note(trust, notes[-1]) if notes else None
    except ValueError:
        return None


def require_timely(cosigned: CosignedCheckpoints, earliest: datetime) -> None:
    """Raise UnwitnessedTimeError for a time that verifiers would refuse: long before witnesses saw
    the log without the instruction. Asks nobody.

    `earliest`: of the instructions that are about to be recorded.
    """
    seen = _newest(cosigned)
    if seen is not None and seen.at - earliest > BEHIND:
        raise UnwitnessedTimeError(
            f"of {earliest:{FORMAT}}, but {seen.who} saw the log without it at {seen.at:{FORMAT}}:"
            f" a difference of {BEHIND} is tolerated; give it again"
        )


def _newest(cosigned: CosignedCheckpoints) -> Attested | None:
    if (note := cosigned.stored()) is None:
        return None
    try:
        return attested.of_note(cosigned.policy, note)
    except ValueError:  # cosigned under an earlier list of witnesses
        return None
