"""The company signs a private log with keys that it retired, or with keys that came later.

A retired key may have signed the checkpoints of its time, and no later ones: specs/ledger.md, L85.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.fsck import fsck
from ledger.keys import log_keys
from ledger.service import Ledger
from ledger.tlog import merkle, policy
from ledger.tlog.checkpoint import Checkpoint
from ledger.tlog.policy import LogPolicy
from ledger.tlog.signed_note import Signing, sign
from ledger.verify import receipt
from ledger.verify.cli import main
from tests.ledger.events import NOON, ORIGIN
from tests.ledger.worlds import AGE, opened, say

ROTATED = 6  # entries when the keys were rotated: three instructions, and three more of rotations


@dataclass
class Rotated:
    """A ledger whose keys were rotated after an instruction, and again after another."""

    home: Path
    ledger: Ledger
    keys: list[Sequence[Signing]]  # of the consent log, in their order
    honest: str  # a receipt of the first keys' time

    def forged(self, keys: Sequence[Signing], size: int) -> str:
        """A receipt of the newest instruction in a private log of this many entries."""
        made = receipt.parse(self.ledger.receipt(self.ledger.size - 1))
        (entry,) = self.ledger.log.entries(self.ledger.size - 1, self.ledger.size)
        leaves = merkle.leaf_hashes([entry, *(b"x" for _ in range(size - 1))])
        root, proof = proven(leaves)
        head = Checkpoint(ORIGIN, size, root)
        return str(receipt.Receipt(0, proof, sign(str(head), keys), made.extra))


def proven(leaves: list[bytes]) -> tuple[bytes, tuple[bytes, ...]]:
    """The root, and the path of the first leaf."""

    def node(level: int, index: int) -> bytes:
        return merkle.complete_root(leaves[index << level : (index + 1) << level])

    return merkle.root(len(leaves), node), (*merkle.prove_inclusion(0, len(leaves), node),)


@pytest.fixture
def rotated(tmp_path: Path) -> Iterator[Rotated]:
    with closing(opened(tmp_path)) as ledger:
        (first,) = say(ledger, "c1", AGE)
        keys = [log_keys.keys(tmp_path, ORIGIN).consent]
        honest = ledger.receipt(first.index)
        for _ in range(2):
            ledger.rotate(tmp_path, NOON)
            keys.append(log_keys.keys(tmp_path, ORIGIN).consent)
            say(ledger, "c1", AGE)
        yield Rotated(tmp_path, ledger, keys, honest)


def verdict(rotated: Rotated, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `sovereign verify` prints under the company's own, current policy."""
    (rotated.home / "given").write_text(text, newline="")
    arguments = [str(rotated.home / "given"), f"--policy={rotated.home / 'consent.policy'}"]
    status = main(arguments)
    out, err = capsys.readouterr()
    assert status == (0 if out else 1)
    return out or err


FORGED = {  # the keys by their order, and the size of the private log
    "retired keys, a later size": (0, 100, "from 0 to 4 (not included)"),
    "retired keys, the size after the rotation": (0, 4, "from 0 to 4 (not included)"),
    "keys that were retired later, a later size": (1, 7, "from 3 to 7 (not included)"),
    "keys that were retired later, a size before their time": (1, 2, "from 3 to 7 (not included)"),
    "the active keys, a size before their time": (2, 5, "from 6 to * (not included)"),
}


@pytest.mark.parametrize("why", FORGED)
def test_a_retired_key_signs_no_later_checkpoint(
    rotated: Rotated,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    why: str,
) -> None:
    number, size, sizes = FORGED[why]
    forged = rotated.forged(rotated.keys[number], size)
    told = verdict(rotated, forged, capsys)
    assert f"NOT VERIFIED: a checkpoint of {size} entries, signed by the key" in told
    assert sizes in told
    assert "VERIFIED" in verdict(rotated, rotated.honest, capsys)
    assert "NOT" not in verdict(rotated, rotated.ledger.receipt(0), capsys)
    monkeypatch.setattr(LogPolicy, "may_sign", lambda *_: True)  # a verifier without the check
    assert verdict(rotated, forged, capsys).startswith("VERIFIED")


def test_keys_sign_at_the_sizes_of_the_rotation_itself(rotated: Rotated) -> None:
    trusted = policy.parse((rotated.home / "consent.policy").read_bytes())
    names = ["+".join(str(keys[0].verifier).split("+")[:2]) for keys in rotated.keys]
    sizes = [trusted.ranges[name] for name in names]
    assert [str(each) for each in sizes] == ["0 4", "3 7", "6 *"]
    states = policy.parse((rotated.home / "state.policy").read_bytes())
    assert sorted(map(str, states.ranges.values())) == ["0 3"] * 2 + ["2 5"] * 2 + ["4 *"] * 2


def test_keys_that_an_earlier_version_retired_are_limited_at_the_next_start(
    rotated: Rotated,
) -> None:
    home, ledger = rotated.home, rotated.ledger
    ledger.close()
    places = [*home.glob("*.policy"), *home.glob("keys/*.retired.policy")]
    before = {path: path.read_text() for path in places}
    for path, text in before.items():
        lines = text.splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("range ")))
    with closing(opened(home)):
        assert {path: unordered(path.read_text()) for path in places} == {
            path: unordered(text) for path, text in before.items()
        }
    assert [*fsck(home)] == []


def unordered(text: str) -> list[str]:
    return sorted(text.splitlines())


def test_a_start_that_would_forget_a_range_is_refused_and_fsck_finds_it(rotated: Rotated) -> None:
    home = rotated.home
    rotated.ledger.close()
    retired = home / "keys/consent.retired.policy"
    retired.write_text(retired.read_text().replace(" 0 4\n", " 0 400\n"))
    found = [str(each) for each in fsck(home)]
    assert any("the sizes that its keys may sign are not those of" in each for each in found)
    with pytest.raises(Exception, match=r"consent\.retired\.policy is missing or lacks keys"):
        opened(home)
