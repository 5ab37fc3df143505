"""specs/ledger.md, L140: damaged directories open and are whole, or are refused with what to do."""

from pathlib import Path
from random import Random

import pytest

from tests.campaign import sized
from tests.crash import directories
from tests.crash.directories import NAMED, OPENS, REFUSED, RIGHT, Sound, Treatment

ALL = 1_000  # more than there are


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return directories.made(tmp_path_factory.mktemp("sound"))


@pytest.mark.campaign
def test_l140_a_directory_opens_and_is_whole_or_is_refused_with_what_to_do(
    sound: Sound, tmp_path: Path
) -> None:
    every = [*directories.treatments(sound)]
    assert len(every) >= 150
    chosen = Random(4).sample(every, min(sized(32, ALL), len(every)))
    found = directories.run(chosen, sound, tmp_path)
    assert {name: told for name, told in found.items() if told not in RIGHT} == {}
    assert {OPENS, REFUSED} <= {*found.values()}


def test_l140_a_wrong_outcome_is_noticed(sound: Sound, tmp_path: Path) -> None:
    def forgets(_: Sound, home: Path) -> None:
        (home / "log/consent/checkpoint").unlink()

    def damages(_: Sound, home: Path) -> None:
        (home / "log/consent/checkpoint").unlink()
        data = bytearray((home / "ledger.sqlite").read_bytes())
        at = data.index(b"sovereign-no-such") if b"sovereign-no-such" in data else len(data) - 700
        data[at : at + 64] = bytes(64)
        (home / "ledger.sqlite").write_bytes(data)

    wrong = [Treatment("forgets", forgets), Treatment("damages", damages)]
    found = directories.run(wrong, sound, tmp_path)
    assert found["forgets"] in (NAMED, OPENS)
    assert found["damages"] != OPENS
