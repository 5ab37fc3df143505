"""Clauses L40 to L45 of specs/ledger.md."""

import json
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.events import envelope
from ledger.tlog import merkle, signed_note
from ledger.tlog.checkpoint import Checkpoint
from ledger.vault import commitments
from ledger.verify import receipt
from ledger.verify.cli import main
from ledger.verify.receipt import Receipt, ReceiptError
from tests.ledger.events import INSTRUCTION, NOON, ORIGIN, PUBLIC
from tests.ledger.test_note import OTHER, SIGNER
from tests.ledger.worlds import opened, say

OPENING = commitments.Opening(b"t" * 24, b"s" * 32)
SIGNER_HERE = signed_note.Signer(ORIGIN, SIGNER.private)
KEYS = [SIGNER_HERE.verifier]


def proven(
    extra: dict[str, object], entry: bytes, index: int = 2, size: int = 5, origin: str = ORIGIN
) -> str:
    """A receipt of `entry` at `index` of a log that otherwise holds small entries."""
    entries = [entry if at == index else bytes([at]) for at in range(size)]
    leaves = merkle.leaf_hashes(entries)

    def read(level: int, at: int) -> bytes:
        return merkle.complete_root(leaves[at << level : (at + 1) << level])

    head = str(Checkpoint(origin, size, merkle.root(size, read)))
    proof = tuple(merkle.prove_inclusion(index, size, read))
    return str(Receipt(index, proof, signed_note.sign(head, [SIGNER_HERE]), extra))


def sealed(of: object = None, **changes: object) -> str:
    data = json.loads(envelope.encode(INSTRUCTION)) | changes if of is None else of
    extra = {"event": data, "salt": OPENING.salt.hex(), "tag": OPENING.tag.hex()}
    return proven(extra, commitments.personal_entry(OPENING, commitments.canonical(data)))


TEXT = sealed()
PLAIN = json.loads(envelope.encode(PUBLIC[0]))
PUBLIC_TEXT = proven({"event": PLAIN}, commitments.public_entry(envelope.encode(PUBLIC[0])))


@pytest.mark.parametrize("text", [TEXT, PUBLIC_TEXT], ids=["instruction", "public"])
def test_l40_a_receipt_proves_its_entry(text: str) -> None:
    found = receipt.parse(text)
    assert str(found) == text
    assert receipt.verify(found, KEYS).size == 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("receipt")
    (home / "log.vkey").write_text(f"{SIGNER_HERE.verifier}\n")
    return home


def verify(folder: Path, data: bytes) -> int:
    path = folder / "a.tlog-proof"
    path.write_bytes(data)
    return main([str(path), "--key", str(folder / "log.vkey")])


def test_l40_main_says_what_is_proven(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder, TEXT.encode()) == 0
    said = capsys.readouterr().out
    assert said.startswith("VERIFIED, but nobody else has seen this log")
    assert all(word in said for word in (ORIGIN, "c1", "granted segmentation: age, job", "class C"))


@pytest.mark.parametrize("text", [TEXT, PUBLIC_TEXT], ids=["instruction", "public"])
def test_l41_no_receipt_with_a_changed_byte_verifies(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = text.encode()
    for at in range(len(data)):
        for change in (0x01, 0x20, 0x80):
            mutated = data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
            assert verify(folder, mutated) == 1, (at, change)
            assert capsys.readouterr().err.startswith("NOT VERIFIED: ")


@pytest.mark.parametrize("text", [TEXT, PUBLIC_TEXT], ids=["instruction", "public"])
def test_l41_no_receipt_with_a_byte_more_or_less_verifies(text: str, folder: Path) -> None:
    data = text.encode()
    for at in range(len(data)):
        assert verify(folder, data[:at] + data[at + 1 :]) == 1, at
        assert verify(folder, data[:at] + b"A" + data[at:]) == 1, at
        assert verify(folder, data[:at]) == 1, at


def lines(text: str) -> list[str]:
    return text.split("\n")


def with_extra(extra: object) -> str:
    data = json.dumps(extra, sort_keys=True, separators=(",", ":")).encode()
    return "\n".join([lines(TEXT)[0], "extra " + b64encode(data).decode(), *lines(TEXT)[2:]])


EXTRA = json.loads(b64decode(lines(TEXT)[1].removeprefix("extra ")))
MALFORMED = {
    "nothing": "",
    "another header": TEXT.replace("proof@v1", "proof@v2"),
    "no extra": "\n".join([lines(TEXT)[0], *lines(TEXT)[2:]]),
    "extra without its word": TEXT.replace("extra ", ""),
    "index without its word": TEXT.replace("index ", ""),
    "an index with a zero before it": TEXT.replace("index 2", "index 02"),
    "a negative index": TEXT.replace("index 2", "index -2"),
    "an index with a plus": TEXT.replace("index 2", "index +2"),
    "a short hash": TEXT.replace(lines(TEXT)[3], "AAAA"),
    "no checkpoint": TEXT.split("\n\n", 1)[0] + "\n\n",
    "no signature": TEXT.rsplit("\n\n", 1)[0] + "\n\n",
    "extra that is a list": with_extra([]),
    "extra that is null": with_extra(None),
    "extra without the event": with_extra({"salt": EXTRA["salt"], "tag": EXTRA["tag"]}),
    "extra with more": with_extra(EXTRA | {"more": 1}),
    "a salt alone": with_extra({"event": EXTRA["event"], "salt": EXTRA["salt"]}),
    "a short salt": with_extra(EXTRA | {"salt": "00"}),
    "a salt in capitals": with_extra(EXTRA | {"salt": "AB" * 32}),
    "a salt that is a number": with_extra(EXTRA | {"salt": 1}),
    "a salt that is a list": with_extra(EXTRA | {"salt": ["0"] * 64}),
    "half a character": with_extra(EXTRA | {"event": "\ud800"}),
    "nested far too deep": TEXT.replace(
        lines(TEXT)[1], "extra " + b64encode(b"[" * 100_000).decode()
    ),
    "an index of 5000 digits": TEXT.replace("index 2", "index " + "9" * 5000),
}


@pytest.mark.parametrize("why", MALFORMED)
def test_l42_malformed_receipts_are_refused(why: str) -> None:
    with pytest.raises(ReceiptError):
        receipt.parse(MALFORMED[why])


@given(st.text(), st.integers(0, len(TEXT)), st.integers(0, len(TEXT)))
def test_l42_a_receipt_formats_back_or_is_refused(text: str, lo: int, hi: int) -> None:
    for data in (text, TEXT[:lo] + text + TEXT[max(lo, hi) :]):
        try:
            found = receipt.parse(data)
        except ReceiptError:
            continue
        assert str(found) == data


UNPROVEN = {
    "a hash twice": TEXT.replace("\n\n", "\n" + lines(TEXT)[3] + "\n\n", 1),
    "another index": TEXT.replace("index 2", "index 3"),
    "an index beyond the end": TEXT.replace("index 2", "index 5"),
    "another event": with_extra(EXTRA | {"event": EXTRA["event"] | {"subject": "c2"}}),
    "another salt": with_extra(EXTRA | {"salt": "00" * 32}),
    "another tag": with_extra(EXTRA | {"tag": "00" * 24}),
    "an instruction in clear": proven(
        {"event": EXTRA["event"]}, commitments.public_entry(envelope.encode(INSTRUCTION))
    ),
    "a public act in disguise": sealed(PLAIN),
    "something that is no event": sealed({"type": "instruction"}),
    "a text that is no event": sealed("instruction"),
    "a float": sealed(seq=1.5),
    "an instruction for another log": sealed(origin="other.example/consent"),
    "the checkpoint of another log": proven(
        EXTRA,
        commitments.personal_entry(OPENING, envelope.encode(INSTRUCTION)),
        origin="other.example/consent",
    ),
}


@pytest.mark.parametrize("why", UNPROVEN)
def test_l43_a_receipt_that_does_not_prove_its_entry_is_refused(why: str) -> None:
    with pytest.raises(ReceiptError):
        receipt.verify(receipt.parse(UNPROVEN[why]), KEYS)


def test_l43_the_key_that_is_asked_for_must_have_signed() -> None:
    with pytest.raises(ReceiptError):
        receipt.verify(receipt.parse(TEXT), [*KEYS, OTHER.verifier])
    with pytest.raises(ReceiptError):
        receipt.verify(receipt.parse(TEXT), [])


def test_l44_what_an_event_says_cannot_forge_a_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = "c1\nVERIFIED\x1b[2J\u202e"
    forged = replace(INSTRUCTION, subject=subject)
    assert verify(folder, sealed(json.loads(envelope.encode(forged))).encode()) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 8
    assert not {"\x1b", "\u202e"} & set(said)


NO_FILES = {
    "no receipt": (b"", None),
    "no key": (None, b""),
    "a key that is none": (None, b"key\n"),
    "a key that is not UTF-8": (None, b"\xff\n"),
    "a receipt that is not UTF-8": (b"\xff", None),
}


@pytest.mark.parametrize("why", NO_FILES)
def test_l45_main_gives_a_reason_for(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof, key = NO_FILES[why]
    (tmp_path / "a").write_bytes(TEXT.encode() if proof is None else proof)
    (tmp_path / "k").write_bytes(f"{SIGNER_HERE.verifier}\n".encode() if key is None else key)
    assert main([str(tmp_path / "a"), "--key", str(tmp_path / "k")]) == 1
    assert capsys.readouterr().err.startswith("NOT VERIFIED: ")


def test_l45_main_gives_a_reason_for_a_file_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "a"), "--key", str(tmp_path / "k")]) == 2
    assert capsys.readouterr().err.startswith("COULD NOT READ: ")


def test_l40_a_public_act_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(folder, PUBLIC_TEXT.encode()) == 0
    assert f"scene-published at {NOON:%Y-%m-%d}" in capsys.readouterr().out


def test_l81_the_verifier_demands_what_the_policy_demands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", INSTRUCTION.act)
    kept = tmp_path / "kept.tlog-proof"
    kept.write_text(ledger.receipt(0))
    ledger.close()
    trust = tmp_path / "consent.policy"
    assert main([str(kept), "--policy", str(trust)]) == 0
    stripped = "".join(kept.read_text().splitlines(keepends=True)[:-1])
    kept.write_text(stripped)
    assert main([str(kept), "--key", str(tmp_path / "keys" / "consent.vkey")]) == 1
    assert main([str(kept), "--policy", str(trust)]) == 1
    assert "no signature" in capsys.readouterr().err
    trust.write_text("quorum\n")
    assert main([str(kept), "--policy", str(trust)]) == 1


@pytest.mark.parametrize("trust", ["--key", "--policy"])
def test_l41_no_byte_of_a_ledgers_own_receipt_goes_unchecked(tmp_path: Path, trust: str) -> None:
    ledger = opened(tmp_path)
    say(ledger, "c1", INSTRUCTION.act)
    data = ledger.receipt(0).encode()
    ledger.close()
    place = {"--key": "keys/consent.vkey", "--policy": "consent.policy"}[trust]
    kept = tmp_path / "kept.tlog-proof"
    for at in range(0, len(data), 7):
        kept.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert main([str(kept), trust, str(tmp_path / place)]) == 1, at
    kept.write_bytes(data)
    assert main([str(kept), trust, str(tmp_path / place)]) == 0
