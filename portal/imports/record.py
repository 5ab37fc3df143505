"""Records the rows of a file as instructions of class D: all or none, and once per file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import groupby

from ledger.events.envelope import Act, EvidenceClass, Imported, Instruction, Withdrawn, Wording
from ledger.service import IdempotencyError, Ledger
from portal.imports.row import Bad, ImportRow

Progress = Callable[[int, int], None]  # rows done, of how many
MAX_ROWS = 200_000  # per file, which is one transaction


class RefusedFileError(ValueError):
    """The file was refused, and nothing was recorded."""


@dataclass(frozen=True, slots=True)
class ConsentImport:
    """The result of an import."""

    recorded: int
    left: tuple[Bad, ...]  # rows that were skipped, each with the reason
    again: bool = False  # the file was imported before, and nothing happened this time


def require_good(parsed: Sequence[ImportRow | Bad]) -> list[ImportRow]:
    """The rows. Raises RefusedFileError, which lists all bad rows, if there is one."""
    if bad := [each for each in parsed if isinstance(each, Bad)]:
        lines = "\n".join(map(str, bad))
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

    Raises RefusedFileError for a file that is too long.
    """
    if len(rows) > MAX_ROWS:
        raise RefusedFileError(f"{len(rows)} rows, want at most {MAX_ROWS}: split the file")
    digest = sha256(data).hexdigest()
    drafts: list[Instruction] = []
    left: list[Bad] = []
    ordered = sorted(rows, key=lambda each: (each.subject, each.at, each.place))
    for subject, theirs in groupby(ordered, key=lambda each: each.subject):
        _draft(ledger, subject, [*theirs], f"{source} {digest}", locale, drafts, left)
        progress(len(drafts) + len(left), len(rows))
    try:
        recorded = ledger.record(drafts, idempotency=f"consents:{digest}") if drafts else []
    except IdempotencyError:  # the same file; nonces differ each time
        return ConsentImport(0, (), again=True)
    return ConsentImport(len(recorded), tuple(sorted(left, key=lambda each: each.place)))


def _draft(
    ledger: Ledger,
    subject: str,
    rows: Sequence[ImportRow],
    source: str,
    locale: str,
    drafts: list[Instruction],
    left: list[Bad],
) -> None:
    """One customer's instructions, in the order of their times."""
    decided, newer = _decided(ledger, subject), _latest(ledger, subject)
    last: Instruction | None = None
    for each in rows:
        if each.scene in decided or None in decided:
            left.append(Bad(each.place, f"the customer decided {each.scene} here"))
            continue
        if newer.get(each.scene, each.at) > each.at:
            left.append(Bad(each.place, f"a newer instruction on {each.scene} exists here"))
            continue
        words = Wording(locale, sha256(each.words).digest())
        act = _act(each, source)
        last = (
            last.next(act, at=each.at, wording=words)
            if last
            else ledger.draft(
                subject, act, at=each.at, wording=words, evidence=EvidenceClass.IMPORTED
            )
        )
        drafts.append(last)


def _decided(ledger: Ledger, subject: str) -> set[str | None]:
    """The scenes that the customer decided here; None among them if only they may sign."""
    own = [
        e.event for e in ledger.history(subject) if e.event.evidence is not EvidenceClass.IMPORTED
    ]
    state = ledger.state(subject)
    signs = {None} if state is not None and state.authority.keys else set()
    return {getattr(each.act, "scene", None) for each in own if hasattr(each.act, "scene")} | signs


def _latest(ledger: Ledger, subject: str) -> dict[str, datetime]:
    """The time of the latest instruction on each scene."""
    state = ledger.state(subject)
    return {scene: each.at for scene, each in state.scenes.items()} if state else {}


def _act(each: ImportRow, source: str) -> Act:
    if not each.granted:
        return Withdrawn(each.scene)
    return Imported(each.scene, each.fields, each.until, source)
