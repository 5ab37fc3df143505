"""specs/vectors.md, V5: what implementations that are not ours say of every case.

Where one of them accepts a mutation, the list below says why; nothing else may differ.
"""

import random
import subprocess
from pathlib import Path

import pytest

from specs.vectors.make_mldsa import WITNESS
from specs.vectors.signing import ED, PQ, W1
from tests.browser import find
from tests.interop.opinions import (
    OTHERS,
    VECTORS,
    OtherwiseError,
    Vector,
    browser,
    has_node,
    has_openssl,
    openssl_ed25519,
    vectors,
)
from tests.interop.test_go import needs_go, verify
from tests.interop.verifiers import compared

__all__ = ["verify"]  # a fixture

OPENSSL = has_openssl()
BY_GO = (
    "note",
    "checkpoint",
    "path",
    "tile",
    "bundle",
    "inclusion",
    "consistency",
    "cosignature",
    "policy",
    "receipt",
    "commitment",
    "map",
    "state",
    "submission",
)
ACCEPTED_BY_GO = {
    "key: an id in capitals": "x/mod reads hexadecimal of both cases",
    "signature: a bit that base64 does not use": "x/mod decodes base64 leniently",
    "cosignature: a bit that base64 does not use": "the same",
    "cosignature: twice": "x/mod skips a second signature by the same key",
    "note: the signature twice": "the same",
    "event: none of the profile": "the Go program does not know the profile of events",
    "event: a predecessor that is no digest": "the same",
}
ACCEPTED_IN_THE_BROWSER = {
    "policy: both kinds of keys": "WebCrypto has no ML-DSA; the page says what it did not check",
    "the signature by ML-DSA-44 is missing": "the same",
    "policy: a witness": "the page asks for the log's signature alone",
    "a cosignature is missing": "the same",
    "the cosignature of a witness that is not needed is wrong": "the same",
}
TEXTS = "the published schema says of a text that it is one, not which"
SPKI = "the published schema does not look into public keys"
PAGES = "the published schema compares no origin with a relying party"
ACCEPTED_BY_OTHERS = {
    "event": {
        "at: no zone": TEXTS,
        "at: another zone": TEXTS,
        "at: a fraction": TEXTS,
        "at: a day that is none": TEXTS,
        "nonce: a byte short": TEXTS,
        "nonce: a byte long": TEXTS,
        "prev: bits that base64 does not use": TEXTS,
        "prev: base64 without padding": TEXTS,
        "prev: base64 of the other alphabet": TEXTS,
        "prev: in hexadecimal": TEXTS,
        "act: until: within a minute": TEXTS,
        "act: fields: one twice": "the published schema does not say that they differ",
        "act: key: algorithm: another": SPKI,
        "act: key: public: a byte short": SPKI,
        "act: key: public: another beginning": SPKI,
        "act: key: public: of small order": SPKI,
        "act: key: public: bits that base64 does not use": TEXTS,
        "act: key: rp: another": PAGES,
        "act: key: rp: nobody": PAGES,
        "act: key: origins: none": PAGES,
        "act: key: origins: one elsewhere": PAGES,
        "act: key: origins: without encryption": PAGES,
        "act: key: origins: one twice": "the published schema does not say that they differ",
        "act: key: backed_up: though it cannot be": "the published schema compares no two parts",
        **{
            f"evidence: {each}": "the published schema ties no act to an evidence class"
            for each in "ABC"
        },
        "act: silent: one twice": "the published schema does not say that they differ",
        "act: into: null": "the published schema knows null, the canonical form leaves it out",
        "act: scenes: one twice": "the published schema does not say that they differ",
        "act: not_before: without a time": TEXTS,
        "act: old: a byte short": TEXTS,
        "act: request: in hexadecimal": TEXTS,
        "mandate: a byte short": TEXTS,
        "mandate: null": "the published schema knows null, the canonical form leaves it out",
        "time_uncertain: false": "the published schema knows it, the canonical form has none",
        "body: a number with a point": "the published schema leaves bodies open",
        "body: a key outside ASCII": "the same",
        "body: nested too deep": "the same",
    },
    "timestamp": {
        "token: a byte long": "OpenSSL ignores what follows",
        "token: a length in more bytes than it needs": "OpenSSL reads BER",
    },
}


def accepted(cases: list[Vector], verdicts: list[bool]) -> set[str]:
    """The mutations that were accepted; every valid case must have been."""
    told = [*zip(cases, verdicts, strict=True)]
    assert [each["case"] for each, said in told if each["mutation"] is None and not said] == []
    return {each["mutation"] for each, said in told if each["mutation"] is not None and said}


@needs_go
def test_v5_go_agrees_on_every_case_that_it_can_judge(verify: Path) -> None:
    command = [str(verify), "vectors", str(VECTORS), *BY_GO]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split(" ") for line in found.stdout.splitlines()]
    differing, unknown = set(), 0
    for name, number, verdict, *_ in lines:
        case = _case(name, int(number))
        if verdict == "unknown":
            assert any(key.vkey in str(case) for key in (PQ, WITNESS)), case
            unknown += 1
        elif (verdict == "accept") != (case["mutation"] is None):
            assert verdict == "accept", case
            differing.add(case["mutation"])
    assert differing == {*ACCEPTED_BY_GO}
    assert len(lines) == sum(len(vectors(name)) for name in BY_GO)
    assert unknown == 10


CASES = {name: vectors(name) for name in BY_GO}


def _case(name: str, number: int) -> Vector:
    return CASES[name][number]


@pytest.mark.parametrize("name", OTHERS)
def test_v5_libraries_that_are_not_ours_agree(name: str) -> None:
    if name in {"mldsa", "timestamp"} and not OPENSSL:
        pytest.skip("needs OpenSSL 3")
    cases = [{"case": name, **each} for each in vectors(name)]
    found = accepted(cases, [_accepts(name, each) for each in cases])
    assert found == {*ACCEPTED_BY_OTHERS.get(name, {})}


def _accepts(name: str, case: Vector) -> bool:
    try:
        OTHERS[name](case)
    except OtherwiseError:
        return False
    return True


@pytest.mark.skipif(not OPENSSL, reason="needs OpenSSL 3")
@pytest.mark.parametrize("key", [ED, W1], ids=["a log's key", "a witness's key"])
def test_v5_openssl_accepts_our_ed25519_signatures_and_no_flipped_bit(key: object) -> None:
    assert isinstance(key, type(ED))
    text = "vectors.example/consent\n7\n"
    signature, message = key.signature(text, 9), text.encode()
    if key is W1:
        signature, message = signature[8:], f"cosignature/v1\ntime 9\n{text}".encode()
    openssl_ed25519(key.public, signature, message)
    generator = random.Random(1)
    for at in generator.sample(range(64), 8):
        changed = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        with pytest.raises(OtherwiseError):
            openssl_ed25519(key.public, changed, message)


RUNNERS = {"node": has_node(), "Chromium": find.find() is not None}
needs_node = pytest.mark.skipif(not RUNNERS["node"], reason="needs Node 20 or later")


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if not RUNNERS[name]:
        pytest.skip(f"needs {name}")
    return name


def test_v5_the_browsers_verifier_agrees_on_paths(runner: str) -> None:
    cases = [{"case": "inclusion", **each} for each in vectors("inclusion")]
    found = browser((["inclusion", each] for each in cases), runner)
    assert accepted(cases, found) == set()


def test_v5_the_browsers_verifier_agrees_on_receipts(runner: str) -> None:
    cases = vectors("receipt")
    asked = (["receipt", each["receipt"], _log_keys(each["policy"])] for each in cases)
    assert accepted(cases, browser(asked, runner)) == {*ACCEPTED_IN_THE_BROWSER}


def test_v5_the_browsers_verifier_agrees_on_signatures_of_customers(runner: str) -> None:
    cases = vectors("instruction")
    found = browser((["instruction", each] for each in cases), runner)
    assert accepted(cases, found) == set()


def test_v5_the_browsers_verifier_agrees_on_verifiable_random_functions(runner: str) -> None:
    cases = vectors("vrf")
    found = browser((["vrf", each] for each in cases), runner)
    assert accepted(cases, found) == set()


def test_v5_the_browsers_verifier_agrees_on_labels_of_customers(runner: str) -> None:
    cases = vectors("bound")
    found = browser((["bound", each] for each in cases), runner)
    assert accepted(cases, found) == set()


def test_v5_the_browsers_verifier_agrees_on_keys_of_small_order(runner: str) -> None:
    cases = vectors("order")
    found = browser((["order", each] for each in cases), runner)
    assert accepted(cases, found) == set()


def test_v5_the_browsers_verifier_agrees_on_the_sizes_that_keys_may_sign(runner: str) -> None:
    cases = vectors("range")
    found = browser((["order", each] for each in cases), runner)
    assert accepted(cases, found) == set()


ASKED = {  # file of vectors -> question
    "policy": "policy",
    "cosignature": "cosignature",
    "note": "signatures",
    "mldsa": "signatures",
    "receipt": "believed",
    "transition": "transition",
    "evidence": "evidence",
}


def test_v5_the_browsers_verifier_agrees_on_policies_and_signatures(runner: str) -> None:
    asked = [(name, each) for name in ASKED for each in vectors(name)]
    told = browser(([ASKED[name], each] for name, each in asked), runner)
    for name in ASKED:
        mine = [(each, said) for (of, each), said in zip(asked, told, strict=True) if of == name]
        assert accepted([each for each, _ in mine], [said for _, said in mine]) == set(), name


def _log_keys(policy: str) -> str:
    words = [line.split(" ") for line in policy.splitlines()]
    return "\n".join(line[1] for line in words if line[0] == "log")


@needs_node
def test_l97_no_mutated_receipt_is_accepted_by_the_browsers_verifier() -> None:
    found = compared(count=4_000, seed=3)
    assert found.accepted == []
    assert found.tried == 4_000
