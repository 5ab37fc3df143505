"""Routes of the timeline: everything that happened to a customer's permissions and data.

GET /customer/timeline         a page; `?kind=` keeps one kind, `?reads=&others=` say what was shown
GET /customer/timeline.csv     all of it, or one kind
GET /customer/timeline.json
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from portal.auth.session import Session
from portal.consent.flow import reads, timeline
from portal.consent.flow.timeline import EventKind, Taken, TimelineEvent
from portal.desk.case_tables import plain
from portal.desk.office import SEARCHED
from portal.signin.current_customer import Me
from portal.web.pages import context, page, words

router = APIRouter(prefix="/customer/timeline", include_in_schema=False)

ALL: Final = "all"
REGISTER = "timeline.register"
COLUMNS = ("at", "kind", "text", "details", "entry", "proof")
Shown = Annotated[int, Query(ge=0, le=10**9)]
Kind = EventKind | Literal["all"]


@router.get("")
def show(
    request: Request, me: Me, kind: Kind = ALL, reads: Shown = 0, others: Shown = 0
) -> Response:
    taken = Taken(reads, others)
    rows = timeline.page(_others(request, me, kind), _reads(request, me, kind, reads), taken)
    return page(
        request,
        "customer/timeline.html",
        rows=rows,
        begins=taken == Taken(),
        kind=kind,
        kinds=[ALL, *EventKind],
    )


@router.get(".csv")
def export_table(request: Request, me: Me, kind: Kind = ALL) -> Response:
    return _file(_table(_all(request, me, kind)), "text/csv; charset=utf-8", "timeline.csv")


@router.get(".json")
def export_objects(request: Request, me: Me, kind: Kind = ALL) -> Response:
    return _file(_objects(_all(request, me, kind)), "application/json", "timeline.json")


def _file(content: Iterator[str], media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type=media_type, headers=headers)


def _all(request: Request, me: Session, kind: Kind) -> Iterator[TimelineEvent]:
    return timeline.merged(_others(request, me, kind), _reads(request, me, kind, 0))


def _reads(request: Request, me: Session, kind: Kind, skip: int) -> Iterator[TimelineEvent]:
    if kind not in {ALL, EventKind.READ}:
        return
    product, spoken = context(request).product, words(request)
    for index, entry in product.reads_of(me.subject, skip):
        yield timeline.read(reads.row(index, entry, product.source, product.scenes), spoken)


def _others(request: Request, me: Session, kind: Kind) -> list[TimelineEvent]:
    """All that is no read, newest first."""
    here, spoken = context(request), words(request)
    product = here.product
    recorded = me.agreement.history(product.ledger)
    found = [
        *timeline.decisions(recorded, product.scenes, here.words, spoken),
        *timeline.expiries(recorded, product.scenes, spoken, here.clock()),
        *timeline.contracts(here.published.all(), product.scenes, spoken),
        *_look_ups(request, me),
        *_openings(request, me),
    ]
    kept = [each for each in found if kind in {ALL, each.kind}]
    return sorted(kept, key=lambda each: (each.at, each.entry), reverse=True)


def _look_ups(request: Request, me: Session) -> Iterator[TimelineEvent]:
    """Stewards who looked this customer up, each with the reason that they gave."""
    spoken = words(request)
    for entry, private in context(request).product.register().of(me.subject, SEARCHED):
        text = spoken.plain("timeline.look-up", by=entry.open["by"])
        ground = spoken.plain(f"ground.{entry.open['ground']}")
        why = (ground, str(private.get("reason", "")))
        details = tuple(each for each in why if each)
        yield TimelineEvent(entry.at, EventKind.LOOK_UP, text, details, REGISTER, entry.number)


def _openings(request: Request, me: Session) -> Iterator[TimelineEvent]:
    """Authorities who may see this customer's history, or were shown an entry."""
    here, spoken = context(request), words(request)
    for each in here.openings.of(me.subject):
        text = spoken.plain("timeline.opening", by=each.by)
        until = spoken.plain("opened.until", day=spoken.day(each.until))
        yield TimelineEvent(
            each.at, EventKind.OPENING, text, (each.reason, until), REGISTER, each.entry
        )
    for shown in here.sampled.of(me.subject):
        text = spoken.plain("sampled.line", entry=spoken.number(shown.entry), by=shown.by)
        yield TimelineEvent(shown.at, EventKind.OPENING, text, (), timeline.READ, shown.entry)


def _table(rows: Iterable[TimelineEvent]) -> Iterator[str]:
    """CSV (RFC 4180). Times are in UTC; no cell is a formula."""
    yield _line(COLUMNS)
    for each in rows:
        cells = (_at(each), each.kind, each.text, "; ".join(each.details), each.entry, each.proof)
        yield _line([plain(str(cell)) for cell in cells])


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _objects(rows: Iterable[TimelineEvent]) -> Iterator[str]:
    """A JSON array of objects, one on each line."""
    before = "[\n"
    for each in rows:
        values = (_at(each), each.kind, each.text, each.details, each.entry, each.proof)
        made = dict(zip(COLUMNS, values, strict=True))
        yield before + json.dumps(made, ensure_ascii=False)
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _at(event: TimelineEvent) -> str:
    return event.at.strftime("%Y-%m-%dT%H:%M:%SZ")
