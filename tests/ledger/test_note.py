"""Clauses L20 to L25 of specs/ledger.md."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import signed_note
from ledger.tlog.signed_note import Note, NoteError, Signer

SEED = bytes(range(32))
SIGNER = Signer("test.example/log", Ed25519PrivateKey.from_private_bytes(SEED))
OTHER = Signer("other.example/log", Ed25519PrivateKey.from_private_bytes(SEED[::-1]))
TEXT = "test.example/log\n7\nwords\n"
SIGNED = str(signed_note.sign(TEXT, [SIGNER]))
LINE = SIGNED.split("\n\n")[1]
VKEY = str(SIGNER.verifier)
SECRET = SIGNER.secret()


def test_l20_what_is_signed_parses_and_verifies() -> None:
    found = signed_note.parse(SIGNED)
    assert str(found) == SIGNED
    signed_note.verify(found, [SIGNER.verifier])


def test_l20_the_signature_is_plain_ed25519_over_the_text() -> None:
    (signature,) = signed_note.parse(SIGNED).signatures
    SIGNER.private.public_key().verify(signature.signature, TEXT.encode())


MALFORMED_NOTES = {
    "nothing": "",
    "no signature": TEXT + "\n",
    "no empty line": TEXT + LINE,
    "no text": "\n\n" + LINE,
    "last line not ended": SIGNED[:-1],
    "something after it": SIGNED + "\n",
    "a hyphen for a dash": SIGNED.replace("— ", "- "),
    "two spaces": SIGNED.replace("— ", "—  "),
    "a plus in the name": SIGNED.replace("— test", "— te+st"),
    "carriage returns": SIGNED.replace("\n", "\r\n"),
    "a carriage return in base64": SIGNED[:-9] + "\r" + SIGNED[-9:],
    "a tab in the text": SIGNED.replace("words", "wor\tds"),
    "a null in the text": SIGNED.replace("words", "wor\0ds"),
    "half a character": SIGNED.replace("words", "wor\ud800ds"),
    "url-safe base64": TEXT + "\n" + LINE.replace("+", "-").replace("/", "_") + "—",
    "base64 without padding": SIGNED.replace("=\n", "\n"),
    "a key id and nothing else": TEXT + "\n— test.example/log AAAAAA==\n",
    "less than a key id": TEXT + "\n— test.example/log AAA=\n",
}


@pytest.mark.parametrize("why", MALFORMED_NOTES)
def test_l21_malformed_notes_are_refused(why: str) -> None:
    with pytest.raises(NoteError):
        signed_note.parse(MALFORMED_NOTES[why])


@given(st.text() | st.text(alphabet="a\n—+ =A"))
def test_l21_a_note_formats_back_or_is_refused(text: str) -> None:
    for data in (text, f"{text}\n\n{LINE}", f"{TEXT}\n{text}\n", TEXT + "\n— a " + text + "\n"):
        try:
            found = signed_note.parse(data)
        except NoteError:
            continue
        assert str(found) == data


@given(st.integers(0, len(SIGNED.encode()) - 1), st.integers(1, 255))
def test_l22_no_changed_byte_is_accepted(at: int, change: int) -> None:
    data = bytearray(SIGNED.encode())
    data[at] ^= change
    with pytest.raises((NoteError, UnicodeDecodeError)):
        signed_note.verify(signed_note.parse(data.decode()), [SIGNER.verifier])


def test_l23_every_key_that_is_asked_for_must_have_signed() -> None:
    both = signed_note.sign(TEXT, [SIGNER, OTHER])
    signed_note.verify(both, [SIGNER.verifier, OTHER.verifier])
    with pytest.raises(NoteError, match="want 1"):
        signed_note.verify(signed_note.parse(SIGNED), [SIGNER.verifier, OTHER.verifier])


def test_l23_signatures_of_unknown_keys_are_ignored() -> None:
    signed_note.verify(signed_note.sign(TEXT, [OTHER, SIGNER]), [SIGNER.verifier])


def test_l23_no_key_verifies_nothing() -> None:
    with pytest.raises(NoteError, match="no verifier key"):
        signed_note.verify(signed_note.parse(SIGNED), [])


def test_l23_a_key_that_signed_twice_is_refused() -> None:
    (signature,) = signed_note.parse(SIGNED).signatures
    with pytest.raises(NoteError, match="2 signatures"):
        signed_note.verify(Note(TEXT, (signature, signature)), [SIGNER.verifier])


def test_l23_the_same_key_under_another_name_is_another_signer() -> None:
    renamed = Signer("renamed.example/log", SIGNER.private)
    with pytest.raises(NoteError):
        signed_note.verify(signed_note.sign(TEXT, [renamed]), [SIGNER.verifier])


UNSIGNABLE = {
    "no final newline": "a",
    "an empty line": "a\n\nb\n",
    "only a newline": "\n",
    "a control character": "a\x1b\n",
    "half a character": "\udc00\n",
}


@pytest.mark.parametrize("why", UNSIGNABLE)
def test_l20_what_could_not_be_parsed_is_not_signed(why: str) -> None:
    with pytest.raises(NoteError):
        signed_note.sign(UNSIGNABLE[why], [SIGNER])


def test_l24_keys_format_and_parse() -> None:
    assert signed_note.verifier(VKEY) == SIGNER.verifier
    assert signed_note.signer(SECRET).secret() == SECRET
    assert signed_note.signer(SECRET + "\n").verifier == SIGNER.verifier


MALFORMED_VKEYS = {
    "nothing": "",
    "no key": "name+00000000",
    "no name": VKEY[VKEY.index("+") :],
    "a space in the name": "te st" + VKEY[VKEY.index("+") :],
    "another id": VKEY.replace(SIGNER.verifier.key_id.hex(), "00000000"),
    "the id in capitals": VKEY.replace(
        SIGNER.verifier.key_id.hex(), SIGNER.verifier.key_id.hex().upper()
    ),
    "a short key": str(signed_note.Verifier("a", bytes(31))),
    "a long key": str(signed_note.Verifier("a", bytes(33))),
    "a newline after it": VKEY + "\n",
    "not base64": VKEY[:-2] + "!!",
    "another type": VKEY.replace("+A", "+C"),
}


@pytest.mark.parametrize("why", MALFORMED_VKEYS)
def test_l24_malformed_verifier_keys_are_refused(why: str) -> None:
    with pytest.raises(NoteError):
        signed_note.verifier(MALFORMED_VKEYS[why])


MALFORMED_SECRETS = {
    "nothing": "",
    "a verifier key": VKEY,
    "another id": SECRET.replace(SIGNER.verifier.key_id.hex(), "00000000"),
    "a short key": SECRET[:-8],
    "no name": SECRET.replace("test.example/log", ""),
    "another beginning": SECRET.replace("PRIVATE", "SECRET"),
    "not base64": SECRET[:-2] + "!!",
}


@pytest.mark.parametrize("why", MALFORMED_SECRETS)
def test_l25_malformed_private_keys_are_refused_and_never_repeated(why: str) -> None:
    with pytest.raises(NoteError) as refused:
        signed_note.signer(MALFORMED_SECRETS[why])
    assert SECRET[-24:-8] not in str(refused.value)


@given(st.text())
def test_l24_l25_keys_are_refused_with_one_error(text: str) -> None:
    for parse in (signed_note.verifier, signed_note.signer):
        for data in (text, f"a+00000000+{text}", f"PRIVATE+KEY+a+00000000+{text}"):
            with pytest.raises(NoteError):
                parse(data)


NAMES = {"empty": "", "a plus": "a+b", "a space": "a b", "a newline": "a\n", "U+2003": "a\u2003b"}


@pytest.mark.parametrize("why", NAMES)
def test_l24_no_key_has_a_name_that_is(why: str) -> None:
    with pytest.raises(NoteError):
        signed_note.generate(NAMES[why])
