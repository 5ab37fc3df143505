"""An import of consents by command, and what it left."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from ledger.service import Ledger
from portal.commands import app
from portal.imports.moment import DAY, SECOND
from tests.bank import contracts
from tests.portal.conftest import SAID

ME, YOU = "c00041", "c00042"
SCENES = contracts()[1]
HEAD = "subject,scene,at,status\n"
GRANT = f"{ME},direct-marketing,2026-03-01T09:00:00Z,granted\n"
GOOD = HEAD + GRANT
FORMATS = {
    "%d.%m.%Y": ("1.3.2026", DAY),
    "%d.%m.%Y %H:%M": ("01.03.2026 09:00", 60 * SECOND),
    "%Y%m%d": ("20260301", DAY),
    "%m/%d/%Y %I:%M:%S %p": ("03/01/2026 09:00:00 AM", SECOND),
    "%Y-%m-%d %H:%M:%S.%f %z": ("2026-03-01 09:00:00.000001 +0000", 1000),
}


def run(home: Path, text: str | bytes, *more: str, mapping: str | None = None) -> Result:
    file = home.parent / "consents"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ["import-consents", str(file), "--source", "crm", "--data-dir", str(home)]
    if mapping is not None:
        (home.parent / "names.toml").write_text(mapping, "utf-8")
        words += ["--mapping", str(home.parent / "names.toml")]
    done = CliRunner().invoke(app, [*words, *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def size(home: Path) -> int:
    ledger = Ledger.reopen(home)
    found = ledger.size
    ledger.close()
    return found


def state(home: Path, subject: str = ME, scene: str = "direct-marketing") -> Any:
    """What is recorded of the customer on the scene; None if nothing."""
    ledger = Ledger.reopen(home)
    found = ledger.state(subject)
    ledger.close()
    return found.scenes.get(scene) if found else None


def refused(home: Path, done: Result, message: str) -> None:
    assert done.exit_code == 1, done.output
    assert message in done.output
    assert newcomers(home) == set(), "something was recorded"


def newcomers(home: Path) -> set[str]:
    """The customers who gave an instruction and had given none in the seeded ledger."""
    ledger = Ledger.reopen(home)
    found = {each for each in ledger.subjects() if each > SAID and ledger.history(each)}
    ledger.close()
    return found


def row(**cells: str) -> str:
    """A file with one row and these cells instead of the good ones."""
    good = {
        "subject": ME,
        "scene": "direct-marketing",
        "at": "2026-03-01T09:00:00Z",
        "status": "granted",
    }
    whole = good | cells
    return f"{','.join(whole)}\n{','.join(whole.values())}\n"


def receipt(purpose: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    good = {
        "purpose": "direct-marketing",
        "consentType": "EXPLICIT",
        "piiCategory": ["name", "email"],
        "primaryPurpose": True,
        "termination": "2027-03-01T00:00:00Z",
        "thirdPartyDisclosure": False,
    }
    return {
        "version": "KI-CR-v1.1.0",
        "jurisdiction": "EU",
        "consentTimestamp": 1772355600,
        "collectionMethod": "Web Form",
        "consentReceiptID": "5c1c3a7e-0000-4000-8000-000000000001",
        "language": "en",
        "piiPrincipalId": ME,
        "piiControllers": [],
        "policyUrl": "https://bank.example/p",
        "services": [{"service": "crm", "purposes": [good | dict(purpose or {})]}],
        "sensitive": False,
        "spiCat": [],
    } | changes


def without(name: str) -> dict[str, Any]:
    """A receipt whose purpose lacks a member."""
    made = receipt()
    del made["services"][0]["purposes"][0][name]
    return made


def inside(member: str, value: Any = "x") -> dict[str, Any]:
    """A receipt with one member more in its service."""
    made = receipt()
    made["services"][0][member] = value
    return made


def erase(home: Path, subject: str = ME) -> None:
    done = CliRunner().invoke(app, ["erase", subject, "--data-dir", str(home)])
    assert done.exit_code == 0, done.output
