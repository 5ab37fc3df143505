"""Checkpoints that a quorum of witnesses, or a timestamp authority, saw at a time.

Of several witnesses, one may state any time. So a checkpoint is seen *by* the earliest time at
which those who cosigned until then are a quorum, and it was the newest one they knew *at* the
latest time from which on those who cosigned are a quorum.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ledger.tlog import checkpoint, merkle, signed_note
from ledger.tlog import policy as policies
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.cosignature import CosignatureError
from ledger.tlog.fetcher import LogFiles, LogSource, UnreadableError
from ledger.tlog.merkle import ProofError
from ledger.tlog.policy import LogPolicy
from ledger.tlog.signed_note import Note

AHEAD = timedelta(minutes=5)  # of an entry's time before the witnesses': clocks differ
BEHIND = timedelta(hours=1)  # of an entry's time after them: it was drafted, then recorded
NOBODY = "the log says so"
FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class TimeError(ValueError):
    """A time is not within the bounds that others attest, or a checkpoint is older than wanted."""


@dataclass(frozen=True, slots=True)
class Attested:
    """A checkpoint, and who saw it when. `by`: no later than; `at`: it was the newest one then."""

    head: Checkpoint
    by: datetime
    at: datetime
    who: str  # "witnesses w0, w1"


@dataclass(frozen=True, slots=True)
class Bounds:
    """When an entry was made: after one checkpoint was seen without it, before one with it.

    `unread`: why nobody looked for the first of the two; empty: somebody did. `missing`: why
    checkpoints between the two must have been seen, and are not shown; empty: nothing says so.
    """

    after: Attested | None = None
    before: Attested | None = None
    unread: str = ""
    missing: str = ""

    @property
    def seconds(self) -> int | None:
        """How far the two are apart; None if one is missing."""
        if self.after is None or self.before is None:
            return None
        return int((self.before.by - self.after.at).total_seconds())

    def with_gap(self, stated: datetime) -> "Bounds":
        """The same; `missing` says so if the entry was seen long after the time that it states.

        A log has new entries cosigned within minutes, so checkpoints of the time between were not
        shown, or no witness saw the log then: nobody can tell which from these files.
        """
        if self.before is None or self.before.by - stated <= BEHIND:
            return self
        late = int((self.before.by - stated).total_seconds())
        return replace(
            self,
            missing=f"the entry states {stated:{FORMAT}}, and the first checkpoint with it that is"
            f" shown is {late} s later: those of the time between are missing",
        )

    def require(self, stated: datetime) -> None:
        """Raise TimeError unless the time that an entry states lies between the bounds."""
        if self.before is not None and stated - self.before.by > AHEAD:
            raise TimeError(
                f"the entry states {stated:{FORMAT}}, but {self.before.who} saw it by"
                f" {self.before.by:{FORMAT}}: a difference of {AHEAD} is tolerated"
            )
        if self.after is not None and self.after.at - stated > BEHIND:
            raise TimeError(
                f"the entry states {stated:{FORMAT}}, but {self.after.who} saw the log without it"
                f" at {self.after.at:{FORMAT}}: a difference of {BEHIND} is tolerated"
            )

    def lines(self) -> list[str]:
        """Both bounds and who vouches for them, as verdicts print them."""
        after = before = f"{NOBODY}: nobody else attests a time"
        if self.after is not None:
            after = f"{self.after.at:{FORMAT}}, {self.after.who} saw {self.after.head.size} entries"
        elif self.unread:
            after = f"COULD NOT READ: {self.unread}"
        if self.before is not None:
            before = (
                f"{self.before.by:{FORMAT}}, {self.before.who} saw {self.before.head.size} entries"
            )
        found = [f"  after     {after}", f"  before    {before}"]
        if self.seconds is not None:
            found.append(f"  between   {self.seconds} s, by the checkpoints that are shown")
        if self.missing:
            found.append(f"  missing   {self.missing}")
        return found


UNBOUND = Bounds()


def of_note(trust: LogPolicy, signed: Note) -> Attested | None:
    """When the quorum of a policy cosigned a note; None if the policy asks for no witness.

    Raises LogPolicyError unless the quorum has cosigned.
    """
    if trust.quorum == policies.NONE:
        return None
    trust.require_quorum(signed)
    times: dict[str, datetime] = {}
    for name, key in trust.witnesses.items():
        try:
            times[name] = policies.cosigned_at(key, signed)
        except CosignatureError:
            continue
    ordered = sorted(times.values())
    by = next(t for t in ordered if trust.is_quorum({n for n, each in times.items() if each <= t}))
    latest = reversed(ordered)
    at = next(t for t in latest if trust.is_quorum({n for n, each in times.items() if each >= t}))
    return Attested(checkpoint.parse(signed.text), by, at, f"witnesses {', '.join(sorted(times))}")


def bounds_of(index: int, attested: Iterable[Attested]) -> Bounds:
    """The tightest bounds of entry `index` by checkpoints of one history."""
    found = [*attested]
    without = [each for each in found if each.head.size <= index]
    with_it = [each for each in found if each.head.size > index]
    return Bounds(
        max(without, key=lambda each: (each.at, each.head.size), default=None),
        min(with_it, key=lambda each: (each.by, each.head.size), default=None),
    )


def require_prefix(source: LogSource, older: Checkpoint, newer: Checkpoint) -> None:
    """Raise TimeError unless the log extends one checkpoint to the other; UnreadableError.

    `source`: its tile directory, from which the proof is made. What it publishes may be newer than
    both: then its tiles have the proof too, and its own checkpoint need not be trusted.
    """
    if older.origin != newer.origin or older.size > newer.size:
        raise TimeError(f"{older.size} entries of {older.origin} are no beginning of {newer.size}")
    if older.size == newer.size:
        if older.root != newer.root:
            raise TimeError(f"two roots of {older.size} entries: one of the two is of a fork")
        return
    if not older.size:
        return
    try:
        nodes = LogFiles(source, max(newer.size, published(source))).nodes()
        proof = merkle.prove_consistency(older.size, newer.size, nodes)
        merkle.verify_consistency(older.size, newer.size, older.root, newer.root, proof)
    except (ProofError, IndexError) as error:
        raise TimeError(
            f"the {older.size} entries that were seen are no beginning of the {newer.size}: {error}"
        ) from error


def published(source: LogSource) -> int:
    """The size that a tile directory shows. Raises UnreadableError."""
    try:
        return checkpoint.parse(signed_note.parse(source.read("checkpoint").decode()).text).size
    except ValueError as error:
        raise UnreadableError("checkpoint", str(error)) from error


def require_at_least(head: Checkpoint, wanted: Checkpoint) -> None:
    """Raise TimeError if a verdict under `head` is older than the checkpoint `wanted`."""
    if head.origin != wanted.origin:
        raise TimeError(f"a checkpoint of {wanted.origin}, want one of {head.origin}")
    if head.size < wanted.size:
        raise TimeError(
            f"of {head.size} entries, but at least {wanted.size} are known: ask for a newer proof"
        )
    if head.size == wanted.size and head.root != wanted.root:
        raise TimeError(f"another root than the known one of {wanted.size} entries: a fork")


def tightest(
    trust: LogPolicy, source: LogSource, notes: Sequence[Note], index: int, head: Checkpoint
) -> Bounds:
    """The bounds of an entry by the published notes around it, proven to be of this history.

    A note that no quorum cosigned counts for nothing. Raises TimeError, UnreadableError.
    """
    found = [each for note in notes if (each := _believed(trust, note)) is not None]
    bounds = bounds_of(index, [each for each in found if each.head.origin == head.origin])
    for each in (bounds.after, bounds.before):
        if each is not None:
            older, newer = sorted((each.head, head), key=lambda one: one.size)
            require_prefix(source, older, newer)
    return bounds


def _believed(trust: LogPolicy, note: Note) -> Attested | None:
    try:
        return of_note(trust, note)
    except policies.LogPolicyError:
        return None


__all__ = [
    "NOBODY",
    "UNBOUND",
    "Attested",
    "Bounds",
    "TimeError",
    "UnreadableError",
    "bounds_of",
    "of_note",
    "require_at_least",
    "require_prefix",
    "tightest",
]
