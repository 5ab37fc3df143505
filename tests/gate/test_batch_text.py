"""G291: a batch that is read in pieces is read as it would be whole, and no member occurs twice."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from gate.http import authzen
from gate.http.authzen import MalformedRequestError
from gate.http.evaluations import batch_text
from gate.http.evaluations.batch_text import PIECE, BatchText

OWN = (
    '"subject":{"type":"service","id":"s"},"action":{"name":"read"},'
    '"context":{"scene":"segmentation","fields":["age"]}'
)
ELEMENT = '{"resource":{"type":"customer","id":"c1"}}'


def read(text: str) -> BatchText:
    async def pause() -> None:
        pass

    return asyncio.run(batch_text.read(text.encode("utf-8", "surrogateescape"), pause))


def batch(*elements: str, own: str = OWN) -> str:
    return f'{{{own},"evaluations":[{",".join(elements)}]}}'


@pytest.mark.parametrize("number", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_g291_a_batch_in_pieces_is_the_batch(number: int) -> None:
    elements = [
        f'{{"resource":{{"type":"customer","id":"c{each}"}}}}' if each % 7 else "{}"
        for each in range(number)
    ]
    text = batch(*elements)
    whole = msgspec.json.decode(text, type=authzen.Evaluations)
    found = read(text)
    assert [*found.elements] == whole.evaluations
    assert found.defaults == msgspec.structs.replace(whole, evaluations=[])


SAME = {
    "white space": batch(ELEMENT).replace(":", " : ").replace(",", " ,\n"),
    "an escape in an element": batch(ELEMENT.replace("customer", "custom\\u0065r")),
    "an escape outside": batch(ELEMENT, own=OWN.replace("read", "r\\u0065ad")),
    "a member that nobody knows": batch(ELEMENT, own=OWN + ',"more":{"a":[{"b":1}]}'),
    "an element's member that nobody knows": batch(ELEMENT[:-1] + ',"more":{"a":1}}'),
    "a value that begins with a colon": batch(
        ELEMENT, own=OWN.replace('"id":"s"', '"id":"s","properties":{"a":":","b":"\\":"}')
    ),
    "a number that is too large": batch(ELEMENT, own=OWN + ',"more":1e999'),
    "the elements first": f'{{"evaluations":[{ELEMENT}],{OWN}}}',
}


@pytest.mark.parametrize("why", SAME)
def test_g291_other_texts_of_a_batch_are_the_batch(why: str) -> None:
    found = read(SAME[why])
    (element,) = found.elements
    assert element == msgspec.json.decode(ELEMENT, type=authzen.Evaluation)
    assert (found.defaults.action, found.defaults.context) == (
        authzen.Action("read"),
        authzen.Context("segmentation", ["age"]),
    )


TWICE = {
    "the subject": batch(ELEMENT, own=OWN + ',"subject":{"type":"service","id":"other"}'),
    "the elements": batch(ELEMENT)[:-1] + f',"evaluations":[{ELEMENT}]}}',
    "the elements, at first none": f'{{{OWN},"evaluations":[],"evaluations":[{ELEMENT}]}}',
    "the elements, at last none": f'{{{OWN},"evaluations":[{ELEMENT}],"evaluations":[]}}',
    "a member of the subject": batch(ELEMENT, own=OWN.replace('"id":"s"', '"id":"s","id":"t"')),
    "an unknown member": batch(ELEMENT, own=OWN + ',"more":1,"more":2'),
    "with white space": batch(ELEMENT, own=OWN + ',"action" :{"name":"read"}'),
    "with an escape": batch(ELEMENT, own=OWN + ',"acti\\u006fn":{"name":"read"}'),
    "an element's resource": batch(ELEMENT[:-1] + ',"resource":{"type":"customer","id":"c2"}}'),
    "an element's id, escaped": batch(ELEMENT.replace('"id"', '"id":"c2","i\\u0064"')),
    "in a later piece": batch(
        *[ELEMENT] * PIECE, ELEMENT.replace('"id":"c1"', '"id":"c1","id":"c2"')
    ),
    "in a malformed element": batch('{"resource":{"type":"customer","type":"person"}}'),
}


@pytest.mark.parametrize("why", TWICE)
def test_g291_a_member_that_occurs_twice_is_refused(why: str) -> None:
    with pytest.raises(MalformedRequestError, match="occurs twice"):
        read(TWICE[why])


def test_g291_a_malformed_element_of_a_piece_refuses_no_other() -> None:
    found = read(batch(*[ELEMENT] * PIECE, '{"resource":"none"}', "7", ELEMENT))
    wrong = [n for n, e in enumerate(found.elements) if isinstance(e, MalformedRequestError)]
    assert (len(found.elements), wrong) == (PIECE + 3, [PIECE, PIECE + 1])
    last: Any = found.elements[-1]
    assert last.resource == authzen.Entity("customer", "c1")


def test_g291_elements_are_completed_with_defaults_that_are_not_whole() -> None:
    found = read(batch('{"resource":{"id":"c1"}}', own=OWN + ',"resource":{"type":"customer"}'))
    (element,) = found.elements
    assert isinstance(element, authzen.Evaluation)
    assert element.resource == authzen.Entity("customer", "c1")
    assert element.subject == authzen.Entity("service", "s")


REFUSED = {
    "elements that are no list": f'{{{OWN},"evaluations":{{}}}}',
    "no object": "[]",
    "no JSON": batch(ELEMENT)[:-1],
    "an unknown semantic": batch(ELEMENT, own=OWN + ',"options":{"evaluations_semantic":"any"}'),
    "nested too deeply": batch(ELEMENT, own=OWN + ',"more":' + "[" * 100_000 + "]" * 100_000),
    "not UTF-8": batch(ELEMENT, own=OWN + ',"more":"\udcff"'),
    "too many": batch(*["{}"] * (authzen.MAX_EVALUATIONS + 1)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_g291_other_texts_are_refused(why: str) -> None:
    with pytest.raises((msgspec.DecodeError, MalformedRequestError, UnicodeError)):
        read(REFUSED[why])


def test_g291_white_space_in_a_batch_is_no_reason_to_refuse_it() -> None:
    spaced = json.dumps(json.loads(batch(ELEMENT, ELEMENT)), indent=2)
    assert len(read(spaced).elements) == 2
