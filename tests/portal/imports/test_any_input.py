"""Clause I32 of specs/portability.md: whatever comes in, a parser has one kind of error."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.imports import csv_file, kantara, moment
from portal.imports.mapping import MappingError, Names
from portal.imports.moment import MomentError
from tests.campaign import sized
from tests.portal.conftest import START
from tests.portal.imports.runs import (
    FORMATS,
    ME,
    SCENES,
    receipt,
)

WORDS = (
    *("subject", "scene", "at", "status", "until", "fields", ME, "direct-marketing", "granted"),
    *("2026-03-01", "2026-03-01T09:00:00Z", ",", "\n", "\r", '"', ";", "\0", " ", "*", "{", "}"),
    *("[", "]", ":", "version", "services", "purposes", "piiCategory", "1", "-1"),
)
NEAR = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)
BYTES = st.binary(max_size=200) | NEAR.map(str.encode)
PARSERS = {"csv": csv_file.rows, "kantara": kantara.rows}


@pytest.mark.parametrize("form", PARSERS)
@settings(max_examples=sized(300, 20_000))
@given(data=BYTES)
def test_i32_whatever_the_bytes_a_parser_has_one_error(form: str, data: bytes) -> None:
    with suppress(MappingError):
        assert all(e.place > 0 for e in PARSERS[form](data, Names(), SCENES, START))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
PLACES = [*receipt(), *(f"services/{each}" for each in receipt()["services"][0]["purposes"][0])]


@settings(max_examples=sized(300, 20_000))
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_i32_whatever_a_member_is_a_receipt_has_one_error(place: str, value: Any) -> None:
    inner = place.removeprefix("services/")
    made = receipt({inner: value}) if inner != place else receipt(**{place: value})
    with suppress(MappingError):
        assert [*kantara.rows(json.dumps(made).encode(), Names(), SCENES, START)]


@settings(max_examples=sized(300, 20_000))
@given(
    text=st.text(max_size=30) | st.from_regex(moment._ISO),
    form=st.none() | st.sampled_from([*FORMATS]),
)
def test_i32_whatever_the_text_a_time_has_one_error(text: str, form: str | None) -> None:
    with suppress(MomentError):
        assert moment.parse(text, form).begin >= 0
