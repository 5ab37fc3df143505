"""Print the SoftHSM that the tests of hardware modules use, installing it if there is none.

Looks for, in this order: $SOFTHSM2_MODULE, the usual places. If there is none it installs Debian's
package when run as root with apt. Without it those tests say loudly that they did not run.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

PLACES = (
    os.environ.get("SOFTHSM2_MODULE", ""),
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
WANTED = (
    "NOT TESTED: keys in a hardware module. SoftHSM is missing and could not be installed; "
    "install it (Debian: apt-get install softhsm2) or set SOFTHSM2_MODULE=path"
)


def find() -> str | None:
    """The first module that exists, or None."""
    return next((place for place in PLACES if place and Path(place).exists()), None)


@cache
def find_or_install() -> str | None:
    """A module, installed now if need be."""
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "-q", "softhsm2"]
        if not _run(install):
            _run(["apt-get", "update", "-q"])
            _run(install)
        found = find()
    return found


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


def _run(command: list[str]) -> bool:
    sys.stderr.write(f"$ {' '.join(command)}\n")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, check=False, stdout=sys.stderr, env=environment).returncode == 0


if __name__ == "__main__":
    sys.stdout.write(f"{find_or_install() or WANTED}\n")
