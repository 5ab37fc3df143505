"""Clause G13 of specs/gate.md in a process that only follows: who was erased holds no old grant."""

from contextlib import closing
from pathlib import Path

import pytest

from gate.state import consent_bits
from gate.state.consent_index import ConsentIndex
from gate.state.ledger_position import Epoch
from ledger.events.envelope import Act, Granted, Instruction, Withdrawn
from ledger.follower import Follower
from ledger.reader import RecordedEvent
from ledger.service import Ledger
from ledger.vault.vault import Vault
from tests.gate.scenes import SCENES
from tests.gate.world import NOON, WORDING

ORIGIN = "test.example/consent"
BOTH = {"segmentation": "age", "direct-marketing": "email"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with closing(Ledger.open(tmp_path, origin=ORIGIN)) as ledger:
        say(ledger, "c2", Granted("segmentation", ("age",), None))
        say(ledger, "c1", *(Granted(scene, (field,), None) for scene, field in BOTH.items()))
    return tmp_path


@pytest.fixture
def followed(home: Path) -> tuple[Follower, ConsentIndex]:
    """A gate's state in another process, up to date with what was said so far."""
    follower, state = Follower(home), ConsentIndex(SCENES)
    state.catch_up(follower)
    assert held(state, "c1") == [True, True]
    return follower, state


def say(ledger: Ledger, subject: str, *acts: Act) -> None:
    for act in acts:
        ledger.record([ledger.draft(subject, act, at=NOON, wording=WORDING)])


def held(state: ConsentIndex, subject: str) -> list[bool]:
    return [bool(state.bits(scene, subject) & consent_bits.FIELDS) for scene in BOTH]


def come_back(home: Path, *acts: Act) -> None:
    """Killed between destroying a key and saying so; then the customer begins again."""
    with closing(Vault(home / "keys")) as keys:
        keys.destroy("c1")
    with closing(Ledger.open(home, origin=ORIGIN)) as ledger:
        say(ledger, "c1", *acts)


def test_g13_an_erasure_that_is_not_announced_yet_leaves_no_old_grant(
    home: Path, followed: tuple[Follower, ConsentIndex]
) -> None:
    follower, state = followed
    come_back(home, Granted("segmentation", ("age",), None))
    state.catch_up(follower)
    assert held(state, "c1") == [True, False]
    assert held(state, "c2") == [True, False]


def test_g13_what_somebody_says_under_a_new_key_is_followed(
    home: Path, followed: tuple[Follower, ConsentIndex]
) -> None:
    follower, state = followed
    come_back(home, Granted("segmentation", ("age",), None), Withdrawn("segmentation"))
    seen = [each.event for each in follower.follow(3)]
    assert [each.seq for each in seen if isinstance(each, Instruction)] == [1, 2]
    state.catch_up(follower)
    assert held(state, "c1") == [False, False]


def test_g50_a_follower_sees_what_the_writer_sees(tmp_path: Path) -> None:
    epoch = Epoch(tmp_path / "epoch")
    ledger = Ledger.open(tmp_path, origin=ORIGIN, on_commit=epoch.publish)
    follower = Follower(tmp_path, Epoch(tmp_path / "epoch").size)
    seen: list[RecordedEvent] = []
    for n in range(60):
        say(ledger, f"c{n % 7}", Granted("s", ("a",), None) if n % 2 else Withdrawn("s"))
        assert follower.size == ledger.size
        seen += follower.follow(len(seen))
    assert seen == list(ledger.follow(0))
    assert follower.root() == ledger.root()


def test_g13_a_follower_forgets_whom_the_writer_erased(tmp_path: Path) -> None:
    epoch = Epoch(tmp_path / "epoch")
    ledger = Ledger.open(tmp_path, origin=ORIGIN, on_commit=epoch.publish)
    follower = Follower(tmp_path, epoch.size)
    for who in ("c1", "c2"):
        say(ledger, who, Withdrawn("s"))
    assert len(list(follower.follow(0))) == 2
    ledger.erase("c1", NOON)
    list(follower.follow(2))
    again = [each.event for each in follower.follow(0)]
    assert [getattr(each, "subject", None) for each in again] == ["c2", None]
