"""HTTP route of the series over events that a contract for statistics declares.

Nothing is read for an answer: it repeats what releases published, so no read-log entry is made.
"""

from collections.abc import Mapping

import msgspec

from gate.contracts.scene import Scene
from gate.contracts.series import EventSeries
from gate.http.authzen import Name
from gate.http.reads import decoded
from gate.http.response import HttpError, Response
from gate.reads import releases
from gate.reads.point import Gate
from synthetic.model.series import PeriodMeasurement

PATH = "/v1/series"
NOT_COUNTED = (
    "events of a customer beyond `at_most` in one period: how many is unknown",
    "events that reached the source after their period was measured",
    "events of customers who object, are erased, or are not in the source any more",
)


class SeriesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request for a series of a scene for statistics."""

    scene: Name
    series: Name


class SeriesValue(msgspec.Struct, frozen=True):
    """A noisy count, which may be negative. `bar` holds its noise with probability 0.95 or more."""

    category: str  # empty: the total of the period
    count: int
    bar: int


class SeriesPeriod(msgspec.Struct, frozen=True):
    """Days [start, end) of the zone; the total, and each category if the series has any."""

    start: str
    end: str
    release: str
    at_most: int  # events that were counted of one customer
    total: SeriesValue
    categories: list[SeriesValue]


class SeriesAnswer(msgspec.Struct, frozen=True):
    """The periods that were measured, oldest first; each was measured once."""

    scene: str
    series: str
    every: str
    zone: str
    not_counted: list[str]
    periods: list[SeriesPeriod]


_BODY = msgspec.json.Decoder(SeriesBody)
_ENCODER = msgspec.json.Encoder(order="deterministic")


class SeriesRoute:
    """Answers from the releases that a gate serves."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def series(self, service: str, body: bytes, _: Mapping[bytes, bytes]) -> Response:
        asked = decoded(_BODY, body)
        scene = self._gate.scenes.get(asked.scene)
        if scene is None or not scene.admits(service):
            detail = "request a series of a scene whose contract names your service; see /docs"
            title = "The contract does not allow this read"
            raise HttpError(403, "refused", title, detail)
        return Response(200, _ENCODER.encode(self._answer(scene, _known(scene, asked.series))))

    def _answer(self, scene: Scene, series: EventSeries) -> SeriesAnswer:
        made = releases.periods(self._gate.served(scene.id), series.name)
        return SeriesAnswer(
            scene.id,
            series.name,
            series.terms.every.value,
            series.terms.zone,
            [*NOT_COUNTED],
            [_period(release, each) for release, each in made],
        )


def _known(scene: Scene, name: str) -> EventSeries:
    for each in scene.series:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in scene.series) or "none"
    raise HttpError(
        403, "refused", "The contract has no such series", f"series of {scene.id}: {known}"
    )


def _period(release: str, measured: PeriodMeasurement) -> SeriesPeriod:
    categories = measured.terms.categories
    counts = measured.values.tolist() if categories else []
    return SeriesPeriod(
        measured.period.start.isoformat(),
        measured.period.end.isoformat(),
        release,
        measured.terms.at_most,
        SeriesValue("", measured.total, measured.total_bar),
        [SeriesValue(*each, measured.bar) for each in zip(categories, counts, strict=True)],
    )
