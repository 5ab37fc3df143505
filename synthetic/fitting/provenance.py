"""What made a release: the synthesiser's own source, and the versions of what it runs on.

Both are digests that anyone recomputes where the product is installed, from a checkout or from a
wheel alike:

    code   SHA-256 over a line "<name> <SHA-256 of the file, hex>" for each *.py of this package
    lock   SHA-256 over a line "<name>==<version>" for each installed distribution that the product
           requires, directly or through others; lines that ask for an extra are not followed

Lines are sorted, in UTF-8, each ended by a newline; names of distributions are normalised as in
PEP 503. `sovereign synth provenance` prints digests and lines.
"""

import re
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "customer-sovereignty"
PACKAGE = Path(__file__).parents[1]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@cache
def code() -> str:
    """The digest of the synthesiser's source files, hex."""
    return _digest(files(PACKAGE))


@cache
def lock() -> str:
    """The digest of the versions that the synthesiser runs on, hex."""
    return _digest(versions(DISTRIBUTION))


def files(package: Path) -> list[str]:
    """A line for every source file."""
    return [
        f"{path.relative_to(package).as_posix()} {sha256(path.read_bytes()).hexdigest()}"
        for path in package.rglob("*.py")
    ]


def versions(distribution: str) -> list[str]:
    """A line for every installed distribution that `distribution` requires.

    Without the distribution itself, whose code has a digest of its own. None where it is not
    installed.
    """
    found: dict[str, str] = {}
    waiting = _required(distribution)
    while waiting:
        name = _normal(waiting.pop())
        if name not in found and (version := _version(name)):
            found[name] = version
            waiting += _required(name)
    found.pop(_normal(distribution), None)
    return [f"{name}=={version}" for name, version in found.items()]


def _required(name: str) -> list[str]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    plain = (line for line in lines if "extra" not in line.partition(";")[2])
    return [found[0] for line in plain if (found := _NAME.match(line))]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(lines: Iterable[str]) -> str:
    return sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()
