"""The synthetic releases of each scene that a gate serves, in log order.

The last release answers. Earlier ones stay: the *anchor* of a scene is the release to whose counts
tables are completed. It follows from the contract and the log alone, so a replay finds the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gate.contracts.scene import Population, Scene
from synthetic.completion.mode import Mode
from synthetic.fitting.release import Release
from synthetic.model.series import PeriodMeasurement


class Synthesiser(Protocol):
    """What the gate needs of a synthetic release: see `synthetic.fitting.release.Release`."""

    @property
    def id(self) -> str: ...
    @property
    def statement(self) -> object:
        """The privacy guarantee to the people it was fitted on; `str` of it is a sentence."""
        ...

    def sample(self, rows: int, columns: Sequence[str]) -> Any: ...
    def surrogate(self, columns: Sequence[str], key: bytes, subjects: Sequence[str]) -> Any: ...
    def conditional(
        self, columns: Sequence[str], evidence: Any, key: bytes, subjects: Sequence[str]
    ) -> Any: ...


def anchor(scene: Scene, releases: Iterable[object], counted: object = None) -> Release | None:
    """The release to whose counts tables of `scene` are completed.

    `counted`, the last release for statistics, if the contract's population is all who do not
    object. Otherwise, and before the first of these, the one of its own that was fitted on most
    people, and of several such the first. None if the contract names another mode, or if none of
    them has the domain of the contract.
    """
    if scene.completion is not Mode.RELEASE_ANCHORED:
        return None
    domain = scene.domain
    if scene.population is Population.NOT_OBJECTING and isinstance(counted, Release):
        known = counted.domain.columns
        if all(known.get(name) == column for name, column in domain.columns.items()):
            return counted
    alike = [r for r in releases if isinstance(r, Release) and r.domain == domain]
    return max(alike, key=lambda each: each.rows, default=None)


def lacking(scene: Scene, release: object) -> frozenset[str]:
    """The fields of `scene` that came after `release` was fitted: it has no values of them."""
    if not isinstance(release, Release):
        return frozenset()
    return frozenset(scene.domain.columns.keys() - release.domain.columns.keys())


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: each answers differently
class Served:
    """The releases of one scene in log order; the last one answers."""

    releases: tuple[Synthesiser, ...] = ()
    anchor: Release | None = None

    def after(self, scene: Scene, more: Sequence[Synthesiser], counted: object = None) -> "Served":
        """These releases and those of `more` that are not among them yet.

        `counted`: the last release for statistics, which counts everybody who does not object.
        """
        ids = {each.id for each in more}
        every = (*(each for each in self.releases if each.id not in ids), *more)
        return Served(every, anchor(scene, every, counted))

    @property
    def last(self) -> Synthesiser | None:
        return self.releases[-1] if self.releases else None

    def anchored(self, name: str | None) -> Release | None:
        """The anchor of this id."""
        if self.anchor is not None and self.anchor.id == name:
            return self.anchor
        found = self.by_id(name)
        return found if isinstance(found, Release) else None

    def by_id(self, name: str | None) -> Synthesiser | None:
        return next((each for each in self.releases if each.id == name), None)


def periods(served: Served, name: str) -> Iterator[tuple[str, PeriodMeasurement]]:
    """The measured periods of a series with the release of each, oldest period first."""
    made = [each for each in served.releases if isinstance(each, Release)]
    found = [(each.id, one) for each in made for one in each.series if one.terms.name == name]
    yield from sorted(found, key=lambda pair: pair[1].period.start)


NOTHING = Served()
