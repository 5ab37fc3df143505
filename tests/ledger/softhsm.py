"""A hardware module in software: SoftHSM. Debian has it as `softhsm2`."""

import os
import subprocess
from pathlib import Path

PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
MODULE = next((place for place in PLACES if Path(place).exists()), None)
WANTED = "NOT TESTED: keys in a hardware module. SoftHSM is missing: apt-get install softhsm2"


def token(module: str, folder: Path) -> str:
    """The URI of a fresh token, whose PIN lies in a file. The module reads its settings once."""
    (folder / "tokens").mkdir()
    settings = f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n"
    (folder / "softhsm2.conf").write_text(f"{settings}log.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    begin = "softhsm2-util --init-token --free --label house --pin 1234 --so-pin 5678"
    subprocess.run(begin.split(), check=True, capture_output=True)
    (folder / "pin").write_text("1234\n")
    return f"pkcs11:token=house?module-path={module}&pin-source={folder / 'pin'}"
