"""Versions of a contract, and which of them a customer had before their eyes.

`2.0.1`: a major version breaks those who rely on the contract or widens what it allows, a minor
one adds fields, a patch changes words. The clauses are in specs/health.md, "Versions".
"""

import re
from functools import cache

Version = tuple[int, int, int]

NONE: Version = (0, 0, 0)  # before any contract was published
_FORM = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})", re.ASCII)


@cache
def parse(text: str) -> Version:
    """Raises ValueError for anything but three plain numbers."""
    if (found := _FORM.fullmatch(text)) is None:
        raise ValueError(f"version is {text!r}, want three numbers such as 1.0.0")
    major, minor, patch = found.groups()
    return int(major), int(minor), int(patch)


def text(declared: object) -> str:
    """A version as a contract writes it. Raises ValueError."""
    parse(str(declared))
    return str(declared)


def since(declared: object, own: object = None) -> Version:
    """From which version on something was agreed to; never later than the contract's own."""
    if declared is None:
        return NONE
    first = parse(str(declared))
    if own is not None and first > parse(str(own)):
        raise ValueError(f"agreed since {declared}, but this is only version {own}")
    return first


def published(declared: str) -> Version:
    """The version an entry of the log names; one that cannot be read is older than every other."""
    return parse(declared) if _FORM.fullmatch(declared) else NONE


def covers(held: Version, since: Version, own: Version) -> bool:
    """Whether what was agreed under `held` holds under a contract of version `own` that asks for
    agreement since `since`. Nothing follows for a contract from a later major version's words."""
    return since <= held and held[0] <= own[0]
