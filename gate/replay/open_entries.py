"""Opens drawn entries of read logs for a regulator: each alone (ledger.verify.sampling).

The key of an entry follows from the pseudonym that the log's private index has for it, so entries
about customers who were erased since are opened too. What was erased is the instruction that they
rest on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gate.readlog import batch_entry
from gate.replay.entry_owners import EntryOwners
from gate.storage import membership
from gate.storage.read_log import ReadLogDatabases, ReadLogReader
from ledger.follower import Follower
from ledger.tlog import tiles
from ledger.vault import commitments
from ledger.vault.commitments import EntryKeys
from ledger.verify import read_log_entry
from ledger.verify.read_log_entry import ABOUT_MANY, WITH_LIST
from ledger.verify.sampling import challenge as challenges
from ledger.verify.sampling.challenge import DrawnEntry, SampleChallenge
from ledger.verify.sampling.openings import ERASED, EntryOpening


class NotOpenableError(Exception):
    """An entry cannot be opened: its log or the private index is not here, or is damaged."""


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """An opening, and whom the entry is about; None: somebody without a key."""

    opening: EntryOpening
    subject: str | None


@dataclass(frozen=True, slots=True)
class EntryOpener:
    """Opens the entries of one challenge. Not thread-safe."""

    ledger: Follower
    logs: ReadLogDatabases
    challenge: SampleChallenge
    instructions: bool  # whether to show those that the entries rest on, which name customers
    _owners: dict[str, EntryOwners] = field(default_factory=dict)

    def open(self) -> Sequence[OpenedEntry]:
        """Open all that can be opened alone. Raises NotOpenableError."""
        found = (self._open(each) for each in self.challenge.drawn)
        return [each for each in found if each is not None]

    def _open(self, drawn: DrawnEntry) -> OpenedEntry | None:
        instance = drawn.log.rsplit("/", 1)[-1]
        if instance not in self.logs.instances():
            raise NotOpenableError(f"{drawn.log} is not here: restore it from a backup")
        with self.logs.get(instance).reader() as stored:
            return self._of(drawn, stored)

    def _of(self, drawn: DrawnEntry, stored: ReadLogReader) -> OpenedEntry | None:
        bundle, at = divmod(drawn.entry, tiles.WIDTH)
        leaf = tiles.unbundle(stored.bundle(bundle))[at]
        entry, place, text = read_log_entry.parse(leaf), None, None
        if entry["action"] in ABOUT_MANY:
            return None
        if entry["action"] in WITH_LIST:
            data = stored.listing(drawn.entry)
            batch_entry.listing(data, batch_entry.batch(leaf))
            text = (data or b"").decode()
            decisions = read_log_entry.decisions(text.encode(), entry)
            place = challenges.place(self.challenge.seed, drawn, len(decisions))
            entry = decisions[place]
            names = stored.member_names(drawn.entry, len(decisions))
            name = names[place * membership.SIZE : (place + 1) * membership.SIZE]
        else:
            ((_, _, names),) = stored.named_bundles(bundle, bundle + 1)
            name = names[at * membership.SIZE : (at + 1) * membership.SIZE]
        if not commitments.is_openable(entry["subject"]):
            return None
        return self._opened(drawn, entry, name, place, text)

    def _opened(
        self,
        drawn: DrawnEntry,
        entry: dict[str, Any],
        name: bytes,
        place: int | None,
        text: str | None,
    ) -> OpenedEntry:
        key = EntryKeys(commitments.position_key(name)).of(drawn.entry, place)
        if commitments.entry_tag(key) != entry["subject"]:
            raise NotOpenableError(
                f"the private index has another customer for {drawn.log}#{drawn.entry}: run fsck"
            )
        rests = commitments.unmasked(entry["determined_by"], commitments.entry_pad(key))
        subject = self._subject(drawn.log, name, rests)
        shown = None
        if self.instructions and rests is not None:
            shown = self._instruction(rests)
        return OpenedEntry(EntryOpening(drawn, key, text, shown), subject)

    def _subject(self, origin: str, name: bytes, rests: int | None) -> str | None:
        owners = self._owners.setdefault(origin, EntryOwners(self.ledger, origin))
        found = owners.of(name, b"null" if rests is None else b"%d" % rests)
        return None if found is None else found[0]

    def _instruction(self, position: int) -> dict[str, Any] | str:
        try:
            shown = self.ledger.opening(position)
        except KeyError:
            return ERASED
        return {name: shown[name] for name in ("event", "salt", "tag")}
