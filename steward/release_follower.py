"""The last synthetic release of each scene, from a ledger that somebody else writes."""

from collections.abc import Iterator, Mapping
from typing import Any

from gate.state.consent_index import ConsentEntry
from ledger.events.envelope import SyntheticReleased
from steward.change_flow import FollowedLedger
from synthetic.fitting.release import Release


class Released:
    """Passes a ledger's entries on, and keeps the releases among them.

    Whoever follows it from the beginning knows, at every entry, what answers at that entry.
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

    def read_log_tag(self, subject: str, log_origin: str, index: int) -> bytes:
        return self._ledger.read_log_tag(subject, log_origin, index)

    def release(self, scene: str) -> Release | None:
        """Rebuilt from its public record when it is first asked for."""
        if (body := self._bodies.get(scene)) is None:
            return None
        held = self._built.get(scene)
        if held is None or held[0] is not body:
            held = self._built[scene] = body, Release.from_body(body)
        return held[1]
