"""specs/vectors.md, V6: the verifiers in Python and in JavaScript have one verdict."""

import json
import random
import resource
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ledger.tlog import signed_note
from ledger.tlog.signed_note import NoteError
from ledger.verify import evidence, receipt
from ledger.verify.evidence import EvidenceError
from ledger.verify.receipt import ReceiptError
from specs.vectors.make_note import HEAD
from specs.vectors.signing import ED, LOG, W1, WITNESS, Key
from tests.campaign import sized
from tests.interop import both_verifiers
from tests.interop.both_verifiers import MAKERS, SIGNER, Question, Verdicts, compared
from tests.interop.meanings import VALID, permitted
from tests.interop.opinions import ACCEPTS, FAILS, MAX_HEAP_MB, REFUSES, answers, has_node

pytestmark = pytest.mark.skipif(not has_node(), reason="needs Node.js with Ed25519")
MAX_GROWTH_KB = 400_000


@pytest.mark.campaign
def test_v6_both_verifiers_have_one_verdict_on_every_case() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = compared(sized(1_000, 100_000), seed=11)
    assert found.is_clean, (found.differing[:3], found.failing[:3], found.accepted[:3])
    assert found.permitted.total() > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KB
    assert MAX_HEAP_MB <= 256  # of Node: more ends it


def told(question: Question) -> tuple[int, int]:
    return question.python(), answers([question.javascript()])[0]


def valid(kind: str) -> Question:
    return Question(kind, VALID[kind][0], "valid")


@pytest.mark.parametrize("kind", VALID)
def test_v6_both_accept_what_is_mutated(kind: str) -> None:
    assert told(valid(kind)) == (ACCEPTS, ACCEPTS)


def test_v6_a_difference_a_failure_and_a_wrong_verdict_are_reported() -> None:
    found, changed = Verdicts(), valid("vrf")
    changed = replace(changed, case=changed.case | {"alpha": "00"})
    both_verifiers._compare(found, changed, ACCEPTS, REFUSES)
    both_verifiers._compare(found, changed, REFUSES, FAILS)
    both_verifiers._compare(found, changed, ACCEPTS, ACCEPTS)
    assert [len(each) for each in (found.differing, found.failing, found.accepted)] == [1, 1, 1]
    assert not found.is_clean
    assert told(changed) == (REFUSES, REFUSES)


def test_v6_an_error_that_is_no_verdict_is_told_from_one() -> None:
    assert answers([["receipt", None, ""]]) == [FAILS]
    assert Question("receipt", {"policy": 5}, "").python() == FAILS


# specs/ledger.md, L45: what is too large is refused, and in which form keys are taken.
LARGE = {
    "a receipt of 1 MiB and more": lambda text: text + "x" * (1 << 20),
    "a long signature line": lambda text: text + f"— {SIGNER.name} {'A' * (1 << 20)}\n",
}


@pytest.mark.parametrize("why", LARGE)
def test_l45_a_receipt_that_is_too_large_is_refused_by_both(why: str) -> None:
    case = VALID["receipt"][0]
    large = LARGE[why](case["receipt"])
    assert told(Question("receipt", case | {"receipt": large}, "")) == (REFUSES, REFUSES)
    with pytest.raises(ReceiptError, match="more than 1,048,576 characters"):
        receipt.parse(large)


def test_l45_a_state_proof_that_is_too_large_is_refused_by_both() -> None:
    case = VALID["bound"][0]
    large = case["proof"] + "x" * (1 << 20)
    assert told(Question("bound", case | {"proof": large}, "")) == (REFUSES, REFUSES)


def test_l45_evidence_that_is_too_large_is_refused_by_both() -> None:
    large = "[" * (1 + evidence.MAX_SIZE)
    assert told(Question("evidence", VALID["evidence"][0] | {"evidence": large}, "")) == (
        REFUSES,
        REFUSES,
    )
    with pytest.raises(EvidenceError, match="more than 67,108,864 characters"):
        evidence.parse(large)


def test_l23_a_key_twice_is_refused_by_both() -> None:
    case = VALID["order"][0]
    twice = case | {"keys": case["keys"] * 2}
    assert told(Question("order", twice, "")) == (REFUSES, REFUSES)
    with pytest.raises(NoteError, match="given twice"):
        signed_note.verify(
            signed_note.parse(case["note"]), [signed_note.verifier(*case["keys"])] * 2
        )


NOTES = {  # further signature lines, by nobody who was asked
    "a name with a plus": (f"— a+b {'A' * 12}\n", REFUSES),
    "a name with a space of another kind": (f"— a\u00a0b {'A' * 12}\n", REFUSES),
    "a signature that is cut off": ("— stranger AAAA\n", REFUSES),
    "a control character": (f"— a\x01b {'A' * 12}\n", REFUSES),
    "a byte order mark, which is no space": (f"— a\ufeffb {'A' * 12}\n", ACCEPTS),
    "a stranger": (f"— stranger {'A' * 12}\n", ACCEPTS),
}


@pytest.mark.parametrize("why", NOTES)
def test_l21_both_read_the_same_signature_lines(why: str) -> None:
    line, verdict = NOTES[why]
    case = VALID["order"][0]
    assert told(Question("order", case | {"note": case["note"] + line}, "")) == (verdict, verdict)


CHECKPOINTS = {
    "an extension line": ("a line more\n", ACCEPTS),
    "two extension lines": ("one\ntwo\n", ACCEPTS),
    "an empty extension line": ("one\n\ntwo\n", REFUSES),
}


@pytest.mark.parametrize("why", CHECKPOINTS)
def test_l30_both_read_the_same_extension_lines(why: str) -> None:
    lines, verdict = CHECKPOINTS[why]
    text = f"{SIGNER.name}\n7\n{'A' * 43}=\n{lines}"
    note = f"{text}\n{SIGNER.sign(text)}"
    case = {"keys": [str(SIGNER.verifier)], "note": note}
    assert told(Question("range", case, "")) == (verdict, verdict)


def _members() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(VALID["evidence"][0]["evidence"])
    return found


def _but(kind: str, **members: object) -> dict[str, object]:
    return VALID[kind][0] | members


STRANGE = Key("stranger.example/log", LOG)
OTHERWISE = {  # what no verifier may accept
    "policy: a key of nobody's": (
        "policy",
        _but("policy", policy=f"log {STRANGE.vkey}\nquorum none\n"),
    ),
    "policy: another text": ("policy", _but("policy", note="a text\n\n— a AAAA\n")),
    "cosignature: another time": ("cosignature", _but("cosignature", time=1)),
    "signatures: a key of nobody's": ("signatures", _but("signatures", keys=[STRANGE.vkey])),
    "transition: no changes": (
        "transition",
        _but("transition", transitions=b"sovereign/transitions/v1\n".hex()),
    ),
    "evidence: without its last entry": (
        "evidence",
        _but("evidence", evidence=json.dumps(_members() | {"entries": _members()["entries"][:-1]})),
    ),
    "evidence: another checkpoint": (
        "evidence",
        _but("evidence", evidence=json.dumps(_members() | {"checkpoint": "text\n\n— a AAAA\n"})),
    ),
}


@pytest.mark.parametrize("why", OTHERWISE)
def test_v6_what_says_something_else_is_not_permitted(why: str) -> None:
    kind, case = OTHERWISE[why]
    assert permitted(kind, case, f"{kind} vector") is None
    assert permitted(kind, VALID[kind][0], f"{kind} vector") is not None


def test_v6_what_a_company_makes_is_accepted_and_refused_by_both() -> None:
    generator = random.Random(5)
    for kind, make in MAKERS.items():
        made = [Question(kind, make(generator), "made") for _ in range(40)]
        ours = [each.python() for each in made]
        assert ours == answers(each.javascript() for each in made)
        assert {*ours} == {ACCEPTS, REFUSES}


def test_w1_a_time_after_the_year_9999_is_refused_by_both() -> None:
    for time, verdict in ((LAST, ACCEPTS), (LAST + 1, REFUSES), (1 << 62, REFUSES)):
        signed = f"{HEAD}\n{W1.line(HEAD, time)}"
        case = {"key": W1.vkey, "note": signed, "time": time}
        assert told(Question("cosignature", case, "")) == (verdict, verdict)


LAST = 253_402_300_799


def _nested(depth: int) -> str:
    groups = [f"group g{n} any {f'g{n - 1}' if n else 'w1'}\n" for n in range(depth)]
    return f"{''.join(groups)}quorum g{depth - 1}\n"


@dataclass(frozen=True)
class Twin(Key):
    """A witness's key with the bytes of a log's."""

    @property
    def public(self) -> bytes:
        return ED.public


@dataclass(frozen=True)
class OfBytes(Key):
    """A key with these bytes, in hexadecimal: its seed."""

    @property
    def public(self) -> bytes:
        return bytes.fromhex(self.seed)


SHORT, LONG = (OfBytes("a.example/log", LOG, "ab" * size) for size in (31, 33))
SMALL = [OfBytes("witness.example/w", kind, "00" * 32) for kind in (LOG, WITNESS)]
TWIN = Twin("witness.example/twin", WITNESS)
TRUST = f"log {ED.vkey}\n"
WATCHED = f"{TRUST}witness w1 {W1.vkey}\n"


def _since(number: int) -> str:
    return f"vrf {ED.name}/state {bytes(range(32)).hex()} {number}\n"


VRF = _since(0)
POLICIES = {  # specs/ledger.md, L84
    "1,000 lines": (f"{TRUST}quorum none\n" + "#\n" * 998, ACCEPTS),
    "1,001 lines": (f"{TRUST}quorum none\n" + "#\n" * 999, REFUSES),
    "4 MiB": (f"{TRUST}quorum none\n#".ljust((1 << 22) - 1, "x") + "\n", ACCEPTS),
    "more than 4 MiB": (f"{TRUST}quorum none\n#".ljust(1 << 22, "x") + "\n", REFUSES),
    "more than 4 MiB, in fewer characters": (f"{TRUST}quorum none\n#{'é' * (1 << 21)}\n", REFUSES),
    "groups 16 deep": (WATCHED + _nested(16), ACCEPTS),
    "groups 17 deep": (WATCHED + _nested(17), REFUSES),
    "a witness with an address": (f"{TRUST}witness w1 {W1.vkey} url\nquorum w1\n", ACCEPTS),
    "a word too many for a witness": (f"{TRUST}witness w1 {W1.vkey} u v\nquorum w1\n", REFUSES),
    "a name that objects have": (
        f"{TRUST}witness __proto__ {W1.vkey}\nquorum __proto__\n",
        ACCEPTS,
    ),
    "a word that objects have": (f"{TRUST}constructor\nquorum none\n", REFUSES),
    "a key of a map": (f"{TRUST}{VRF}quorum none\n", ACCEPTS),
    "two keys of a map": (f"{TRUST}{VRF}{VRF}quorum none\n", REFUSES),
    "a key of a map, and a word": (f"{TRUST}{VRF[:-1]} x\nquorum none\n", REFUSES),
    "a key of a map in capitals": (f"{TRUST}{VRF.replace('0a', '0A')}quorum none\n", REFUSES),
    "15 digits": (
        f"{TRUST}{_since(9 * 111_111_111_111_111)}quorum none\n",
        ACCEPTS,
    ),
    "16 digits": (f"{TRUST}{_since(10**15)}quorum none\n", REFUSES),
    "a quorum of two words": (f"{TRUST}quorum none none\n", REFUSES),
    "a delete": (f"{TRUST}# \x7f\nquorum none\n", REFUSES),
    "a space of another kind": (f"log\u00a0{ED.vkey}\nquorum none\n", REFUSES),
    "half a character": (f"{TRUST}# \ud800\nquorum none\n", REFUSES),
    "a key a byte short": (f"{TRUST}log {SHORT.vkey}\nquorum none\n", REFUSES),
    "a key a byte long": (f"{TRUST}log {LONG.vkey}\nquorum none\n", REFUSES),
    "a log's key of small order": (f"{TRUST}log {SMALL[0].vkey}\nquorum none\n", REFUSES),
    "a witness's key of small order": (
        f"{TRUST}witness w {SMALL[1].vkey}\nquorum none\n",
        REFUSES,
    ),
    "a log and a witness of one key": (f"{TRUST}witness w {TWIN.vkey}\nquorum none\n", REFUSES),
}


@pytest.mark.parametrize("why", POLICIES)
def test_l84_both_read_the_same_policies(why: str) -> None:
    text, verdict = POLICIES[why]
    signed = f"{HEAD}\n{ED.line(HEAD)}{W1.line(HEAD, 0)}"
    case = {"policy": text, "note": signed}
    assert told(Question("policy", case, "")) == (verdict, verdict)
