"""Records the rows of a file as instructions of class D: all or none, and once for each row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import groupby

from ledger.events.envelope import Act, EvidenceClass, Imported, Instruction, Withdrawn, Wording
from ledger.service import Ledger
from portal.imports import earlier
from portal.imports.earlier import Obstacle
from portal.imports.row import Bad, ImportRow

Progress = Callable[[int, int], None]  # rows done, of how many
MAX_ROWS = 200_000  # per file, which is one transaction


class RefusedFileError(ValueError):
    """The file was refused, and nothing was recorded."""


@dataclass(slots=True)
class ImportPlan:
    """What an import records, and which rows it passes over, each with the reason."""

    drafts: list[Instruction] = field(default_factory=list)
    left: list[Bad] = field(default_factory=list)
    unclear: list[Bad] = field(default_factory=list)  # withdrawals that may end something, or not
    erased: list[Bad] = field(default_factory=list)  # given before the customer was erased here
    repeated: int = 0  # rows that were recorded before, or are repeated in the file


@dataclass(frozen=True, slots=True)
class ConsentImport:
    """The result of an import."""

    recorded: int
    plan: ImportPlan
    again: bool = False  # the file was imported before, and nothing happened this time


def require_good(parsed: Sequence[ImportRow | Bad], name: str) -> list[ImportRow]:
    """The rows of the file `name`. Raises RefusedFileError, which lists all bad rows."""
    if bad := [each for each in parsed if isinstance(each, Bad)]:
        lines = "\n".join(f"{name}: {each}" for each in bad)
        raise RefusedFileError(
            f"{lines}\n{len(bad)} of {len(parsed)} rows are bad, want none: nothing was recorded; "
            "correct them, or skip them with --skip-bad"
        )
    return [each for each in parsed if isinstance(each, ImportRow)]


def require_clear(made: ImportPlan, name: str) -> None:
    """Raises RefusedFileError, which lists every withdrawal that may have to end something."""
    if made.unclear:
        lines = "\n".join(f"{name}: {each}" for each in made.unclear)
        raise RefusedFileError(
            f"{lines}\n{len(made.unclear)} withdrawals may have to end a consent: nothing was "
            "recorded; correct them, or skip them with --skip-bad"
        )


def take(ledger: Ledger, made: ImportPlan) -> ConsentImport:
    """Record what was planned. Durable when it returns."""
    recorded = ledger.record(made.drafts) if made.drafts else []
    return ConsentImport(len(recorded), made, again=not recorded and bool(made.repeated))


def plan(
    ledger: Ledger,
    rows: Sequence[ImportRow],
    source: str,
    locale: str = "en",
    progress: Progress = lambda _done, _of: None,
) -> ImportPlan:
    """What importing the rows records; nothing is yet. `source`: recorded with each grant.

    Customers' own instructions are never overwritten, except by a withdrawal that is newer. Raises
    RefusedFileError for a file that is too long, VaultError if it cannot be told who was erased.
    """
    if len(rows) > MAX_ROWS:
        raise RefusedFileError(f"{len(rows)} rows, want at most {MAX_ROWS}: split the file")
    made, tombstones, done = ImportPlan(), ledger.tombstones(), 0
    ordered = sorted(rows, key=lambda each: (each.subject, each.moment.begin, each.place))
    for subject, each in groupby(ordered, key=lambda each: each.subject):
        theirs = [*each]
        since = [*_since(theirs, tombstones.erased_at(subject), made)]
        _draft(ledger, subject, since, source, locale, made)
        done += len(theirs)
        progress(done, len(rows))
    for bad in (made.left, made.unclear, made.erased):
        bad.sort(key=lambda each: each.place)
    return made


def _since(
    rows: Sequence[ImportRow], erased_at: datetime | None, made: ImportPlan
) -> Iterator[ImportRow]:
    """The rows that are certainly newer than the customer's last erasure here, if there was one."""
    for each in rows:
        if erased_at is None or each.moment.at > erased_at:
            yield each
        else:
            made.erased.append(
                Bad(each.place, "given before the customer was erased here", (each.subject,))
            )


def _draft(
    ledger: Ledger,
    subject: str,
    rows: Sequence[ImportRow],
    source: str,
    locale: str,
    made: ImportPlan,
) -> None:
    """One customer's instructions, in the order of their times."""
    if not rows:
        return
    record = earlier.of(ledger.history(subject), ledger.state(subject))
    drafted: dict[str, ImportRow] = {}
    last: Instruction | None = None
    for each in rows:
        if _repeats(each, drafted.get(each.scene)):
            made.repeated += 1
            continue
        if (found := record.obstacle(each)) is not None:
            _pass_over(each, *found, made)
            continue
        drafted[each.scene] = each
        words = Wording(locale, sha256(each.words).digest())
        act, at = _act(each, source), record.time(each)
        last = (
            last.next(act, at=at, wording=words)
            if last
            else ledger.draft(subject, act, at=at, wording=words, evidence=EvidenceClass.IMPORTED)
        )
        made.drafts.append(last)


def _pass_over(each: ImportRow, obstacle: Obstacle, why: str, made: ImportPlan) -> None:
    match obstacle:
        case Obstacle.REPEATED:
            made.repeated += 1
        case Obstacle.PREVAILED:
            made.left.append(Bad(each.place, why))
        case Obstacle.UNCLEAR:
            made.unclear.append(Bad(each.place, why))


def _repeats(each: ImportRow, before: ImportRow | None) -> bool:
    """Whether the row before it of the same scene states the same of the same time.

    A withdrawal whose time ends later than that is another one: it may end a later grant.
    """
    if before is None or before.statement != each.statement:
        return False
    overlaps = before.moment.overlaps(each.moment)
    return overlaps and (each.granted or each.moment.end <= before.moment.end)


def _act(each: ImportRow, source: str) -> Act:
    if not each.granted:
        return Withdrawn(each.scene, each.fields or None)
    return Imported(each.scene, each.fields, each.until, source)
