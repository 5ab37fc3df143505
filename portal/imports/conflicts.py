"""Finds rows that contradict each other, or that a bad row could contradict.

Of two opposite statements of one customer on one scene whose times cannot be put in order, because
they are equal or one of them is only a day, the withdrawal stands: the grant is a bad row. Two
grants that differ are both bad rows.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from portal.imports.row import Bad, ImportRow


def check(parsed: Sequence[ImportRow | Bad]) -> list[ImportRow | Bad]:
    """The rows; those that conflict with another one become bad."""
    by_scene: dict[tuple[str, str], list[ImportRow]] = defaultdict(list)
    for each in parsed:
        if isinstance(each, ImportRow):
            by_scene[each.subject, each.scene].append(each)
    bad = {
        id(each): why
        for rows in by_scene.values()
        for together in _overlapping(rows)
        for each, why in _conflicting(together)
    }
    return [
        Bad(each.place, bad[id(each)], (each.subject,))
        if isinstance(each, ImportRow) and id(each) in bad
        else each
        for each in parsed
    ]


def without_doubtful(parsed: Sequence[ImportRow | Bad]) -> list[ImportRow | Bad]:
    """The rows; grants of a customer of whom another row is bad become bad.

    The bad row may have been the withdrawal of that very grant. If one does not show whose it is,
    all grants of the file do.
    """
    bad = (each for each in parsed if isinstance(each, Bad))
    if (unknown := next((each for each in bad if not each.identified), None)) is not None:
        return [
            Bad(each.place, _anybodys(unknown.place), (each.subject,))
            if isinstance(each, ImportRow) and each.granted
            else each
            for each in parsed
        ]
    doubtful: dict[str, int] = {}
    for each in parsed:
        if isinstance(each, Bad):
            doubtful |= dict.fromkeys(each.subjects, each.place)
    return [
        Bad(each.place, _doubt(doubtful[each.subject]), (each.subject,))
        if isinstance(each, ImportRow) and each.granted and each.subject in doubtful
        else each
        for each in parsed
    ]


def _anybodys(place: int) -> str:
    return (
        f"want every row to show whose it is, found the bad line {place}, which does not and may "
        "end this consent: correct that one"
    )


def _doubt(place: int) -> str:
    return (
        f"want every row of the customer to be good, found the bad line {place}, which may end "
        "this consent: correct that one"
    )


def _overlapping(rows: list[ImportRow]) -> Iterator[list[ImportRow]]:
    """Groups of at least two rows; each overlaps in time with an earlier one of its group."""
    rows.sort(key=lambda each: (each.moment.begin, each.place))
    together: list[ImportRow] = []
    end = -1
    for each in rows:
        if each.moment.begin >= end:
            if len(together) > 1:
                yield together
            together = []
        together.append(each)
        end = max(end, each.moment.end)
    if len(together) > 1:
        yield together


def _conflicting(together: Sequence[ImportRow]) -> Iterator[tuple[ImportRow, str]]:
    """Each row that must be refused, and why."""
    withdrawal = next((each for each in together if not each.granted), None)
    for each in together:
        other = withdrawal or next((o for o in together if o.statement != each.statement), None)
        if other is not None and each.granted:
            yield each, _conflict(each, other)


def _conflict(each: ImportRow, other: ImportRow) -> str:
    contradiction = "a different consent" if other.granted else "a withdrawal, which stands,"
    return (
        f"want one answer on {each.scene} at one time, found {contradiction} in line "
        f"{other.place}, at a time that cannot be told from this one: remove the wrong row"
    )
