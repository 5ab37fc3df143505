"""Checks that every customer of a file is in the source."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from gate.reads.sources.interface import RowSource, SourceUnavailableError, batches
from portal.imports.row import Bad, ImportRow

BATCH = 65_536  # ids
MAX_NAMED = 3  # similar ids in a message
_PLAIN = re.compile(r"[\w.@-]+")  # nothing is written beside the number
_SHORTENED = re.compile(r"[0-9](\.[0-9]+)?[eE]\+?[0-9]+")  # as a spreadsheet shows long numbers
_DECIMAL = re.compile(r"([0-9]+)\.0+")  # as it exports whole ones


def check(parsed: Sequence[ImportRow | Bad], source: RowSource) -> list[ImportRow | Bad]:
    """The rows; those whose customer the source does not know become bad.

    A bad row afterwards names the customers of the source that it may be about. Raises
    SourceUnavailableError.
    """
    texts = {text for each in parsed for text in _texts(each)}
    asked = [each for each in texts if each.isprintable()]  # engines take no NUL
    known = {each for each in _ids(source, source.rows(asked, [source.key])) if each in texts}
    near = _similar(source, texts - known)
    return [_checked(each, known, near) for each in parsed]


def folded(text: str) -> str:
    """`text` without what people and spreadsheets change: case, width, spaces, leading zeros."""
    if (decimal := _DECIMAL.fullmatch(text.strip())) is not None:
        text = decimal[1]
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(each for each in plain if each.isalnum()).lstrip("0")


def _texts(each: ImportRow | Bad) -> tuple[str, ...]:
    return each.subjects if isinstance(each, Bad) else (each.subject,)


def _similar(source: RowSource, unknown: set[str]) -> dict[str, list[str]]:
    """The ids of the source that differ from each unknown one in writing only."""
    by_fold: dict[str, list[str]] = defaultdict(list)
    wanted = {folded(each) for each in unknown} - {""}
    if wanted:
        for each in _ids(source, source.everybody([source.key])):
            if (fold := folded(each)) in wanted:
                by_fold[fold].append(each)
    return {each: sorted(by_fold.get(folded(each), [])) for each in unknown}


def _ids(source: RowSource, table: Any) -> Iterable[str]:
    try:
        for batch in batches(table, BATCH)[1]:
            yield from map(str, batch.column(0).to_pylist())
    except SourceUnavailableError:
        raise
    except Exception as error:
        # Each engine has errors of its own. Whatever it was, the customers were not looked up.
        raise SourceUnavailableError(
            f"the customers of the file could not be looked up in the source's column "
            f"{source.key!r} ({type(error).__name__}): check the source"
        ) from error


def _checked(each: ImportRow | Bad, known: set[str], near: dict[str, list[str]]) -> ImportRow | Bad:
    if isinstance(each, Bad):
        about = [id_ for text in each.subjects for id_ in ([text] if text in known else near[text])]
        return Bad(each.place, each.why, tuple(about), identified=bool(about))
    if each.subject in known:
        return each
    similar = near[each.subject]
    plain = bool(similar) or _PLAIN.fullmatch(each.subject) is not None
    return Bad(each.place, _unknown(each.subject, similar), tuple(similar), identified=plain)


def _unknown(text: str, similar: Sequence[str]) -> str:
    reason = f"want a customer of the source, found {text[:40]!r}"
    if similar:
        return f"{reason}; the nearest is {', '.join(map(repr, similar[:MAX_NAMED]))}: correct it"
    if _SHORTENED.fullmatch(text):
        return f"{reason}, a number that a spreadsheet shortened: export the column as text"
    return f"{reason}: correct it, or remove the row"
