"""A company with all its keys, three witnesses, a quorum of two: its times are bounded."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger import clock
from ledger.events.envelope import Withdrawn
from ledger.service import Ledger
from ledger.tlog import checkpoint, cosignature, policy, signed_note
from ledger.tlog.signed_note import Note
from ledger.verify import receipt
from ledger.verify.cli import main as verify
from ledger.verify.times import attested
from ledger.verify.times.attested import Bounds, TimeError
from ledger.witness import server
from ledger.witness.witness import Witness
from tests.ledger.events import GRANTED, ORIGIN, WORDING
from tests.ledger.test_cosigning import served

KEYS = [cosignature.generate(f"witness.example/w{number}") for number in range(3)]


@dataclass
class Watched:
    """A data directory whose logs three witnesses watch. `lines`: the witnesses' policy."""

    home: Path
    lines: str

    def opened(self) -> Ledger:
        return Ledger.open(self.home, origin=ORIGIN)

    def unwatched(self) -> Ledger:
        """The ledger as the company opens it when it asks nobody."""
        (self.home / "witnesses.policy").unlink()
        return self.opened()

    def watch(self) -> None:
        (self.home / "witnesses.policy").write_text(self.lines)

    def receipt(self, ledger: Ledger, index: int, name: str) -> Path:
        path = self.home / name
        path.write_text(ledger.receipt(index), newline="")
        return path

    def verdict(self, path: Path, *more: str | Path) -> int:
        log = ["--policy", str(self.home / "consent.policy"), "--log", str(self.log)]
        return verify([str(path), *log, *map(str, more)])

    @property
    def log(self) -> Path:
        return self.home / "log" / "consent"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    home = tmp_path / "home"
    Ledger.open(home, origin=ORIGIN).close()
    files = [home / "keys/consent.vkey", home / "keys/state.vkey"]
    known = [policy.log_key(line) for file in files for line in file.read_text().split()]
    with ExitStack() as stack:
        lines = ""
        for number, key in enumerate(KEYS):
            one = Witness(tmp_path / f"w{number}.sqlite", key, known)
            lines += f"witness w{number} {key.key} {stack.enter_context(served(server.app(one)))}\n"
        made = Watched(home, f"{lines}group two 2 w0 w1 w2\nquorum two\n")
        made.watch()
        yield made


def say(ledger: Ledger, at: datetime | None = None) -> int:
    act = GRANTED if ledger.size % 2 else Withdrawn("segmentation")
    said = ledger.draft("c1", act, at=at or clock.now(), wording=WORDING)
    return ledger.record([said])[0].index


def test_i77_an_entry_lies_between_what_witnesses_saw(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = watched.opened()
    say(ledger)
    ledger.export(watched.log)
    path = watched.receipt(ledger, say(ledger), "second")
    ledger.export(watched.log)
    ledger.close()
    assert watched.verdict(path) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("VERIFIED\n")
    assert ", witnesses w0, w1, w2 saw 1 entries" in printed
    assert ", witnesses w0, w1, w2 saw 2 entries" in printed


def test_i78_a_lower_bound_that_could_not_be_read_is_said(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = watched.opened()
    say(ledger)
    ledger.export(watched.log)
    path = watched.receipt(ledger, say(ledger), "second")
    ledger.export(watched.log)
    ledger.close()
    shutil.rmtree(watched.log / "witnessed")
    assert watched.verdict(path) == 3
    printed = capsys.readouterr().out
    assert printed.startswith("VERIFIED\n")
    assert "  after     COULD NOT READ: the log has no files of cosigned checkpoints in" in printed
    assert ", witnesses w0, w1, w2 saw 2 entries" in printed, "the receipt itself shows who saw it"


def test_i77_an_instruction_that_is_dated_back_is_refused(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger itself would refuse it, so the company takes the witnesses away meanwhile."""
    ledger = watched.opened()
    say(ledger)
    ledger.export(watched.log)
    ledger.close()
    ledger = watched.unwatched()
    index = say(ledger, datetime(2019, 1, 1, tzinfo=UTC))
    ledger.close()
    watched.watch()
    ledger = watched.opened()
    ledger.export(watched.log)
    path = watched.receipt(ledger, index, "forged")
    ledger.close()
    assert watched.verdict(path) == 1
    assert "states 2019-01-01T00:00:00Z, but witnesses" in capsys.readouterr().err


def test_i77_an_instruction_that_is_dated_ahead_is_refused(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = watched.opened()
    path = watched.receipt(ledger, say(ledger, datetime(2031, 1, 1, tzinfo=UTC)), "forged")
    ledger.export(watched.log)
    ledger.close()
    assert watched.verdict(path) == 1
    assert "states 2031-01-01T00:00:00Z, but witnesses" in capsys.readouterr().err


def test_i77_a_verdict_under_an_older_checkpoint_than_is_known_is_refused(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = watched.opened()
    path = watched.receipt(ledger, say(ledger), "old")
    say(ledger)
    ledger.export(watched.log)
    ledger.close()
    assert watched.verdict(path) == 0
    assert watched.verdict(path, "--at-least", watched.log / "checkpoint") == 1
    assert "of 1 entries, but at least 2 are known" in capsys.readouterr().err


def test_i77_a_known_checkpoint_of_a_fork_is_refused(watched: Watched, tmp_path: Path) -> None:
    """Another root at the size of the receipt: one of the two is of a fork."""
    ledger = watched.opened()
    path = watched.receipt(ledger, say(ledger), "one")
    ledger.export(watched.log)
    ledger.close()
    head = checkpoint.parse(receipt.parse(path.read_text()).checkpoint.text)
    fork = checkpoint.Checkpoint(head.origin, head.size, bytes(32))
    with pytest.raises(TimeError, match="a fork"):
        attested.require_at_least(head, fork)


def test_w27_one_witness_alone_moves_no_bound(watched: Watched) -> None:
    """A company that has one of three witnesses dates nothing with it."""
    ledger = watched.opened()
    say(ledger)
    text = signed_note.parse(ledger.cosign()).text
    ledger.close()
    trust = policy.parse((watched.home / "consent.policy").read_bytes())
    logs = signed_note.parse(ledger.checkpoint()).signatures
    now = datetime.now(UTC).replace(microsecond=0)
    for lie in (datetime(1990, 1, 1, tzinfo=UTC), datetime(2900, 1, 1, tzinfo=UTC)):
        times = (now, now + timedelta(seconds=2), lie)
        signed = [key.cosign(text, at) for key, at in zip(KEYS, times, strict=True)]
        seen = attested.of_note(trust, Note(text, (*logs, *signed)))
        assert seen is not None
        assert now <= seen.by <= now + timedelta(seconds=2)
        assert now <= seen.at <= now + timedelta(seconds=2)
        Bounds(None, seen).require(now)
        with pytest.raises(TimeError):
            Bounds(seen, None).require(now - timedelta(hours=2))


def test_w29_partial_tiles_of_a_size_that_a_receipt_names_are_published(watched: Watched) -> None:
    ledger = watched.opened()
    index = say(ledger)
    watched.receipt(ledger, index, "one")
    say(ledger)
    watched.receipt(ledger, say(ledger), "three")
    say(ledger)
    ledger.export(watched.log)
    ledger.close()
    for size in (1, 3, 4):
        for kind in ("0", "entries"):
            assert (watched.log / "tile" / kind / f"000.p/{size}").is_file()
