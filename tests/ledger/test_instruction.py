"""Clauses I1 to I9 of specs/instruction.md: what a signature is, and what is none."""

import json
import math
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.events import customer_keys, envelope, instruction_signature
from ledger.events.acts import OF_THE_COMPANY
from ledger.events.customer_keys import FORMS, Key, KeyFormError
from ledger.events.envelope import CustomerKey, EvidenceClass, Instruction, MalformedEventError
from ledger.events.instruction_signature import BrowserSignature, PasskeySignature, SignatureError
from tests.ledger.events import INSTRUCTION, PAGE, RP, instructions
from tests.ledger.hands import (
    AT,
    BE,
    BS,
    ED,
    UP,
    UV,
    BrowserKey,
    Passkey,
    document,
    verify,
)

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
SIGNED = replace(INSTRUCTION, evidence=EvidenceClass.PASSKEY)
BY_BROWSER = replace(INSTRUCTION, evidence=EvidenceClass.BROWSER_KEY)
HAND, BROWSER = Passkey(), BrowserKey()
HANDS = {
    "ES256": HAND,
    "EdDSA": Passkey(ed25519.Ed25519PrivateKey.generate()),
    "RS256": Passkey(rsa.generate_private_key(65537, 2048)),
}
GOOD, BARE = HAND.sign(SIGNED), BROWSER.sign(BY_BROWSER)


def test_i1_the_challenge_is_the_hash_of_domain_and_canonical_bytes() -> None:
    data = envelope.encode(SIGNED)
    expected = sha256(b"sovereign/instruction/v1\x00" + data).digest()
    assert instruction_signature.challenge(json.loads(data)) == expected


@given(instructions, instructions)
def test_i1_two_instructions_have_one_challenge_only_if_they_are_one(
    one: Instruction, other: Instruction
) -> None:
    same = instruction_signature.challenge(document(one)) == instruction_signature.challenge(
        document(other)
    )
    assert same == (envelope.encode(one) == envelope.encode(other))


@pytest.mark.parametrize("algorithm", HANDS)
def test_i3_every_algorithm_signs(algorithm: str) -> None:
    hand = HANDS[algorithm]
    assert hand.key.algorithm == algorithm
    verify(SIGNED, hand.sign(SIGNED), hand.key)


def test_i2_a_browser_key_signs() -> None:
    verify(BY_BROWSER, BARE, BROWSER.key)


@pytest.mark.parametrize("signature", [GOOD, BARE], ids=["passkey", "browser"])
def test_i2_a_signature_reads_back_from_its_json(
    signature: instruction_signature.Signature,
) -> None:
    assert (
        instruction_signature.parse(
            json.loads(json.dumps(instruction_signature.members(signature)))
        )
        == signature
    )


MEMBERS = instruction_signature.members(GOOD)
MALFORMED: dict[str, Any] = {
    "nothing": None,
    "a list": [MEMBERS],
    "no type": {k: v for k, v in MEMBERS.items() if k != "type"},
    "another type": MEMBERS | {"type": "password"},
    "a part too many": MEMBERS | {"more": ""},
    "a browser's with a passkey's parts": MEMBERS | {"type": "browser"},
    "a key of 31 bytes": MEMBERS | {"key": b64encode(bytes(31)).decode()},
    "a part that is a number": MEMBERS | {"signature": 1},
    "base64 without padding": MEMBERS | {"key": MEMBERS["key"].rstrip("=")},
    "base64 with a newline": MEMBERS | {"signature": MEMBERS["signature"] + "\n"},
    "base64 of the other alphabet": MEMBERS | {"key": "_" * 43 + "="},
    "far too long": MEMBERS | {"client_data": b64encode(bytes(20_000)).decode()},
    **{f"no {name}": {k: v for k, v in MEMBERS.items() if k != name} for name in MEMBERS},
}


@pytest.mark.parametrize("why", MALFORMED)
def test_i2_other_json_is_no_signature(why: str) -> None:
    with pytest.raises(SignatureError):
        instruction_signature.parse(MALFORMED[why])


def with_key(**parts: Any) -> CustomerKey:
    return replace(HAND.key, **parts)


EC384 = ec.generate_private_key(ec.SECP384R1()).public_key()
BAD_KEYS: dict[str, dict[str, Any]] = {
    "no bytes": {"public": b""},
    "a byte short": {"public": HAND.key.public[:-1]},
    "a byte long": {"public": HAND.key.public + b"\0"},
    "a point in compressed form": {"public": HAND.key.public.replace(b"\x03B\0\4", b"\x03B\0\2")},
    "another algorithm": {"algorithm": "EdDSA"},
    "a browser's with another curve": {"kind": "browser"},
    "RSA with another exponent": {
        "algorithm": "RS256",
        "public": HANDS["RS256"].key.public[:-1] + b"\x03",
    },
    "no relying party": {"rp": ""},
    "no origin": {"origins": ()},
    "an origin of another domain": {"origins": ("https://evil.example",)},
    "an origin that only ends alike": {"origins": (f"https://evil{RP}",)},
    "an origin without encryption": {"origins": (f"http://{RP}",)},
    "an origin with a path": {"origins": (f"{PAGE}/",)},
    "an origin with a user": {"origins": (f"https://a@{RP}",)},
    "an origin in capitals": {"origins": (PAGE.upper(),)},
    "one good origin and one bad": {"origins": (PAGE, "https://evil.example")},
    "backed up, though it cannot be": {"backup_eligible": False, "backed_up": True},
}


@pytest.mark.parametrize("why", BAD_KEYS)
def test_i3_i9_no_key_of_a_customer_is_one_with(why: str) -> None:
    with pytest.raises(MalformedEventError):
        with_key(**BAD_KEYS[why])
    made = {
        **{name: getattr(HAND.key, name) for name in HAND.key.__struct_fields__},
        **BAD_KEYS[why],
    }
    made |= {"public": b64encode(made["public"]).decode(), "origins": [*made["origins"]]}
    with pytest.raises(KeyFormError):
        customer_keys.parse(made)


@pytest.mark.parametrize("origin", [PAGE, f"{PAGE}:8443", f"https://a.{RP}"])
def test_i9_an_origin_lies_under_its_relying_party(origin: str) -> None:
    hand = Passkey(page=origin)
    verify(SIGNED, hand.sign(SIGNED), hand.key)


@pytest.mark.parametrize("rp", ["localhost", "consent.localhost"])
def test_i9_at_home_a_page_needs_no_encryption(rp: str) -> None:
    hand = Passkey(rp=rp, page=f"http://{rp}:8000")
    verify(SIGNED, hand.sign(SIGNED), hand.key)


@pytest.mark.parametrize("host", ["notlocalhost", "localhost.example", "127.0.0.1"])
def test_i9_elsewhere_it_does(host: str) -> None:
    with pytest.raises(MalformedEventError, match="https"):
        assert Passkey(rp=host, page=f"http://{host}:8000").key


@pytest.mark.parametrize("evidence", [each for each in EvidenceClass if each != "A"])
def test_i4_a_passkey_signs_nothing_of_another_class(evidence: EvidenceClass) -> None:
    said = replace(INSTRUCTION, evidence=evidence)
    with pytest.raises(SignatureError, match="class"):
        verify(said, HAND.sign(said), HAND.key)


@pytest.mark.parametrize("evidence", [each for each in EvidenceClass if each != "B"])
def test_i4_a_browser_key_signs_nothing_of_another_class(evidence: EvidenceClass) -> None:
    said = replace(INSTRUCTION, evidence=evidence)
    with pytest.raises(SignatureError, match="class"):
        verify(said, BROWSER.sign(said), BROWSER.key)


def test_i4_one_kind_of_signature_is_not_taken_for_the_other() -> None:
    bare = BrowserSignature(HAND.key.id, GOOD.signature)
    with pytest.raises(SignatureError, match="a bare signature, but the signer is a passkey"):
        verify(SIGNED, bare, HAND.key)
    asserted = PasskeySignature(BROWSER.key.id, b"", b"", BARE.signature)
    with pytest.raises(SignatureError, match="an assertion, but the signer has no relying party"):
        verify(BY_BROWSER, asserted, BROWSER.key)


CLIENT: dict[str, dict[str, Any]] = {
    "a registration": {"type": "webauthn.create"},
    "a payment": {"type": "payment.get"},
    "no type": {"type": None},
    "no challenge": {"challenge": None},
    "a challenge with padding": {"challenge": "A" * 43 + "="},
    "a challenge that is a number": {"challenge": 1},
    "another origin": {"origin": "https://login.test.example"},
    "an origin that only begins alike": {"origin": PAGE + ".evil.example"},
    "an origin with a path": {"origin": PAGE + "/"},
    "no origin": {"origin": None},
    "an origin that is a list": {"origin": [PAGE]},
    "a frame": {"crossOrigin": True},
    "a frame, as a text": {"crossOrigin": "false"},
    "a frame, as a number": {"crossOrigin": 0},
    "the page around a frame": {"topOrigin": PAGE},
}


@pytest.mark.parametrize("why", CLIENT)
def test_i5_no_assertion_over_client_data_with(why: str) -> None:
    with pytest.raises(SignatureError):
        verify(SIGNED, HAND.sign(SIGNED, client=CLIENT[why]), HAND.key)


def test_i5_what_browsers_add_is_passed_over() -> None:
    for more in ({"crossOrigin": None}, {"other_keys_can_be_added_here": "…"}):
        verify(SIGNED, HAND.sign(SIGNED, client=more), HAND.key)


TEXT = HAND.client_data(SIGNED)
NOT_STRICT = {
    "nothing": b"",
    "a list": b"[" + TEXT + b"]",
    "a byte order mark": b"\xef\xbb\xbf" + TEXT,
    "something behind it": TEXT + b"{}",
    "the type twice": TEXT[:-1] + b',"type":"webauthn.get"}',
    "another challenge before the right one": b'{"challenge":"AAAA",' + TEXT[1:],
    "a fraction": TEXT[:-1] + b',"more":1.5}',
    "not UTF-8": TEXT[:-1] + b',"more":"\xff"}',
    "half a character": TEXT[:-1] + b',"more":"\\ud800"}',
}


@pytest.mark.parametrize("why", NOT_STRICT)
def test_i5_client_data_is_strict_json(why: str) -> None:
    with pytest.raises(SignatureError):
        verify(SIGNED, HAND.sign(SIGNED, client=NOT_STRICT[why]), HAND.key)


DATA: dict[str, bytes] = {
    "nothing": b"",
    "36 bytes": HAND.data()[:-1],
    "38 bytes without extensions": HAND.data(more=b"\0"),
    "extensions announced and missing": HAND.data(flags=UP | UV | BE | ED),
    "another relying party": HAND.data(rp="login.test.example"),
    "the relying party above": HAND.data(rp="test.example"),
    "nobody present": HAND.data(flags=UV | BE),
    "nobody verified": HAND.data(flags=UP | BE),
    "a new key along with it": HAND.data(flags=UP | UV | BE | AT, more=bytes(20)),
    "no backup, though there could be one": HAND.data(flags=UP | UV),
}


@pytest.mark.parametrize("why", DATA)
def test_i6_no_assertion_over_authenticator_data_with(why: str) -> None:
    with pytest.raises(SignatureError):
        verify(SIGNED, HAND.sign(SIGNED, data=DATA[why]), HAND.key)


def test_i6_a_key_that_cannot_be_backed_up_is_not() -> None:
    hand = Passkey(flags=UP | UV)
    verify(SIGNED, hand.sign(SIGNED), hand.key)
    with pytest.raises(SignatureError):
        verify(SIGNED, hand.sign(SIGNED, data=hand.data(flags=UP | UV | BS)), hand.key)


@pytest.mark.parametrize("count", [0, 1, 2**32 - 1])
def test_i6_the_counter_is_not_looked_at(count: int) -> None:
    data = HAND.data()[:-4] + count.to_bytes(4)
    verify(SIGNED, HAND.sign(SIGNED, data=data), HAND.key)


def test_i6_extensions_may_follow() -> None:
    data = HAND.data(flags=UP | UV | BE | BS | ED, more=b"\xa0")
    verify(SIGNED, HAND.sign(SIGNED, data=data), HAND.key)


FLIPPED: dict[str, Callable[[PasskeySignature, int], PasskeySignature]] = {
    "authenticator data": lambda s, at: PasskeySignature(
        s.key, _flip(s.authenticator_data, at), s.client_data, s.signature
    ),
    "client data": lambda s, at: PasskeySignature(
        s.key, s.authenticator_data, _flip(s.client_data, at), s.signature
    ),
    "signature": lambda s, at: PasskeySignature(
        s.key, s.authenticator_data, s.client_data, _flip(s.signature, at)
    ),
    "key": lambda s, at: PasskeySignature(
        _flip(s.key, at), s.authenticator_data, s.client_data, s.signature
    ),
}


def _flip(data: bytes, at: int) -> bytes:
    at %= 8 * len(data)
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


@pytest.mark.parametrize("part", FLIPPED)
def test_i7_no_signature_with_any_bit_flipped_verifies(part: str) -> None:
    for at in range(8 * 200):
        with pytest.raises(SignatureError):
            verify(SIGNED, FLIPPED[part](GOOD, at), HAND.key)


@pytest.mark.parametrize("algorithm", HANDS)
def test_i7_no_signature_of_any_algorithm_with_a_bit_flipped_verifies(algorithm: str) -> None:
    hand = HANDS[algorithm]
    good = hand.sign(SIGNED)
    for at in range(0, 8 * len(good.signature), 13):
        with pytest.raises(SignatureError):
            verify(SIGNED, FLIPPED["signature"](good, at), hand.key)


@given(instructions)
def test_i7_a_signature_is_of_one_instruction(other: Instruction) -> None:
    companys = type(other.act) in OF_THE_COMPANY  # with this class they are no events at all
    refused = MalformedEventError if companys else SignatureError
    with pytest.raises(refused):
        verify(replace(other, evidence=EvidenceClass.PASSKEY), GOOD, HAND.key)
    with pytest.raises(refused):
        verify(replace(other, evidence=EvidenceClass.BROWSER_KEY), BARE, BROWSER.key)


def test_i7_another_key_did_not_sign() -> None:
    other = Passkey()
    with pytest.raises(SignatureError, match=f"want {other.key.id.hex()[:16]}"):
        verify(SIGNED, GOOD, other.key)
    claimed = PasskeySignature(
        other.key.id, GOOD.authenticator_data, GOOD.client_data, GOOD.signature
    )
    with pytest.raises(SignatureError, match="wrong"):
        verify(SIGNED, claimed, other.key)


def test_i7_a_point_off_the_curve_is_no_key() -> None:
    public = bytes.fromhex(FORMS["ES256"][0]) + bytes(63) + b"\1"
    key = replace(HAND.key, public=public)
    signature = PasskeySignature(key.id, GOOD.authenticator_data, GOOD.client_data, GOOD.signature)
    with pytest.raises(SignatureError, match="public key"):
        verify(SIGNED, signature, key)


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_i7_there_is_one_error(data: bytes, client: bytes, signed: bytes) -> None:
    for hand in HANDS.values():
        with pytest.raises(SignatureError):
            verify(SIGNED, PasskeySignature(hand.key.id, data, client, signed), hand.key)


def test_i7_a_key_whose_form_was_never_checked_is_refused() -> None:
    key = Key("passkey", "ES256", b"", HAND.key.key.party, True, False, "none")
    with pytest.raises(SignatureError):
        instruction_signature.verify(document(SIGNED), GOOD, key)


def test_i8_ecdsa_has_a_second_signature_that_anybody_makes() -> None:
    r, s = decode_dss_signature(GOOD.signature)
    second = encode_dss_signature(r, ORDER - s)
    assert second != GOOD.signature
    assert not math.isclose(s, ORDER - s, rel_tol=1e-12)
    twin = PasskeySignature(GOOD.key, GOOD.authenticator_data, GOOD.client_data, second)
    verify(SIGNED, twin, HAND.key)
