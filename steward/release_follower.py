"""Follows the latest synthetic release of each scene in a ledger written by another process."""

from collections.abc import Iterator, Mapping
from typing import Any

from gate.state.followed import ConsentEntry
from ledger.events.envelope import SyntheticReleased
from ledger.vault.owners import Erasures
from steward.change_flow import FollowedLedger
from synthetic.fitting.release import Release


class Released:
    """Passes on a ledger's entries and remembers the latest release of each scene among them.

    Followed from the beginning, it has at every entry the releases that answer at that entry.
    """

    def __init__(self, ledger: FollowedLedger) -> None:
        self._ledger = ledger
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._built: dict[str, tuple[Mapping[str, Any], Release]] = {}

    @property
    def size(self) -> int:
        return self._ledger.size

    def follow(self, since: int) -> Iterator[ConsentEntry]:
        for entry in self._ledger.follow(since):
            if isinstance(entry.event, SyntheticReleased):
                self._bodies[entry.event.scene] = entry.event.body
            yield entry

    def erasures(self, since: int) -> Erasures:
        return self._ledger.erasures(since)

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        return self._ledger.read_log_tag(subject, log_origin, index)

    def release(self, scene: str) -> Release | None:
        """The latest release of the scene, rebuilt from its public record on first use."""
        if (body := self._bodies.get(scene)) is None:
            return None
        built = self._built.get(scene)
        if built is None or built[0] is not body:
            built = self._built[scene] = body, Release.from_body(body)
        return built[1]
