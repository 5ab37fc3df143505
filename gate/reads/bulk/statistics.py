"""Counts everybody who does not object, for the anonymous statistics that complete tables.

    counted = statistics.population(gate, scene, at)
    fit(counted.rows, …)  # noisy counts are all that leaves

One entry of the read log names everybody who is counted, so that each of them finds it. It is
durable before a row is counted. The rows are an Ibis table: they are counted inside the source.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.contracts.scene import ReadShape, Scene
from gate.decision.decide import Reason
from gate.readlog.writer import ReadLogEntry
from gate.reads.bulk.authorised import authorised, findable, reported
from gate.reads.bulk.request import AdmittedRequest, TableRequest, admit
from gate.reads.point import Gate
from gate.state.customer_numbers import Numbers
from gate.state.ledger_position import ConsentPoint

ACTION = ReadShape.STATISTICS.value


class StatisticsRefusedError(Exception):
    """Contract or policy does not let the scene's service count. Nothing was read."""


@dataclass(frozen=True, slots=True)
class CountedPopulation:
    """The rows of everybody who does not object, as an Ibis table, and how many they are."""

    rows: Any
    people: int
    point: ConsentPoint
    entry: int  # in the read log


def population(gate: Gate, scene: Scene, at: datetime) -> CountedPopulation:
    """Whom a release for statistics counts, once that is recorded.

    Raises StatisticsRefusedError, StaleStateError and SourceUnavailableError.
    """
    fields = tuple(scene.domain.columns)
    request = TableRequest(scene.services[0].id, scene.id, fields, at)
    asked = admit(gate, request, ReadShape.STATISTICS)
    if isinstance(asked, Reason):
        raise StatisticsRefusedError(
            f"{scene.id}: {request.service} may not count its fields ({asked}); let the company's "
            "policy permit it"
        )
    with reported():
        rows = authorised(gate, asked, [gate.source.key, *fields])
        rows, people, numbers = findable(gate, asked, rows, rows)
    entry = _recorded(gate, asked, people, numbers)
    # Durable from here on: the rows may be counted.
    return CountedPopulation(rows, people, asked.point, entry)


def _recorded(gate: Gate, asked: AdmittedRequest, people: int, counted: Numbers) -> int:
    journal, request = gate.journal, asked.request
    return journal.record(
        ReadLogEntry(
            action=ACTION,
            at=request.at.replace(microsecond=0),
            service=request.service,
            scene=request.scene,
            rows=people,
            fields=request.fields,
            views={},
            reason=Reason.GRANTED,
            plan=asked.plan.digest,
            consent=asked.point,
            answered=journal.sets.put(counted),
            cohort=journal.sets.put(asked.admitted.numbers),
        )
    )
