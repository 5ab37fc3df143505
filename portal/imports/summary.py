"""What a file contains and what importing it would record, in counts and without customers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ledger.events.envelope import EvidenceClass
from portal.imports.record import ImportPlan
from portal.imports.row import Bad, ImportRow

MAX_ERRORS = 20  # that are listed


def lines(
    name: str, parsed: Sequence[ImportRow | Bad], plan: ImportPlan, *, refused: bool
) -> Iterator[str]:
    """The lines that a dry run prints.

    `name`: of the file. `refused`: whether an import of it records nothing.
    """
    rows = [each for each in parsed if isinstance(each, ImportRow)]
    bad = [each for each in parsed if isinstance(each, Bad)]
    yield f"dry run of {name}: nothing was recorded"
    yield f"rows: {len(parsed)}, bad: {len(bad) + len(plan.unclear)}"
    yield f"status: {_counts('granted' if each.granted else 'withdrawn' for each in rows)}"
    yield f"scene: {_counts(each.scene for each in rows)}"
    granted = [each for each in rows if each.granted]
    yield f"items of the grants: {_counts(name for each in granted for name in each.fields)}"
    yield f"ends of the grants: {_counts(_end(each) for each in granted)}"
    yield f"evidence class: {_counts([EvidenceClass.IMPORTED.value] * len(rows))}"
    yield f"would be recorded: {0 if refused else len(plan.drafts)} instructions"
    yield f"recorded before: {plan.repeated}"
    yield f"older than an erasure of their customer: {len(plan.erased)}"
    yield f"not recorded for another reason: {len(plan.left)}"
    passed_over = (*bad, *plan.unclear, *plan.erased, *plan.left)
    for each in passed_over[:MAX_ERRORS]:
        yield f"{name}: {each}"
    if (rest := len(passed_over) - MAX_ERRORS) > 0:
        yield f"and {rest} more"


def _end(row: ImportRow) -> str:
    return "stated" if row.until else "as late as the contract allows"


def _counts(texts: Iterable[str]) -> str:
    return ", ".join(f"{text} {count}" for text, count in sorted(Counter(texts).items())) or "none"
