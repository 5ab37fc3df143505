"""What we publish verifies with golang.org/x/mod/sumdb, an implementation that is not ours."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ledger.service import Ledger
from ledger.tlog import signed_note
from ledger.tlog.writer import Log
from tests.ledger.recorded import ledger_with
from tests.ledger.witnessing import ORIGIN, log_with

GOPATH = Path("/usr/share/gocode")
SIGNER = signed_note.generate(ORIGIN)

needs_go = pytest.mark.skipif(
    shutil.which("go") is None or not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").exists(),
    reason="needs Go and golang.org/x/mod: run tests/interop/install",
)
pytestmark = needs_go


@pytest.fixture(scope="module")
def verify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built once."""
    folder = tmp_path_factory.mktemp("go")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
    }
    source, program = Path(__file__).parent / "go", folder / "verify"
    command = ["go", "build", "-o", str(program), "."]
    subprocess.run(command, cwd=source, env=environment, check=True, timeout=300)
    return program


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ledger_with(tmp_path, customers=9).close()
    return tmp_path


@pytest.mark.parametrize("size", [1, 2, 5, 255, 256, 257, 1000, 66_000])
def test_go_verifies_checkpoint_tiles_bundles_inclusion_and_consistency(
    verify: Path, tmp_path: Path, size: int
) -> None:
    log = log_with(tmp_path, size, SIGNER)
    log.export(tmp_path / "log")
    found = run(verify, tmp_path / "log", SIGNER.verifier)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(f"{size} entries, ")


def test_go_refuses_any_file_with_a_changed_byte(verify: Path, tmp_path: Path) -> None:
    log: Log = log_with(tmp_path, 300, SIGNER)
    log.export(tmp_path / "log")
    files = sorted(path for path in (tmp_path / "log").rglob("*") if path.is_file())
    assert len(files) == 6
    for path in files:
        good = path.read_bytes()
        for at in {0, len(good) // 2, len(good) - 1}:
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            assert run(verify, tmp_path / "log", SIGNER.verifier).returncode == 1, (path, at)
        path.write_bytes(good)
    assert run(verify, tmp_path / "log", SIGNER.verifier).returncode == 0


def test_go_refuses_another_key(verify: Path, tmp_path: Path) -> None:
    log_with(tmp_path, 5, SIGNER).export(tmp_path / "log")
    assert run(verify, tmp_path / "log", signed_note.generate(ORIGIN).verifier).returncode == 1


def test_go_verifies_the_receipts_of_a_consent_ledger(verify: Path, home: Path) -> None:
    ledger = Ledger.open(home, origin=ORIGIN)
    ledger.export(home / "export")
    vkey = (home / "keys/consent.vkey").read_text().splitlines()[0]
    for index in range(ledger.size):
        receipt = home / "receipt.tlog-proof"
        receipt.write_bytes(ledger.receipt(index).encode())
        found = run(verify, home / "export", vkey, receipt)
        assert found.returncode == 0, found.stderr
        assert found.stdout == f"entry {index} of {ledger.size}\n"
        changed = receipt.read_text().replace("index ", "index 1", 1)
        receipt.write_text(changed)
        assert run(verify, home / "export", vkey, receipt).returncode == 1
    ledger.close()
