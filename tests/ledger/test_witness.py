"""specs/witness.md, W3 to W8."""

import sqlite3
import threading
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger.tlog import cosignature, merkle, mldsa, signed_note
from ledger.tlog.mldsa import MldsaVerifier
from ledger.tlog.signed_note import Note, Signing, Verifier
from ledger.tlog.writer import Log
from ledger.witness import watched_log, witness
from ledger.witness.witness import MalformedSubmissionError, Reply, Witness
from tests.campaign import sized
from tests.ledger.witnessing import NOON, ORIGIN, log_with, submission, witness_of

SIGNER = signed_note.generate(ORIGIN)
BY = cosignature.generate("witness.example/w1")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_with(tmp_path / "log", 5, SIGNER)


@pytest.fixture
def seen(tmp_path: Path, log: Log) -> Witness:
    """A witness that remembers five entries."""
    found = witness_of(tmp_path / "witness", SIGNER, BY, lambda: NOON)
    assert found.add_checkpoint(submission(log, 0)).status == 200
    return found


def test_what_extends_is_cosigned_and_remembered(log: Log, seen: Witness) -> None:
    log.append([b"six", b"seven"])
    reply = seen.add_checkpoint(submission(log, 5))
    assert reply.status == 200
    text = signed_note.parse(log.checkpoint()).text
    assert BY.key.verify(signed_note.parse(f"{text}\n{reply.body}")) == NOON
    remembered = signed_note.parse(seen.remembered(ORIGIN) or "")
    assert remembered.text == text
    assert BY.key.verify(remembered) == NOON


def test_what_is_remembered_survives_a_restart(tmp_path: Path, log: Log, seen: Witness) -> None:
    again = witness_of(tmp_path / "witness", SIGNER, BY)
    assert again.add_checkpoint(submission(log, 0)) == Reply(409, "5\n", witness.SIZE)
    assert again.add_checkpoint(submission(log, 5)).status == 200


def test_an_unknown_log_is_answered_404(tmp_path: Path, log: Log) -> None:
    stranger = witness_of(tmp_path / "stranger", signed_note.generate("other.example/log"))
    assert stranger.add_checkpoint(submission(log, 0)).status == 404


def test_of_a_log_with_keys_of_two_types_both_must_have_signed(tmp_path: Path) -> None:
    ed25519, mldsa44 = signed_note.generate(ORIGIN), mldsa.generate(ORIGIN)
    keys: list[Verifier | MldsaVerifier] = [ed25519.verifier, mldsa44.verifier]
    tried: list[tuple[list[Signing], int]] = [
        ([ed25519, mldsa44], 200),
        ([ed25519], 403),
        ([mldsa44], 403),
    ]
    for number, (signers, status) in enumerate(tried):
        log = Log.open(tmp_path / f"{number}.sqlite", ORIGIN, *signers)
        log.append([b"entry"])
        one = Witness(
            tmp_path / f"{number}.memory", cosignature.generate("witness.example/w"), keys
        )
        assert one.add_checkpoint(submission(log, 0)).status == status
        log.close()


def test_a_checkpoint_of_an_untrusted_key_is_answered_403(tmp_path: Path, log: Log) -> None:
    other = witness_of(tmp_path / "other", signed_note.generate(ORIGIN))
    assert other.add_checkpoint(submission(log, 0)).status == 403
    assert other.remembered(ORIGIN) is None


def test_an_old_size_above_the_new_one_is_answered_400(log: Log, seen: Witness) -> None:
    bad = submission(log, 5).replace(b"old 5\n", b"old 6\n")
    assert seen.add_checkpoint(bad).status == 400


def test_another_old_size_is_answered_with_the_one_remembered(log: Log, seen: Witness) -> None:
    log.append([b"six"])
    for old in (0, 3):
        assert seen.add_checkpoint(submission(log, old)) == Reply(409, "5\n", witness.SIZE)


def test_another_root_at_the_same_size_is_answered_422(tmp_path: Path, seen: Witness) -> None:
    other = log_with(tmp_path / "fork", 5, SIGNER, mark=b"other")
    assert seen.add_checkpoint(submission(other, 5)).status == 422


def test_a_root_of_no_entries_that_is_not_the_empty_one_is_answered_422(tmp_path: Path) -> None:
    root = f"{'A' * 43}="
    head = signed_note.sign(f"{ORIGIN}\n0\n{root}\n", [SIGNER])
    one = witness_of(tmp_path, SIGNER, BY)
    assert one.add_checkpoint(f"old 0\n\n{head}".encode()).status == 422
    assert one.remembered(ORIGIN) is None


def test_a_fork_is_answered_422(tmp_path: Path, seen: Witness) -> None:
    other = log_with(tmp_path / "fork", 8, SIGNER, mark=b"other")
    assert seen.add_checkpoint(submission(other, 5)).status == 422


def test_a_proof_where_none_belongs_is_answered_422(log: Log, seen: Witness) -> None:
    hashed = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    padded = submission(log, 5).replace(b"old 5\n", b"old 5\n" + hashed)
    assert seen.add_checkpoint(padded).status == 422


def test_refusals_change_nothing(tmp_path: Path, log: Log, seen: Witness) -> None:
    before = seen.remembered(ORIGIN)
    other = log_with(tmp_path / "fork", 8, SIGNER, mark=b"other")
    for body in (b"", submission(other, 5), submission(other, 0), submission(log, 3)):
        assert seen.add_checkpoint(body).status != 200
    assert seen.remembered(ORIGIN) == before


HEAD = signed_note.sign(f"{ORIGIN}\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", [SIGNER])
HELLO = signed_note.sign("hello\n", [SIGNER])
GOOD = f"old 1\n\n{HEAD}"
MALFORMED = {
    "nothing": "",
    "no old size": f"\n\n{HEAD}",
    "no number": GOOD.replace("old 1", "old x"),
    "leading zero": GOOD.replace("old 1", "old 01"),
    "negative": GOOD.replace("old 1", "old -1"),
    "plus sign": GOOD.replace("old 1", "old +1"),
    "two spaces": GOOD.replace("old 1", "old  1"),
    "digits of another script": GOOD.replace("old 1", "old \N{FULLWIDTH DIGIT ONE}"),
    "short hash": GOOD.replace("old 1\n", "old 1\nAAAA\n"),
    "no base64": GOOD.replace("old 1\n", "old 1\n!\n"),
    "64 hashes": GOOD.replace("old 1\n", "old 1\n" + ("A" * 43 + "=\n") * 64),
    "carriage returns": GOOD.replace("\n", "\r\n"),
    "no checkpoint": "old 1\n\n",
    "a note, but no checkpoint": f"old 1\n\n{HELLO}",
    "no signature": f"old 1\n\n{HEAD.text}\n",
    "something after it": GOOD + "x",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_submissions_are_answered_400(tmp_path: Path, text: str) -> None:
    assert witness_of(tmp_path, SIGNER).add_checkpoint(text.encode()).status == 400


def test_a_submission_formats_back() -> None:
    assert str(witness.parse(GOOD.encode())) == GOOD


cut_off = st.integers(0, len(GOOD)).map(lambda end: GOOD.encode()[:end])


@given(st.binary() | st.text().map(str.encode) | cut_off)
def test_only_its_own_error_leaves_the_parser(data: bytes) -> None:
    if data != GOOD.encode():
        with pytest.raises(MalformedSubmissionError):
            witness.parse(data)


def test_submissions_that_race_never_roll_a_witness_back(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log", 1, SIGNER)
    seen = witness_of(tmp_path / "witness", SIGNER, BY)
    seen.add_checkpoint(submission(log, 0))
    bodies = []
    for _ in range(12):
        log.append([b"more"])
        bodies.append(submission(log, 1))
    replies: list[Reply] = []
    start = threading.Barrier(len(bodies))

    def submit(body: bytes) -> None:
        start.wait()
        replies.append(seen.add_checkpoint(body))

    threads = [threading.Thread(target=submit, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [reply for reply in replies if reply.status == 200]
    lost = [reply for reply in replies if reply.status == 409]
    assert (len(won), len(lost)) == (1, len(bodies) - 1)
    remembered = seen.remembered(ORIGIN)
    assert remembered is not None
    text = signed_note.parse(remembered).text
    BY.key.verify(signed_note.parse(f"{text}\n{won[0].body}"))
    assert {reply.body for reply in lost} == {f"{text.split()[1]}\n"}


class Histories(RuleBasedStateMachine):
    """Two logs with one key share a first entry and then diverge; a witness must side with one."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.cosigned: list[Note] = []

    @initialize()
    def begin(self) -> None:
        home = Path(self.folder.name)
        self.logs = [log_with(home / str(i), 1, SIGNER) for i in range(2)]
        self.witness = witness_of(home / "witness", SIGNER, BY)

    @rule(which=st.integers(0, 1), count=st.integers(1, 9))
    def append(self, which: int, count: int) -> None:
        self.logs[which].append([b"%d %d" % (which, i) for i in range(count)])

    @rule(which=st.integers(0, 1), guess=st.integers(0, 40))
    def submit(self, which: int, guess: int) -> None:
        log = self.logs[which]
        reply = self.witness.add_checkpoint(submission(log, min(guess, log.size)))
        if reply.status == 409 and int(reply.body) <= log.size:
            reply = self.witness.add_checkpoint(submission(log, int(reply.body)))
        if reply.status == 200:
            self.cosigned.append(signed_note.parse(log.checkpoint()))

    @invariant()
    def all_that_was_cosigned_is_one_history_that_grows(self) -> None:
        heads = [tuple(signed.text.split()[1:]) for signed in self.cosigned]
        sizes = [int(size) for size, _ in heads]
        assert sizes == sorted(sizes)
        beyond_the_first = {
            which
            for size, root in heads
            if int(size) > 1
            for which, log in enumerate(self.logs)
            if _has(log, int(size), root)
        }
        assert len(beyond_the_first) <= 1

    def teardown(self) -> None:
        for log in getattr(self, "logs", ()):
            log.close()
        self.folder.cleanup()


def _has(log: Log, size: int, root: str) -> bool:
    if log.size < size:
        return False
    return b64encode(merkle.root(size, log._nodes())).decode() == root


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=sized(12, 150), stateful_step_count=12, deadline=None
)


def test_a_witness_goes_on_with_a_memory_of_before_versions(
    tmp_path: Path, log: Log, seen: Witness
) -> None:
    with closing(sqlite3.connect(tmp_path / "witness" / "witness.sqlite")) as memory:
        memory.execute("DROP TABLE alembic_version")
    again = witness_of(tmp_path / "witness", SIGNER, BY)
    assert again.remembered(ORIGIN) == seen.remembered(ORIGIN)
    assert (again.remembered(ORIGIN) or "").startswith(log.checkpoint())
    assert again.add_checkpoint(submission(log, 0)).status == 409


def test_a_log_may_sign_with_keys_of_another_name(tmp_path: Path) -> None:
    """The name of a key only should be the origin (C2SP tlog-checkpoint)."""
    key = signed_note.generate("keys.example/2026")
    head = signed_note.sign(HEAD.text, [key])
    listed = watched_log.parse(f"{ORIGIN} {key.verifier}")
    one = Witness(tmp_path / "w.sqlite", BY, [listed])
    body = f"old 0\n\n{head}".encode()
    assert one.add_checkpoint(body).status == 200
    other = Witness(tmp_path / "o.sqlite", BY, [watched_log.parse(str(key.verifier))])
    assert other.add_checkpoint(body).status == 404
