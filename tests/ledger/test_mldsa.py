"""Clauses L26 and L27 of specs/ledger.md."""

from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import mldsa, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.mldsa import MldsaSigner
from ledger.tlog.signed_note import NoteError, Signature
from tests.ledger.test_note import SIGNER

ORIGIN = SIGNER.name
TEXT = str(Checkpoint(ORIGIN, 7, bytes(range(32))))
SEED = bytes(range(32))


@cache
def signer() -> MldsaSigner:
    private = MLDSA44PrivateKey.from_seed_bytes(SEED)
    public = private.public_key().public_bytes_raw()
    return MldsaSigner(ORIGIN, private, mldsa.MldsaVerifier(ORIGIN, public))


def test_l26_both_signatures_verify_and_either_missing_is_noticed() -> None:
    both = signed_note.parse(str(signed_note.sign(TEXT, [SIGNER, signer()])))
    signed_note.verify(both, [SIGNER.verifier, signer().verifier])
    with pytest.raises(NoteError):
        signed_note.verify(signed_note.sign(TEXT, [SIGNER]), [SIGNER.verifier, signer().verifier])


def test_l26_the_message_is_the_one_of_tlog_cosignature() -> None:
    made = signer().sign(TEXT, time=1679315147)
    message = (
        b"subtree/v1\n\0"
        + bytes([len(ORIGIN)])
        + ORIGIN.encode()
        + (1679315147).to_bytes(8, "big")
        + bytes([len(ORIGIN)])
        + ORIGIN.encode()
        + (0).to_bytes(8, "big")
        + (7).to_bytes(8, "big")
        + bytes(range(32))
    )
    assert made.signature[:8] == (1679315147).to_bytes(8, "big")
    signer().private.public_key().verify(made.signature[8:], message)
    assert len(made.signature) == 8 + 2420


@given(st.integers(0, 8 + 2420 - 1), st.integers(1, 255))
def test_l26_no_changed_byte_of_a_signature_verifies(at: int, change: int) -> None:
    made = signed()
    data = bytearray(made.signature)
    data[at] ^= change
    with pytest.raises(NoteError):
        signer().verifier.verify(TEXT, Signature(ORIGIN, made.key_id, bytes(data)))


@cache
def signed() -> Signature:
    return signer().sign(TEXT)


OTHER_TEXTS = {
    "another size": TEXT.replace("\n7\n", "\n8\n"),
    "another origin": TEXT.replace("test", "best"),
    "another root": str(Checkpoint(ORIGIN, 7, bytes(32))),
    "an extension line": TEXT + "more\n",
    "no checkpoint": "words\n",
}


@pytest.mark.parametrize("why", OTHER_TEXTS)
def test_l26_it_signs_a_checkpoint_and_nothing_else(why: str) -> None:
    with pytest.raises(NoteError):
        signer().verifier.verify(OTHER_TEXTS[why], signed())


UNSIGNABLE = {"an extension line": TEXT + "more\n", "no checkpoint": "words\n"}


@pytest.mark.parametrize("why", UNSIGNABLE)
def test_l26_what_it_would_not_cover_is_not_signed(why: str) -> None:
    with pytest.raises(NoteError):
        signer().sign(UNSIGNABLE[why])


def test_l26_a_time_beyond_all_times_is_refused() -> None:
    with pytest.raises(NoteError):
        signer().sign(TEXT, time=1 << 63)
    late = Signature(ORIGIN, signed().key_id, b"\xff" * 8 + signed().signature[8:])
    with pytest.raises(NoteError):
        signer().verifier.verify(TEXT, late)


def test_l27_keys_format_and_parse() -> None:
    assert mldsa.verifier(str(signer().verifier)) == signer().verifier
    again = mldsa.signer(signer().secret())
    assert again.verifier == signer().verifier
    again.verifier.verify(TEXT, signed())
    assert mldsa.generate(ORIGIN).verifier != signer().verifier


VKEY = str(signer().verifier)
SECRET = signer().secret()
KEY_ID = signer().verifier.key_id.hex()
MALFORMED_VKEYS = {
    "nothing": "",
    "an Ed25519 key": str(SIGNER.verifier),
    "another id": VKEY.replace(KEY_ID, "00000000"),
    "a short key": str(mldsa.MldsaVerifier("a", bytes(1311))),
    "a long key": str(mldsa.MldsaVerifier("a", bytes(1313))),
    "a newline after it": VKEY + "\n",
}
MALFORMED_SECRETS = {
    "nothing": "",
    "an Ed25519 key": SIGNER.secret(),
    "a verifier key": VKEY,
    "another id": SECRET.replace(KEY_ID, "00000000"),
    "a short seed": SECRET[:-8],
}


@pytest.mark.parametrize("why", MALFORMED_VKEYS)
def test_l27_malformed_verifier_keys_are_refused(why: str) -> None:
    with pytest.raises(NoteError):
        mldsa.verifier(MALFORMED_VKEYS[why])


@pytest.mark.parametrize("why", MALFORMED_SECRETS)
def test_l27_malformed_private_keys_are_refused_and_never_repeated(why: str) -> None:
    with pytest.raises(NoteError) as refused:
        mldsa.signer(MALFORMED_SECRETS[why])
    assert SECRET[-24:-8] not in str(refused.value)
