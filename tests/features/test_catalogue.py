"""The table of features says what the tests of this folder prove, and nothing else."""

import re

from tests.features import catalogue
from tests.features.catalogue import DOCUMENT, FEATURES, NOT_BEGUN, PARTIAL, WORKS, document


def test_every_feature_is_listed_once_and_in_order() -> None:
    assert [each.id for each in FEATURES] == [f"M{number}" for number in range(1, 39)]


def test_a_feature_has_a_test_unless_it_is_not_begun() -> None:
    proven = catalogue.tests().keys()
    assert proven == {each.id for each in FEATURES if each.state != NOT_BEGUN}


def test_a_state_is_one_of_three_and_a_partial_one_says_in_a_sentence_what_is_missing() -> None:
    for each in FEATURES:
        if each.state not in {WORKS, NOT_BEGUN}:
            assert re.fullmatch(rf"{PARTIAL}[^|\n]{{20,}}\.", each.state), each.id


def test_the_document_is_what_the_catalogue_and_the_tests_make_of_it() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "run python -m tests.features --write"
