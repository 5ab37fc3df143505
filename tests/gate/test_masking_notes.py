"""The masker over labelled notes (G230–G232): how much it finds, and how much it masks beside."""

from collections.abc import Callable, Iterator
from functools import partial
from unicodedata import normalize

import phonenumbers
import pytest
from stdnum import iban, luhn
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.gb import nhs

from gate.reads.masking import mask
from tests import campaign
from tests.gate.notes.measure import (
    APART,
    Measured,
    Spans,
    is_checksummed,
    is_own,
    is_pattern,
    masked_by,
    measured,
    significant,
)
from tests.gate.notes.note import LANGUAGES, Note, later_notes, notes

COUNT = campaign.sized(300, 2_400)
CORPORA: dict[str, Callable[[int, int], Iterator[Note]]] = {"first": notes, "second": later_notes}
SEEDS = {"first": 1, "second": 2}
OWN, CHECKSUMMED, PRECISION = 0.999, 0.99, 0.95  # the goals


@pytest.fixture(scope="module", params=CORPORA)
def found(request: pytest.FixtureRequest) -> Measured:
    corpus = CORPORA[request.param](SEEDS[request.param], COUNT)
    return measured(corpus, partial(masked_by, mask))


@pytest.mark.campaign
def test_g230_own_values_are_found_in_their_variants(found: Measured) -> None:
    _holds(found, is_own, OWN)


@pytest.mark.campaign
def test_g231_numbers_with_a_check_are_found(found: Measured) -> None:
    _holds(found, is_checksummed, CHECKSUMMED)


@pytest.mark.campaign
def test_g231_telephone_numbers_and_addresses_are_found(found: Measured) -> None:
    _holds(found, is_pattern, CHECKSUMMED)


@pytest.mark.campaign
def test_g232_what_is_masked_is_personal(found: Measured) -> None:
    for language in LANGUAGES:
        right, masks = found.right[language], found.masks[language]
        assert right >= PRECISION * masks > 0, (language, right, masks, found.wrong)


def test_a_masker_that_masks_nothing_or_everything_misses_the_goals() -> None:
    nothing = measured(notes(1, 40), lambda _note: [])
    everything = measured(notes(1, 40), lambda note: [(0, len(note.text))])
    assert nothing.recall(is_own)[0] == 0 < nothing.recall(is_own)[1]
    assert everything.recall(is_own)[0] == everything.recall(is_own)[1]
    assert sum(everything.right.values()) < PRECISION * sum(everything.masks.values())


def test_a_value_of_which_one_figure_is_left_is_not_found() -> None:
    def all_but_one(note: Note) -> Spans:
        starts = [(each, min(significant(note, each))) for each in note.labels]
        return [(first + 1, label.end) for label, first in starts]

    cut = measured(notes(1, 80), all_but_one)
    assert sum(cut.labels.values()) > 0
    assert not any(cut.found.values())


def test_labels_are_what_libraries_take_them_for() -> None:
    """A second opinion on the generator's own check digits."""
    checks: dict[str, Callable[[str], bool]] = {
        "iban": partial(iban.is_valid, check_country=False),
        "card": luhn.is_valid,
        "es-dni": dni.is_valid,
        "es-nie": nie.is_valid,
        "de-tax": idnr.is_valid,
        "uk-nhs": nhs.is_valid,
    }
    labelled = [(note, label) for note in notes(3, 400) for label in note.labels]
    for note, label in labelled:
        text = normalize("NFKC", note.text[label.start : label.end])
        if check := checks.get(label.entity):
            assert check("".join(filter(str.isalnum, text)).upper()), (label, text)
    assert {label.entity for _, label in labelled} >= {*checks, *APART, "phone", "e-mail"}
    abroad = [
        phonenumbers.is_possible_number(phonenumbers.parse(note.text[label.start : label.end]))
        for note, label in labelled
        if label.entity == "phone" and "international spaced" in label.format
    ]
    assert abroad
    assert all(abroad)


def _holds(found: Measured, which: Callable[[str, str, str], bool], goal: float) -> None:
    right, labels = found.recall(which)
    assert right >= goal * labels > 0, (right, labels, found.missed)
