"""specs/witness.md, W1 and W2."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import cosignature, signed_note
from ledger.tlog.cosignature import CosignatureError
from ledger.tlog.signed_note import Note, NoteError, Signature
from tests.ledger.witnessing import NOON

SIGNER = cosignature.generate("witness.example/w1")
TEXT = "ledger.example/consent\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
GOOD = SIGNER.cosign(TEXT, NOON)


def test_a_cosignature_says_when_it_was_made() -> None:
    assert SIGNER.key.verify(Note(TEXT, (GOOD,))) == NOON


def test_a_cosignature_is_ed25519_over_header_time_and_text() -> None:
    message = f"cosignature/v1\ntime {int(NOON.timestamp())}\n{TEXT}".encode()
    key = Ed25519PublicKey.from_public_bytes(SIGNER.key.public)
    key.verify(GOOD.signature[8:], message)
    assert int.from_bytes(GOOD.signature[:8], "big") == int(NOON.timestamp())


@pytest.mark.parametrize("at", range(len(GOOD.signature)))
def test_changing_any_byte_of_a_cosignature_makes_it_wrong(at: int) -> None:
    changed = bytearray(GOOD.signature)
    changed[at] ^= 1
    with pytest.raises(CosignatureError):
        SIGNER.key.verify(Note(TEXT, (replace(GOOD, signature=bytes(changed)),)))


@pytest.mark.parametrize("at", range(len(TEXT)))
def test_changing_any_byte_of_the_text_makes_it_wrong(at: int) -> None:
    changed = TEXT[:at] + chr(ord(TEXT[at]) ^ 1) + TEXT[at + 1 :]
    with pytest.raises(CosignatureError):
        SIGNER.key.verify(Note(changed, (GOOD,)))


MISSING = {
    "no signature": (),
    "another name": (replace(GOOD, name="witness.example/w2"),),
    "another key": (replace(GOOD, key_id=b"1234"),),
    "cut off": (replace(GOOD, signature=GOOD.signature[:-1]),),
    "twice": (GOOD, GOOD),
    "a plain signature": (Signature(GOOD.name, GOOD.key_id, GOOD.signature[8:]),),
    "a time beyond the calendar": (replace(GOOD, signature=b"\xff" * 8 + GOOD.signature[8:]),),
}


@pytest.mark.parametrize("signatures", MISSING.values(), ids=MISSING.keys())
def test_a_missing_cosignature_is_an_error(signatures: tuple[Signature, ...]) -> None:
    with pytest.raises(CosignatureError):
        SIGNER.key.verify(Note(TEXT, signatures))


def test_keys_read_back_from_their_text() -> None:
    assert cosignature.key(str(SIGNER.key)) == SIGNER.key
    again = cosignature.signer(SIGNER.secret())
    assert again.key == SIGNER.key
    assert again.cosign(TEXT, NOON) == GOOD


VKEY = str(SIGNER.key)
BAD_KEYS = {
    "nothing": "",
    "no name": VKEY.removeprefix("witness.example/w1"),
    "a space in the name": VKEY.replace("witness.", "witness "),
    "another name": VKEY.replace("w1", "w2"),
    "upper-case id": VKEY.replace(SIGNER.key.key_id.hex(), SIGNER.key.key_id.hex().upper() + "0"),
    "no base64": VKEY[:-1] + "!",
    "a carriage return": VKEY + "\r",
    "a log's key": str(signed_note.generate("witness.example/w1").verifier),
    "cut off": VKEY[:-4],
}


@pytest.mark.parametrize("vkey", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_other_texts_are_no_key(vkey: str) -> None:
    with pytest.raises(NoteError):
        cosignature.key(vkey)
    with pytest.raises(NoteError):
        cosignature.signer(f"PRIVATE+KEY+{vkey}")


@given(st.text())
def test_only_note_errors_leave_the_key_parsers(text: str) -> None:
    for parse in (cosignature.key, cosignature.signer):
        with pytest.raises(NoteError):
            parse(text)


def test_no_error_repeats_a_secret() -> None:
    secret = SIGNER.secret()
    material = secret.split("+", 4)[4][2:20]  # base64 may hold a plus
    for broken in (secret.replace("w1", "w2"), secret[:-1], secret + "A", secret.lower()):
        with pytest.raises(NoteError) as found:
            cosignature.signer(broken)
        assert material.lower() not in str(found.value).lower()
    assert material not in repr(SIGNER)


def test_there_is_no_cosigning_before_1970() -> None:
    with pytest.raises(CosignatureError, match="1970"):
        SIGNER.cosign(TEXT, NOON.replace(year=1969))


def signed_at(time: int) -> Signature:
    """What a witness signs that states any time."""
    message = f"cosignature/v1\ntime {time}\n{TEXT}".encode()
    signed = time.to_bytes(8) + SIGNER.private.sign(message)
    return replace(GOOD, signature=signed)


def test_w1_a_time_after_the_year_9999_is_refused_whoever_signed_it() -> None:
    last = SIGNER.key.verify(Note(TEXT, (signed_at(LAST),)))
    assert last.isoformat() == "9999-12-31T23:59:59+00:00"
    for time in (LAST + 1, 1 << 40, 1 << 62, (1 << 63) - 1, (1 << 64) - 1):
        with pytest.raises(CosignatureError, match="after the year 9999"):
            SIGNER.key.verify(Note(TEXT, (signed_at(time),)))


LAST = 253_402_300_799
