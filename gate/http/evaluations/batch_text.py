"""Reads the text of a batch of evaluations in pieces, between which other requests are answered.

First the outline: what the batch says itself, and the text of each element, which is not looked
into. Then PIECE elements at a time. No member may occur twice: a parser in front of the gate may
take the other one (gate.http.request_body). Elements are looked through piece by piece. Outside of
them each name is followed by a colon, so there are more colons than the outline has names exactly
if one occurs twice.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from gate.http import authzen
from gate.http.authzen import MalformedRequestError
from gate.http.request_body import repeated_member
from gate.http.serving.turns import LONG, Pause

PIECE = 512  # elements: about a millisecond to read, and as much to decide and to log
Element = authzen.Evaluation | MalformedRequestError
_NOTHING = msgspec.Raw()
_OWN = ("subject", "action", "resource", "context", "options")
_SPACED = re.compile(rb'"[ \t\r\n]+:')  # a name with white space before its colon


class _Outline(msgspec.Struct, gc=False):
    """The members of a batch as they were sent; empty: left out."""

    subject: msgspec.Raw = _NOTHING
    action: msgspec.Raw = _NOTHING
    resource: msgspec.Raw = _NOTHING
    context: msgspec.Raw = _NOTHING
    options: msgspec.Raw = _NOTHING
    evaluations: list[msgspec.Raw] = []

    def own(self) -> bytes:
        """The JSON of the batch without its elements."""
        sent = ((name, bytes(getattr(self, name))) for name in _OWN)
        members = [b'"%b":%b' % (name.encode(), text) for name, text in sent if text]
        return b"{" + b",".join(members) + b"}"


_OUTLINE = msgspec.json.Decoder(_Outline)
_DEFAULTS = msgspec.json.Decoder(authzen.Evaluations)
_LOOSE_DEFAULTS = msgspec.json.Decoder(authzen.LooseEvaluations)
_ELEMENTS = msgspec.json.Decoder(list[authzen.Evaluation])


class BatchText(NamedTuple):
    """A batch that was read: `defaults` has no elements, only what they leave to the batch."""

    defaults: authzen.Evaluations
    elements: Sequence[Element]


async def read(body: bytes, pause: Pause) -> BatchText:
    """Read a batch; a malformed element becomes an error. `pause`: awaited between pieces.

    Raises msgspec.DecodeError, UnicodeError and MalformedRequestError.
    """
    try:
        return await _read(body, pause)
    except RecursionError as error:
        raise MalformedRequestError("the body is nested too deeply; send fewer levels") from error


async def _read(body: bytes, pause: Pause) -> BatchText:
    if not body.isascii():
        body.decode()  # the decoder does not validate UTF-8 in members that it skips
    outline = _OUTLINE.decode(body)
    authzen.split_if_long(outline.evaluations)
    texts, own = [*_pieces(outline.evaluations)], outline.own()
    is_looked_through = not _names_once(body, own, texts)
    if is_looked_through:
        await _require_no_member_twice(body)
    defaults, loose = _defaults(own)
    elements: list[Element] = []
    for number, text in enumerate(texts):
        if number:
            await pause()
        elements += _elements(text, loose, is_strict=defaults is not None)
        if not is_looked_through:
            _require_once(text, elements[number * PIECE :])
    if defaults is None:  # each element was completed with them
        defaults = authzen.Evaluations(options=loose.options)
    return BatchText(defaults, elements)


def _pieces(elements: Iterable[msgspec.Raw]) -> Iterable[bytes]:
    """The JSON of PIECE elements at a time, as a list."""
    left = iter(elements)
    while piece := [*islice(left, PIECE)]:
        yield b"[" + b",".join(piece) + b"]"


def _names_once(body: bytes, own: bytes, texts: Sequence[bytes]) -> bool:
    """Whether it is certain that no member of the batch, outside its elements, occurs twice."""
    try:
        again = msgspec.json.encode(msgspec.json.decode(own))
    except msgspec.ValidationError:  # of a number that is too large
        return False
    outside = again.count(b'":') + bool(texts)
    return (
        body.count(b'":') == outside + sum(text.count(b'":') for text in texts)
        and body.count(b"\\") == sum(text.count(b"\\") for text in texts)
        and _spaced(body) == sum(map(_spaced, texts))
    )


def _spaced(text: bytes) -> int:
    return len(_SPACED.findall(text))


async def _require_no_member_twice(body: bytes) -> None:
    """Look through the whole text, in another thread if it is long."""
    if len(body) < LONG:
        _refuse(repeated_member(body))
    else:
        _refuse(await asyncio.to_thread(repeated_member, body))


def _require_once(text: bytes, elements: Sequence[Element]) -> None:
    """Look through the text of some elements, unless they have as many members as are known."""
    known = sum(authzen.least_members(e) for e in elements if isinstance(e, authzen.Evaluation))
    if text.count(b":") > known:
        _refuse(repeated_member(text))


def _refuse(twice: str | None) -> None:
    if twice is not None:
        raise MalformedRequestError(f"the member {twice[:40]!r} occurs twice; send it once")


def _defaults(own: bytes) -> tuple[authzen.Evaluations | None, authzen.LooseEvaluations]:
    """What elements leave to the batch; None if one of its entities is not whole.

    Raises msgspec.DecodeError.
    """
    loose = _LOOSE_DEFAULTS.decode(own)
    try:
        return _DEFAULTS.decode(own), loose
    except msgspec.ValidationError:
        return None, loose


def _elements(
    text: bytes, loose: authzen.LooseEvaluations, *, is_strict: bool
) -> Sequence[Element]:
    """Some elements; with defaults that are not whole, or a malformed one, each is completed."""
    if is_strict:
        try:
            return _ELEMENTS.decode(text)
        except msgspec.ValidationError:
            pass
    return authzen.completed(loose, msgspec.json.decode(text))
