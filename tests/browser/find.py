"""Print the Chromium that the browser tests use, installing one if there is none.

Looks for, in this order: $CHROMIUM, the usual names on the PATH, Playwright's own download. If
there is none it installs one: Debian's packages when run as root with apt, else Playwright's.
The headless shell comes first: the same engine without the windows around it takes half of the
processor time. Pages in Chinese need a font for it: `fonts-noto-cjk` is installed along.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
BROWSERS = ("chromium-headless-shell", "chromium")  # packages; not every Debian has the first
FONT = "fonts-noto-cjk"


class NoBrowserError(RuntimeError):
    """No Chromium is here and none could be installed."""


def find() -> Path | None:
    """The first Chromium that exists, or None."""
    return next((path for path in _candidates() if path.is_file()), None)


def find_or_install() -> Path:
    """A Chromium, installed now if need be. Raises NoBrowserError."""
    found = find()
    if found is None or not _has_chinese():
        _install(fonts_only=found is not None)
    found = found or find()
    if found is None:
        raise NoBrowserError(
            "want a Chromium for the browser tests, found none and could not install one; "
            "install it (Debian: apt-get install chromium fonts-noto-cjk) or set CHROMIUM=path"
        )
    return found


def arguments() -> list[str]:
    """What Chromium must be started with: root has no sandbox."""
    return ["--no-sandbox"] if _is_root() else []


def _candidates() -> Iterator[Path]:
    if named := os.environ.get("CHROMIUM"):
        yield Path(named)
    yield from (Path(path) for name in NAMES if (path := shutil.which(name)))
    own = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    for pattern in (
        "chromium_headless_shell-*/chrome-linux*/headless_shell",
        "chromium-*/chrome-linux*/chrome",
        "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
    ):
        yield from sorted(own.glob(pattern), reverse=True)


def _install(*, fonts_only: bool) -> None:
    if _is_root() and shutil.which("apt-get"):
        wanted = [[FONT]] if fonts_only else [[each, FONT] for each in BROWSERS]
        install = ["apt-get", "install", "-y", "-q"]
        if any(_run([*install, *each]) for each in wanted):
            return
        if _run(["apt-get", "update", "-q"]) and any(_run([*install, *each]) for each in wanted):
            return
    if not fonts_only:
        _run([sys.executable, "-m", "playwright", "install", "chromium"])


def _run(command: list[str]) -> bool:
    sys.stderr.write(f"$ {' '.join(command)}\n")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, check=False, stdout=sys.stderr, env=environment).returncode == 0


def _has_chinese() -> bool:
    """Whether a font covers Chinese; without fontconfig the platform brings its own."""
    if not shutil.which("fc-list"):
        return True
    fonts = subprocess.run(["fc-list", ":lang=zh-cn"], check=False, capture_output=True)
    return bool(fonts.stdout.strip())


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{find_or_install()}\n")
    except NoBrowserError as error:
        sys.exit(str(error))
