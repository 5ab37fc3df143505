"""Verifies the logs that a replay derives from: every entry of a read log, under a signed root.

Anybody who holds the database can edit an entry. So a replay hashes the entries first, compares the
root with a checkpoint that the log's key signed, and the key with the one that the consent log
announced. The company holds that key, too: what it signed again differs from the root that it
anchored in the consent log, and an entry has to be of the time between the anchors around it.
"""

from base64 import b64encode
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from gate.state import consent_bits
from gate.storage.read_log import ReadLogDatabase, ReadLogReader
from ledger.events.envelope import ReadLogAnchored, ReadLogClosed, ReadLogOpened
from ledger.follower import Follower
from ledger.integrity import published
from ledger.tlog import merkle, signed_note, tiles
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.compact_range import Frontier
from ledger.tlog.merkle import Hash, ProofError
from ledger.tlog.tiles import MalformedTileError
from ledger.verify.read_log_rules import ReadLogRules

SKEW_MINUTES = 5  # how far the clocks of a gate and of the ledger's writer may differ


class UnverifiedLogError(Exception):
    """The log is not what its checkpoint signs; nothing can be derived from it."""


class UnreadLogError(UnverifiedLogError):
    """A file of the log could not be read: nobody knows whether the log is right."""


@dataclass(frozen=True, slots=True)
class AnchoredSizes:
    """Sizes of a read log that the consent log recorded, ascending, and the minute of each."""

    sizes: Sequence[int] = ()
    minutes: Sequence[int] = ()

    def finding(self, index: int, minute: int) -> str | None:
        """None if the entry can be of this minute, by the anchors before and after it."""
        place = bisect_right(self.sizes, index)
        if place and minute < self.minutes[place - 1] - SKEW_MINUTES:
            return f"a time after {self._text(place - 1)}"
        if place < len(self.sizes) and minute > self.minutes[place] + SKEW_MINUTES:
            return f"a time before {self._text(place)}"
        return None

    def _text(self, place: int) -> str:
        at = consent_bits.EPOCH + timedelta(minutes=self.minutes[place])
        return f"{at:%Y-%m-%dT%H:%MZ}, when {self.sizes[place]} entries were anchored"


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A read log whose entries are those that its key signed."""

    head: Checkpoint
    anchors: AnchoredSizes


def consent(ledger: Follower) -> Checkpoint:
    """The newest checkpoint of the consent log, which its key signed. Raises UnverifiedLogError."""
    return _signed(ledger.keys / "consent.vkey", ledger.checkpoint())


def prefix(ledger: Follower, head: Checkpoint, size: int, root: str) -> None:
    """Check that `root` is of the first `size` entries of the log that `head` signs.

    Raises UnverifiedLogError.
    """
    try:
        ledger.require_prefix(head, size, root)
    except (ProofError, MalformedTileError) as error:
        raise UnverifiedLogError(
            f"the consent log: its first {size} entries hash to {root}, and that is not the log of "
            f"{head.size} entries that its checkpoint signs: {error}"
        ) from error


def read_log(log: ReadLogDatabase, home: Path, ledger: Follower, since: int) -> VerifiedLog | None:
    """Verify the entries from `since` on; None of an empty log. Raises UnverifiedLogError.

    Those before are taken from the log's tiles, which have to lead to the same root.
    """
    if (stored := log.store.head()) is None:
        return None
    key = home / "keys" / f"{log.instance}.vkey"
    head = _signed(key, stored.note)
    opened = {*_opened(ledger, head.origin)}
    if opened and {key.read_text("utf-8").strip()} != opened:
        raise UnverifiedLogError(
            f"the consent log announced {len(opened)} keys for it, want the one of keys/{key.name}"
        )
    anchors = [*_anchored(ledger, head.origin)]
    if anchors and anchors[-1].size > head.size:
        raise UnverifiedLogError(
            f"it was cut: it has {head.size} entries, {anchors[-1].size} were anchored"
        )
    if anchors and isinstance(anchors[-1], ReadLogClosed) and anchors[-1].size < head.size:
        raise UnverifiedLogError(
            f"it was closed with {anchors[-1].size} entries and has {head.size}: none may follow"
        )
    signed = [(each.size, each.root, "the consent log anchored") for each in anchors[-1:]]
    signed.append((head.size, _text(head.root), "its checkpoint signs"))
    roots = dict(_roots(log, since, sorted({size for size, _, _ in signed})))
    for size, root, whose in signed:
        if roots[size] != root:
            raise UnverifiedLogError(
                f"its first {size} entries hash to {roots[size]}, {whose} {root}"
            )
    minutes = [consent_bits.minute(each.at) for each in anchors]
    return VerifiedLog(head, AnchoredSizes([each.size for each in anchors], minutes))


def _signed(key: Path, note: str) -> Checkpoint:
    try:
        return published.trusted(key).verify(signed_note.parse(note))
    except OSError as error:
        raise UnreadLogError(f"keys/{key.name} cannot be read: {error.strerror}") from error
    except ValueError as error:  # NoteError, LogPolicyError, or not even text
        raise UnverifiedLogError(f"its checkpoint, by keys/{key.name}: {error}") from error


def _opened(ledger: Follower, origin: str) -> Iterator[str]:
    for each in ledger.announced():
        if isinstance(each.event, ReadLogOpened) and each.event.origin == origin:
            yield each.event.key


def _anchored(ledger: Follower, origin: str) -> Iterator[ReadLogAnchored | ReadLogClosed]:
    """The anchors of a read log that grew, in the order of the consent log, and its end.

    Raises UnverifiedLogError if the acts about the log contradict each other.
    """
    last, rules = 0, ReadLogRules()
    for each in ledger.announced():
        anchor = each.event
        if not isinstance(anchor, ReadLogAnchored | ReadLogClosed) or anchor.origin != origin:
            continue
        try:
            rules.require(msgspec.to_builtins(anchor))
        except ValueError as error:
            raise UnverifiedLogError(f"entry {each.index} of the consent log: {error}") from error
        if anchor.size > last or isinstance(anchor, ReadLogClosed):
            last = anchor.size
            yield anchor


def _roots(log: ReadLogDatabase, since: int, sizes: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The root of the log at each of these sizes, from its entries as far as they are later."""
    first = since // tiles.WIDTH * tiles.WIDTH
    try:
        for size in (each for each in sizes if each < first):
            yield size, _text(published.root_at(log.store, size))
        frontier = published.frontier(log.store, first)
        with log.reader() as reader:
            for size in (each for each in sizes if each >= first):
                _extend(frontier, reader, size)
                yield size, _text(frontier.root())
    except MalformedTileError as error:
        raise UnverifiedLogError(f"its entries cannot be read: {error}") from error


def _extend(frontier: Frontier, reader: ReadLogReader, size: int) -> None:
    """Append the log's entries up to `size`. Raises MalformedTileError."""
    lo, hi = frontier.size // tiles.WIDTH, -(-size // tiles.WIDTH)
    for number, data, _ in reader.named_bundles(lo, hi):
        _append(frontier, number, data, size)
    if frontier.size != size:
        raise MalformedTileError(f"{frontier.size} entries, want {size}")


def _append(frontier: Frontier, number: int, data: bytes, size: int) -> None:
    """Append the leaf hashes of a bundle up to `size` entries."""
    begin = number * tiles.WIDTH
    if not begin <= frontier.size < begin + tiles.WIDTH:
        raise MalformedTileError(f"entry bundle {frontier.size // tiles.WIDTH} is missing")
    hashes = merkle.leaf_hashes(tiles.unbundle(data)[frontier.size - begin : size - begin])
    if len(hashes) == tiles.WIDTH:
        frontier.append_tile(hashes)
    else:
        frontier.append(hashes)


def _text(root: Hash) -> str:
    return b64encode(root).decode()
