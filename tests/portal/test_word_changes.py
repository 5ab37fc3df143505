"""Clause 3.31 of specs/portal.md: the difference between two versions of the words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.consent.word_changes import PieceKind, compared

PAIRS = {
    "a word is replaced": (
        "We offer two branches.",
        "We offer three branches.",
        [("same", "We offer "), ("removed", "two"), ("added", "three"), ("same", " branches.")],
    ),
    "a sentence is added": ("One.", "One. Two.", [("same", "One."), ("added", " Two.")]),
    "a part is new": ("", "New.", [("added", "New.")]),
    "a part is gone": ("Gone.", "", [("removed", "Gone.")]),
    "chinese signs": (
        "我们会推荐网点",
        "我们不会推荐网点",
        [("same", "我们"), ("added", "不"), ("same", "会推荐网点")],
    ),
}


@pytest.mark.parametrize("why", PAIRS)
def test_3_31_words_are_compared_one_by_one(why: str) -> None:
    before, now, expected = PAIRS[why]
    assert [(each.change, each.text) for each in compared(before, now)] == expected


@given(st.text(max_size=60), st.text(max_size=60))
def test_3_31_both_texts_can_be_read_from_the_pieces(before: str, now: str) -> None:
    pieces = compared(before, now)
    assert "".join(each.text for each in pieces if each.change is not PieceKind.ADDED) == before
    assert "".join(each.text for each in pieces if each.change is not PieceKind.REMOVED) == now
