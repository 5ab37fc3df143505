"""What masking of free text finds in labelled notes, beside what libraries find alone.

    python -m benchmarks gate_masking

Two corpora of 2,400 notes each (tests/gate/notes): the first of formats by which the masker was
mended, the second of formats that were added after that. Recall: the share of labelled values of
which no letter or figure is left. Precision: the share of masks that are of labelled values.
`phonenumbers`, `python-stdnum` and Presidio know no customer, so their recall of a customer's own
values is by their form alone. Presidio is asked without a model of a language (`make peers`).
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

from benchmarks.peers_masking.alone import of_phonenumbers, of_stdnum
from benchmarks.peers_synthetic.environment import ROOT, MissingEnvironmentError, interpreter
from gate.reads.masking import mask
from tests.gate.notes.measure import (
    APART,
    Measured,
    Spans,
    is_checksummed,
    is_own,
    is_pattern,
    masked_by,
    measured,
)
from tests.gate.notes.note import LANGUAGES, Note, later_notes, notes
from tests.gate.test_masking import HOSTILE, ORDINARY, OWN

NOTES = 2_400
LENGTH = 20_000  # characters of a text whose masking is timed
CORPORA = {
    "first corpus, seed 1": partial(notes, 1),
    "second corpus, seed 2": partial(later_notes, 2),
}
Peers = dict[str, Measured]


def main() -> None:
    for title, make in CORPORA.items():
        corpus = [*make(NOTES)]
        found: Peers = {
            "ours": measured(corpus, partial(masked_by, mask)),
            "phonenumbers": measured(corpus, of_phonenumbers),
            "stdnum": measured(corpus, of_stdnum),
        }
        try:
            found["presidio"] = _presidio(corpus)
        except MissingEnvironmentError as error:
            print(f"presidio is left out: {error}")
        _show(title, found)
    _show_times()


def _show_times() -> None:
    """Processor time for a character: of ordinary text, and of the slowest hostile ones."""
    ordinary = _us(ORDINARY)
    worst = sorted(((_us(text), text) for text in HOSTILE), reverse=True)[:3]
    print(f"\n  ordinary text: {ordinary:.2f} µs a character")
    for spent, text in worst:
        ratio = spent / ordinary
        print(f"  {text!r} repeated: {spent:.2f} µs a character, {ratio:.0f} times as long")


def _us(text: str) -> float:
    """The fastest of three."""
    text = (text * (LENGTH // len(text) + 1))[:LENGTH]
    times = []
    for _ in range(3):
        start = time.process_time()
        mask(text, OWN)
        times.append(time.process_time() - start)
    return min(times) / LENGTH * 1e6


def _presidio(corpus: Sequence[Note]) -> Measured:
    done = subprocess.run(
        [str(interpreter("presidio")), str(ROOT / "benchmarks/peers_masking/of_presidio.py")],
        input=json.dumps([[note.text, note.language] for note in corpus]),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = iter(json.loads(done.stdout))
    return measured(corpus, lambda _note: _merged(next(answers)))


def _merged(spans: Sequence[Sequence[int]]) -> Spans:
    merged: Spans = []
    for begin, end in spans:
        if merged and begin < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged


def _show(title: str, found: Peers) -> None:
    ours = found["ours"]
    print(f"\n{title}: {NOTES:,} notes, {sum(ours.labels.values()):,} labelled values")
    print(f"  {'':46}{'labels':>7}" + "".join(f"{name:>14}" for name in found))
    _line("own values and variants", found, is_own)
    _line("numbers with a check", found, is_checksummed)
    _line("other numbers and addresses", found, is_pattern)
    _line("outside the scope", found, lambda entity, _language, _form: entity in APART)
    shares = (
        f"{_share(sum(each.right.values()), sum(each.masks.values())):>14}"
        for each in found.values()
    )
    print(f"  {'precision':46}{'':7}" + "".join(shares))
    for language in LANGUAGES:
        shares = (
            f"{_share(each.right[language], each.masks[language]):>14}" for each in found.values()
        )
        print(f"    {'precision, ' + language:44}{'':7}" + "".join(shares))
    print("  recall by entity and language")
    for entity in sorted({key[0] for key in ours.labels}):
        for language in LANGUAGES:
            _line(f"  {entity}, {language}", found, partial(_is, entity, language))
    print("  recall by entity and format")
    for entity, keys in groupby(
        sorted({(key[0], _form(key)) for key in ours.labels}), lambda key: key[0]
    ):
        for _, form in keys:
            _line(f"  {entity}, {form}", found, partial(_has, entity, form))
    print("  what must stay, and was masked")
    for kind, count in sorted(ours.distractors.items()):
        hits = "".join(f"{each.hit[kind]:>14}" for each in found.values())
        print(f"    {kind:44}{count:>7}{hits}")


def _is(entity: str, language: str, of: str, where: str, _form: str) -> bool:
    return (entity, language) == (of, where)


def _has(entity: str, form: str, of: str, where: str, how: str) -> bool:
    return entity == of and form == _form((of, where, how))


def _form(key: tuple[str, str, str]) -> str:
    """How it is written, whatever the country or network."""
    entity, _, form = key
    return form.partition(" ")[2] if entity in {"phone", "iban", "card"} else form


def _line(name: str, found: Peers, which: Callable[[str, str, str], bool]) -> None:
    counts = [each.recall(which) for each in found.values()]
    if counts[0][1]:
        shares = "".join(f"{_share(*each):>14}" for each in counts)
        print(f"  {name:46}{counts[0][1]:>7}{shares}")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"
