"""The erasure list: a line that is not understood is refused (V32)."""

import shutil
from pathlib import Path

import pytest

from ledger.fsck import fsck
from ledger.vault.vault import Vault, VaultError

LINES = {
    "a word that is no kind": b"kez " + b"0" * 64,
    "a digest cut off": b"key " + b"0" * 63,
    "capital letters": b"key " + b"A" * 64,
    "bytes that are no text": b"\xff" * 68,
    "an entry without its numbers": b"entry " + b"0" * 64,
    "an empty line": b"",
}


@pytest.mark.parametrize("why", LINES)
def test_v32_a_malformed_line_is_refused(why: str, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "keys")
    vault.create(["c1", "c2"])
    shutil.copytree(tmp_path / "keys", tmp_path / "backup")
    vault.destroy("c1")
    vault.close()
    good = (tmp_path / "erased").read_bytes()
    shutil.rmtree(tmp_path / "keys")
    shutil.move(tmp_path / "backup", tmp_path / "keys")
    (tmp_path / "erased").write_bytes(LINES[why] + b"\n" + good)
    assert "erased" in [each.file for each in fsck(tmp_path)]
    with pytest.raises(VaultError, match="erased, line 1"):
        Vault(tmp_path / "keys")
