"""Clauses L30 and L31 of specs/ledger.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import checkpoint
from ledger.tlog.checkpoint import MAX_LEAVES, Checkpoint, MalformedCheckpointError
from ledger.tlog.merkle import EMPTY_ROOT

TEXT = "test.example/consent\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
LINES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)


def test_l30_format_and_parse_agree() -> None:
    assert str(Checkpoint("test.example/consent", 0, EMPTY_ROOT)) == TEXT
    assert checkpoint.parse(TEXT) == Checkpoint("test.example/consent", 0, EMPTY_ROOT)


@given(LINES, st.integers(0, MAX_LEAVES), st.binary(min_size=32, max_size=32), st.lists(LINES))
def test_l30_every_checkpoint_parses_back(
    origin: str, size: int, root: bytes, extensions: list[str]
) -> None:
    made = Checkpoint(origin, size, root, (*extensions,))
    assert checkpoint.parse(str(made)) == made


@given(st.text() | st.text(alphabet="a1\n+/=").map(TEXT.__add__))
def test_l31_a_checkpoint_formats_back_or_is_refused(text: str) -> None:
    try:
        found = checkpoint.parse(text)
    except MalformedCheckpointError:
        return
    assert str(found) == text


MALFORMED = {
    "nothing": "",
    "no final newline": TEXT[:-1],
    "no origin": TEXT[20:],
    "leading zero": TEXT.replace("\n0\n", "\n00\n"),
    "negative zero": TEXT.replace("\n0\n", "\n-0\n"),
    "negative size": TEXT.replace("\n0\n", "\n-1\n"),
    "a plus sign": TEXT.replace("\n0\n", "\n+1\n"),
    "digits of another script": TEXT.replace("\n0\n", "\n٣\n"),
    "an underscore": TEXT.replace("\n0\n", "\n1_0\n"),
    "more leaves than there can be": TEXT.replace("\n0\n", f"\n{MAX_LEAVES + 1}\n"),
    "more digits than can be read": TEXT.replace("\n0\n", f"\n{'9' * 5000}\n"),
    "not a number": TEXT.replace("\n0\n", "\nzero\n"),
    "short root": TEXT.replace("47DEQpj8", ""),
    "url-safe base64": TEXT.replace("+", "-"),
    "unused bits set": TEXT.replace("FU=", "FV="),
    "carriage return": TEXT.replace("=\n", "=\r\n"),
    "empty extension line": TEXT + "\nextension\n",
}


@pytest.mark.parametrize("why", MALFORMED)
def test_l31_malformed_checkpoints_are_refused(why: str) -> None:
    with pytest.raises(MalformedCheckpointError):
        checkpoint.parse(MALFORMED[why])
