"""G192: a request that says one thing twice is refused, wherever it does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.http.request_body import repeated_member

TWICE = [
    ('{"scene":"a","scene":"b"}', "scene"),
    ('{"scene":"a", "scene" : "b"}', "scene"),
    ('{"scene":"a","sc\\u0065ne":"b"}', "scene"),
    ('{"a":{"b":[{"id":"1","id":"1"}]}}', "id"),
    ('{"a":":x","b":":y","a":1}', "a"),
    ('{"n":{"":1,"":2}}', ""),
    ('{"é":1,"\\u00e9":2}', "é"),
]
ONCE = [
    "{}",
    '{"a":":x","b":"\\":"}',
    '{"a":{"a":{"a":1}}}',
    '[{"a":1},{"a":2}]',
    '{"a" : 1,\n"b"\t:2}',
    '{"n":' + "9" * 5000 + "}",
    '{"n":1e400,"m":-0.0}',
]
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("text", "name"), TWICE)
def test_g192_a_member_that_occurs_twice_is_named(text: str, name: str) -> None:
    assert repeated_member(text.encode()) == name


@pytest.mark.parametrize("text", ONCE)
def test_g192_one_that_occurs_once_is_not(text: str) -> None:
    assert repeated_member(text.encode()) is None


@given(trees, st.booleans(), st.sampled_from([(",", ":"), (", ", " : ")]))
def test_g192_no_text_of_a_value_has_one(
    value: Any, escaped: bool, separators: tuple[str, str]
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, separators=separators)
    assert repeated_member(text.encode("utf-8", "replace")) is None


@given(st.dictionaries(st.text(max_size=4), trees, min_size=1, max_size=4), st.data())
def test_g192_one_more_of_any_member_is_found(value: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    again = f"{json.dumps(name)}:{json.dumps(data.draw(trees))}"
    text = f"{{{again},{json.dumps(value)[1:]}"
    assert repeated_member(text.encode()) == name
