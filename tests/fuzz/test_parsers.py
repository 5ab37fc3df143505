"""Each parser of the ledger has one error type, lets no other escape, and formats back."""

import random
import subprocess
import sys
from base64 import b64encode
from importlib.util import find_spec

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.campaign import sized
from tests.fuzz.parsers import NO_ATHERIS, Parser, WritesOtherwiseError, parsers
from tests.ledger.mutations import mutate
from tests.ledger.mutators import EVERY

PARSERS = {each.name: each for each in parsers()}
HOSTILE = {
    "nothing": b"",
    "a null": b"\0",
    "only newlines": b"\n" * 40,
    "no UTF-8": b"\xff\xfe\xfd",
    "half a character": b"\xed\xa0\x80",
    "a number of 5,000 digits": b"1" * 5_000,
    "a checkpoint with such a number": b"o\n" + b"9" * 5_000 + b"\n" + b"A" * 43 + b"=\n",
    "nested 100,000 deep": b"[" * 100_000,
    "objects nested 100,000 deep": b'{"a":' * 100_000,
    "a receipt nested deep": b"c2sp.org/tlog-proof@v1\nextra "
    + b"W1tb" * 50_000
    + b"\nindex 0\n\n",
    "a DER length of 2^31": b"\x30\x84\x7f\xff\xff\xff",
    "a DER length without end": b"\x30\x80" * 1_000,
    "an integer that is no float": b'{"seq":1e400}',
    "many empty signatures": b"text\n\n" + "— a AAAAAAA=\n".encode() * 2_000,
    "digits of another script": "o\n١٢\nAAAA\n".encode(),
}


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("why", HOSTILE)
def test_l105_no_other_error_escapes_a_parser_that_is_given(name: str, why: str) -> None:
    PARSERS[name].take(HOSTILE[why])


@pytest.mark.parametrize("name", PARSERS)
def test_l105_a_parser_accepts_something_of_its_vectors(name: str) -> None:
    verdicts = {PARSERS[name].take(seed) for seed in PARSERS[name].seeds}
    assert True in verdicts


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=sized(20, 600))
@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda t: t.encode("utf-8", "replace")))
@example(b"")
def test_l105_arbitrary_bytes_are_read_and_written_back_or_refused(name: str, data: bytes) -> None:
    PARSERS[name].take(data)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=sized(40, 600))
@given(st.data(), st.integers(0, 1 << 32))
def test_l105_what_is_almost_valid_is_read_and_written_back_or_refused(
    name: str, data: st.DataObject, seed: int
) -> None:
    seeds = st.sampled_from(PARSERS[name].seeds)
    changed = mutate(data.draw(seeds), data.draw(seeds), EVERY, random.Random(seed))
    PARSERS[name].take(changed)


def test_l105_a_certificate_of_an_unknown_version_is_refused() -> None:
    (seed, *_) = PARSERS["certificates"].seeds
    der = x509.load_pem_x509_certificates(seed)[0].public_bytes(Encoding.DER)
    changed = b64encode(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x0a", 1))
    pem = b"-----BEGIN CERTIFICATE-----\n" + changed + b"\n-----END CERTIFICATE-----\n"
    assert not PARSERS["certificates"].take(pem)


def _careless(data: bytes) -> bytes:
    return str(int(data)).encode()


BROKEN = {
    "another error escapes": (Parser("p", _careless, (KeyError,), ()), b"x", ValueError),
    "it writes otherwise": (Parser("p", _careless, (ValueError,), ()), b"01", WritesOtherwiseError),
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_parser_is_caught_if(why: str) -> None:
    parser, data, error = BROKEN[why]
    with pytest.raises(error):
        parser.take(data)


@pytest.mark.skipif(find_spec("atheris") is not None, reason="atheris is installed here")
def test_without_atheris_the_command_says_what_to_do() -> None:
    command = [sys.executable, "-m", "tests.fuzz.parsers", "--seconds", "1"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert (found.returncode, found.stderr.strip()) == (1, NO_ATHERIS)
