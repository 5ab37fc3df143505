"""Clause L46 of specs/ledger.md: what the offline verifier needs, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from ledger.verify.cli import main
from tests.ledger.test_receipt import SIGNER_HERE, TEXT

BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

ALLOWED = {*sys.stdlib_module_names, "cryptography", "_cffi_backend", %r}

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Block())
"""


def test_a_file_that_cannot_be_read_is_not_one_that_does_not_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "missing"), "--key", str(tmp_path / "k")]) == 2
    assert capsys.readouterr().err.startswith("COULD NOT READ: ")


COMMANDS = {
    "python -m ledger.verify": (
        "ledger",
        "from runpy import run_module; run_module('ledger.verify', run_name='__main__')",
    ),
    "sovereign verify": (
        "portal",
        "sys.argv.insert(1, 'verify'); ALLOWED.add('ledger'); from portal.cli import main; main()",
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("valid", [True, False])
def test_l46_the_verifier_needs_the_standard_library_and_cryptography(
    command: str, tmp_path: Path, *, valid: bool
) -> None:
    (tmp_path / "a").write_text(TEXT if valid else TEXT.replace("index 2", "index 3"))
    (tmp_path / "k").write_text(f"{SIGNER_HERE.verifier}\n")
    package, run = COMMANDS[command]
    program = BLOCKED % package + run
    arguments = [str(tmp_path / "a"), "--key", str(tmp_path / "k")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == (0 if valid else 1), done.stderr
    assert ("VERIFIED\n" in done.stdout) is valid


def test_l46_the_block_blocks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED % "ledger" + "import ledger.service"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert "blocked: " in done.stderr
