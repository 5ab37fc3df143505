"""Records the rows of a file as instructions of class D: all or none, and once per file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import groupby

from ledger import clock
from ledger.events import reducer
from ledger.events.acts import SourceDeleted
from ledger.events.envelope import Act, EvidenceClass, Imported, Instruction, Withdrawn, Wording
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from ledger.reader import RecordedInstruction
from ledger.service import IdempotencyError, Ledger
from portal.imports import moment
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


def take(
    ledger: Ledger,
    rows: Sequence[ImportRow],
    data: bytes,
    source: str,
    locale: str = "en",
    progress: Progress = lambda _done, _of: None,
) -> ConsentImport:
    """Record the rows. Durable when it returns. Customers' own instructions are never overwritten.

    Raises RefusedFileError for a file that is too long, VaultError if it cannot be told who was
    erased.
    """
    digest = sha256(data).hexdigest()
    made = plan(ledger, rows, f"{source} {digest}", locale, progress)
    if not made.drafts:
        return ConsentImport(0, made, again=bool(made.repeated))
    try:
        recorded = ledger.record(made.drafts, idempotency=f"consents:{digest}")
    except IdempotencyError:  # the same file; nonces differ each time
        return ConsentImport(0, ImportPlan(), again=True)
    return ConsentImport(len(recorded), made)


def plan(
    ledger: Ledger,
    rows: Sequence[ImportRow],
    source: str,
    locale: str = "en",
    progress: Progress = lambda _done, _of: None,
) -> ImportPlan:
    """What importing the rows would record; nothing is. Raises as `take` does."""
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
    for bad in (made.left, made.erased):
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
    history, state = ledger.history(subject), ledger.state(subject)
    if (into := _into(history)) is not None:
        now = f"the company gave this customer the number {into!r}: write that number"
        made.left += [Bad(each.place, now) for each in rows]
        return
    decided = _decided(history, signs=bool(state and state.authority.keys))
    recorded = {_recorded(each) for each in history}
    joined = reducer.joined_at(each.event for each in history)
    current = dict(state.scenes) if state else {}
    last: Instruction | None = None
    for each in rows:
        if each.scene in decided or None in decided:
            made.left.append(Bad(each.place, f"the customer decided {each.scene} here"))
            continue
        if each.granted and joined is not None and each.moment.at <= joined:
            joined_since = "given before the company merged, split or renamed the customer"
            made.left.append(Bad(each.place, joined_since))
            continue
        existing = current.get(each.scene, state.deleted if state else None)
        if (each.scene, each.moment.at, each.statement) in recorded or _repeats(each, existing):
            made.repeated += 1
            continue
        if why := _superseded(each, existing):
            made.left.append(Bad(each.place, why))
            continue
        recorded.add((each.scene, each.moment.at, each.statement))
        words = Wording(locale, sha256(each.words).digest())
        act, at = _act(each, source), _time(each, existing)
        last = (
            last.next(act, at=at, wording=words)
            if last
            else ledger.draft(subject, act, at=at, wording=words, evidence=EvidenceClass.IMPORTED)
        )
        made.drafts.append(last)


def _decided(history: Sequence[RecordedInstruction], *, signs: bool) -> set[str | None]:
    """The scenes that the customer decided here; None among them if only they may sign."""
    own = [e.event for e in history if e.event.evidence is not EvidenceClass.IMPORTED]
    acts = {getattr(each.act, "scene", None) for each in own if hasattr(each.act, "scene")}
    return acts | ({None} if signs else set())


def _into(history: Sequence[RecordedInstruction]) -> str | None:
    """The number that the customer has now, if it was renamed or merged into another."""
    last = history[-1].event.act if history else None
    return last.into if isinstance(last, SourceDeleted) else None


def _recorded(each: RecordedInstruction) -> tuple[str | None, datetime, object]:
    """Scene, time and statement of an instruction, as a row has them."""
    act = each.event.act
    granted = isinstance(act, Imported)
    statement = (True, act.fields, act.until) if isinstance(act, Imported) else (False, (), None)
    known = statement if granted or isinstance(act, Withdrawn) else None
    return getattr(act, "scene", None), each.event.at, known


def _repeats(each: ImportRow, existing: SceneConsent | SceneWithdrawal | None) -> bool:
    """Whether the existing instruction states the same and the two times overlap."""
    if existing is None or not each.moment.overlaps(moment.recorded(existing.at)):
        return False
    if isinstance(existing, SceneConsent):
        same = (existing.fields, existing.until) == (frozenset(each.fields), each.until)
        return each.granted and same
    return not each.granted


def _superseded(each: ImportRow, existing: SceneConsent | SceneWithdrawal | None) -> str | None:
    """Why the existing instruction on the scene prevails over this row; None if the row prevails.

    The newer one prevails; if the two times cannot be put in order, the narrower one.
    """
    if existing is None:
        return None
    before = moment.recorded(existing.at)
    if not each.moment.overlaps(before):
        newer = before.begin > each.moment.begin
        return f"a newer instruction on {each.scene} exists here" if newer else None
    if not each.granted or (isinstance(existing, SceneConsent) and _narrows(each, existing)):
        return None
    return f"an instruction on {each.scene} exists here whose time cannot be told from this one's"


def _narrows(each: ImportRow, existing: SceneConsent) -> bool:
    earlier = existing.until is None or (each.until is not None and each.until <= existing.until)
    return earlier and existing.fields.issuperset(each.fields)


def _time(each: ImportRow, existing: SceneConsent | SceneWithdrawal | None) -> datetime:
    """The time to record: the row's, or that of the instruction it replaces if that is later.

    Of a withdrawal that is known to the day only it is the day's last second, so that no grant of
    that day in another file is taken for a later one.
    """
    at = each.moment.at if each.granted else min(each.moment.last, clock.now())
    return at if existing is None else max(at, existing.at)


def _act(each: ImportRow, source: str) -> Act:
    if not each.granted:
        return Withdrawn(each.scene)
    return Imported(each.scene, each.fields, each.until, source)
