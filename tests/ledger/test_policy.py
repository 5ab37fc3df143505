"""Clauses L80 to L84 of specs/ledger.md."""

import random
from datetime import UTC, datetime
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import cosignature, mldsa, policy, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.policy import LogPolicyError
from ledger.tlog.signed_note import Note, Signature
from tests.campaign import sized
from tests.ledger.mutations import mutate
from tests.ledger.mutators import LINES as LINES_OF_TEXT
from tests.ledger.test_mldsa import signer as mldsa_signer
from tests.ledger.test_note import OTHER, SIGNER

AT = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = Checkpoint(SIGNER.name, 7, bytes(32))
TEXT = str(HEAD)
WITNESSES = [cosignature.generate(f"w{number}.example/w") for number in range(3)]
QUANTUM = mldsa.generate("w3.example/w")
LOG = f"log {SIGNER.verifier}\n"
LINES = "".join(f"witness w{n} {each.key}\n" for n, each in enumerate(WITNESSES))
COSIGNATURES = [each.cosign(TEXT, AT) for each in WITNESSES]


def parsed(text: str) -> policy.LogPolicy:
    return policy.parse(text.encode())


def cosigned(*who: int) -> Note:
    signed = signed_note.sign(TEXT, [SIGNER])
    return Note(TEXT, (*signed.signatures, *(COSIGNATURES[n] for n in who)))


def accepts(trust: policy.LogPolicy, signed: Note) -> bool:
    try:
        return trust.verify(signed) == HEAD
    except LogPolicyError:
        return False


def test_l80_a_log_must_have_signed() -> None:
    trust = parsed(LOG + "quorum none\n")
    assert trust.verify(cosigned()) == HEAD
    with pytest.raises(LogPolicyError, match="no signature"):
        trust.verify(Note(TEXT, (COSIGNATURES[0],)))
    with pytest.raises(LogPolicyError, match="does not list the log"):
        parsed(f"log {OTHER.verifier}\nquorum none\n").verify(cosigned())


def test_l81_a_log_with_two_kinds_of_keys_must_have_signed_with_both() -> None:
    trust = parsed(policy.text([SIGNER.verifier, mldsa_signer().verifier]))
    assert trust.verify(signed_note.sign(TEXT, [SIGNER, mldsa_signer()])) == HEAD
    for one in (SIGNER, mldsa_signer()):
        with pytest.raises(LogPolicyError, match="no signature"):
            trust.verify(signed_note.sign(TEXT, [one]))


def test_l81_of_two_keys_of_one_kind_one_suffices() -> None:
    newer = signed_note.generate(SIGNER.name)
    trust = parsed(policy.text([SIGNER.verifier, newer.verifier]))
    for signers in ([SIGNER], [newer], [SIGNER, newer]):
        assert trust.verify(signed_note.sign(TEXT, signers)) == HEAD


@pytest.mark.parametrize("k", [1, 2, 3])
def test_l82_k_of_n_witnesses(k: int) -> None:
    trust = parsed(f"{LOG}{LINES}group g {k} w0 w1 w2\nquorum g\n")
    for count in range(4):
        for who in combinations(range(3), count):
            assert accepts(trust, cosigned(*who)) is (count >= k), who


def test_l82_any_all_single_and_nested() -> None:
    any_of = parsed(f"{LOG}{LINES}group g any w0 w1\nquorum g\n")
    all_of = parsed(f"{LOG}{LINES}group g all w0 w1\nquorum g\n")
    single = parsed(f"{LOG}{LINES}quorum w2\n")
    nested = parsed(f"{LOG}{LINES}group i any w0 w1\ngroup o all i w2\nquorum o\n")
    for count in range(4):
        for who in combinations(range(3), count):
            signed, held = cosigned(*who), {*who}
            assert accepts(any_of, signed) is bool(held & {0, 1})
            assert accepts(all_of, signed) is (held >= {0, 1})
            assert accepts(single, signed) is (2 in held)
            assert accepts(nested, signed) is (bool(held & {0, 1}) and 2 in held)


def test_l82_a_witness_with_an_ml_dsa_key_counts() -> None:
    trust = parsed(f"{LOG}witness q {QUANTUM.verifier}\nquorum q\n")
    signed = cosigned()
    with pytest.raises(LogPolicyError, match="quorum"):
        trust.verify(signed)
    assert trust.verify(Note(TEXT, (*signed.signatures, QUANTUM.sign(TEXT, 1)))) == HEAD


def test_l83_a_wrong_signature_of_a_known_key_refuses_the_note() -> None:
    trust = parsed(f"{LOG}{LINES}group g 1 w0 w1 w2\nquorum g\n")
    good = cosigned(0)
    forged = Signature(COSIGNATURES[1].name, COSIGNATURES[1].key_id, bytes(72))
    with pytest.raises(LogPolicyError):
        trust.verify(Note(TEXT, (*good.signatures, forged)))
    with pytest.raises(LogPolicyError, match="2 signatures"):
        trust.verify(Note(TEXT, (*good.signatures, COSIGNATURES[0])))


def test_l83_signatures_of_strangers_are_ignored() -> None:
    assert parsed(LOG + "quorum none\n").verify(cosigned(0, 1)) == HEAD
    stranger = signed_note.sign(TEXT, [OTHER, SIGNER])
    assert parsed(LOG + "quorum none\n").verify(stranger) == HEAD


def test_l84_comments_tabs_spaces_and_addresses_are_allowed() -> None:
    spaced = f"# é\n\n \t{LOG.strip()}\thttps://log.example \n{LINES}\n  #x\nquorum  w0\n"
    assert parsed(spaced) == parsed(f"{LOG}{LINES}quorum w0\n")


def test_l84_what_is_written_parses() -> None:
    keys = (SIGNER.verifier, mldsa_signer().verifier)
    assert parsed(policy.text(keys)).logs == keys


OWN = cosignature.WitnessKey("w", SIGNER.verifier.public)
SMALL = cosignature.WitnessKey("w", b"\x01" + bytes(31))


def _nested(depth: int) -> str:
    within = (f"group g{n} any {f'g{n - 1}' if n > 1 else 'w0'}\n" for n in range(1, depth + 1))
    return "".join(within)


def test_l84_groups_are_nested_up_to_16_deep() -> None:
    assert policy.parse(f"{LOG}{LINES}{_nested(16)}quorum g16\n".encode()).quorum == "g16"


def test_l84_a_policy_of_many_bytes_is_not_read() -> None:
    with pytest.raises(LogPolicyError, match="more than 4,194,304 bytes"):
        policy.parse(b"#" * policy.MAX_SIZE + b"\n")


MALFORMED = {
    "nothing": "",
    "no quorum": LOG,
    "two quorums": LOG + "quorum none\nquorum none\n",
    "no final newline": LOG + "quorum none",
    "carriage returns": (LOG + "quorum none\n").replace("\n", "\r\n"),
    "a null": LOG + "quorum none\n#\0\n",
    "an unknown word": LOG + "quorum none\nlogs\n",
    "a quorum of nobody": LOG + "quorum w0\n",
    "a quorum before its group": f"{LOG}{LINES}quorum g\ngroup g any w0\n",
    "a group of strangers": f"{LOG}{LINES}group g any w9\nquorum g\n",
    "a group of nobody": f"{LOG}{LINES}group g any\nquorum g\n",
    "a group of itself": f"{LOG}{LINES}group g any g\nquorum g\n",
    "none as a member": f"{LOG}{LINES}group g any none\nquorum g\n",
    "none as a name": f"{LOG}witness none {WITNESSES[0].key}\nquorum none\n",
    "0 of n": f"{LOG}{LINES}group g 0 w0\nquorum g\n",
    "more than n": f"{LOG}{LINES}group g 2 w0\nquorum g\n",
    "k with a zero before it": f"{LOG}{LINES}group g 01 w0\nquorum g\n",
    "k in another script": f"{LOG}{LINES}group g ١ w0\nquorum g\n",
    "k that is no number": f"{LOG}{LINES}group g most w0\nquorum g\n",
    "k of 5000 digits": f"{LOG}{LINES}group g {'9' * 5000} w0\nquorum g\n",
    "a member twice": f"{LOG}{LINES}group g 2 w0 w0\nquorum g\n",
    "a member of two groups": f"{LOG}{LINES}group g any w0\ngroup h any w0\nquorum h\n",
    "a name twice": f"{LOG}{LINES}group w0 any w1\nquorum w0\n",
    "a log twice": LOG + LOG + "quorum none\n",
    "a log twice by other names": LOG
    + f"log {signed_note.Verifier('other', SIGNER.verifier.public)}\nquorum none\n",
    "a witness twice": f"{LOG}{LINES}witness w9 {WITNESSES[0].key}\nquorum none\n",
    "a witness's key for a log": f"log {WITNESSES[0].key}\nquorum none\n",
    "the log's own key for a witness": f"{LOG}witness w {OWN}\nquorum w\n",
    "a witness's key for the log": f"witness w {OWN}\n{LOG}quorum w\n",
    "a witness's key of small order": f"{LOG}witness w {SMALL}\nquorum w\n",
    "groups within 17 groups": f"{LOG}{LINES}{_nested(17)}quorum g17\n",
    "a log's key for a witness": f"{LOG}witness w {OTHER.verifier}\nquorum none\n",
    "a log without a key": "log\nquorum none\n",
    "a key that is none": "log key\nquorum none\n",
    "too many words": LOG.strip() + " url more\nquorum none\n",
    "too many lines": LOG + "\n" * 2000 + "quorum none\n",
}


@pytest.mark.parametrize("why", MALFORMED)
def test_l84_malformed_policies_are_refused(why: str) -> None:
    with pytest.raises(LogPolicyError):
        policy.parse(MALFORMED[why].encode())


@given(st.binary(max_size=80), st.integers(0, 300))
def test_l84_one_error_and_no_other(data: bytes, at: int) -> None:
    whole = f"{LOG}{LINES}quorum none\n".encode()
    for changed in (data, whole[:at] + data + whole[at + len(data) :]):
        try:
            trust = policy.parse(changed)
        except LogPolicyError:
            continue
        assert trust.quorum in {"none", *trust.witnesses, *trust.groups}


TRUSTS = [
    f"{LOG}log {OTHER.verifier}\n{LINES}group g 2 w0 w1 w2\nquorum g\n",
    f"{LOG}range {policy.key_name(SIGNER.verifier)} 0 8\nquorum none\n",
    f"{LOG}{LINES}group i any w0 w1\ngroup o all i w2\nquorum o\nvrf {SIGNER.name} {'0a' * 32} 3\n",
]


@pytest.mark.campaign
def test_l84_a_mutated_policy_is_refused_with_one_error_or_trusts_no_other_key() -> None:
    generator = random.Random(5)
    known = {str(key) for each in TRUSTS for key in parsed(each).logs}
    watching = {str(key) for each in TRUSTS for key in parsed(each).witnesses.values()}
    accepted = 0
    for _ in range(sized(1_000, 50_000)):
        text, other = (generator.choice(TRUSTS).encode() for _ in range(2))
        changed = mutate(text, other, LINES_OF_TEXT, generator)
        try:
            found = policy.parse(changed)
        except LogPolicyError:
            continue
        accepted += 1
        assert {str(key) for key in found.logs} <= known, changed
        assert {str(key) for key in found.witnesses.values()} <= watching, changed
        assert {*found.ranges} <= {policy.key_name(key) for key in found.logs}, changed
    assert accepted > 0
