"""Provenance of a release: digests of the synthesiser's source and of its dependencies' versions.

Anyone can recompute both where the product is installed, from a checkout or a wheel:

    code   SHA-256 over a line "<name> <SHA-256 of the file, hex>" for each *.py of this package
    lock   SHA-256 over a line "<name>==<version>" for each installed distribution that the product
           requires, directly or indirectly; requirements for an extra are not followed

Lines are sorted, in UTF-8, each with a final newline; names of distributions are normalised as in
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
    """The digest of the installed versions that the synthesiser depends on, hex."""
    return _digest(versions(DISTRIBUTION))


def files(package: Path) -> list[str]:
    """One line per source file of the package."""
    return [
        f"{path.relative_to(package).as_posix()} {sha256(path.read_bytes()).hexdigest()}"
        for path in package.rglob("*.py")
    ]


def versions(distribution: str) -> list[str]:
    """One line per installed distribution that `distribution` requires.

    The distribution itself is left out, because its code has its own digest. Empty if it is not
    installed.
    """
    installed: dict[str, str] = {}
    waiting = _required(distribution)
    while waiting:
        name = _normal(waiting.pop())
        if name not in installed and (version := _version(name)):
            installed[name] = version
            waiting += _required(name)
    installed.pop(_normal(distribution), None)
    return [f"{name}=={version}" for name, version in installed.items()]


def _required(name: str) -> list[str]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    plain = (line for line in lines if "extra" not in line.partition(";")[2])
    return [match[0] for line in plain if (match := _NAME.match(line))]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(lines: Iterable[str]) -> str:
    return sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()
