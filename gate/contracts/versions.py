"""Contract versions, and which version's grants are valid under which contract.

`2.0.1`: a major version breaks consumers or widens what the contract allows, a minor one adds
fields, a patch changes wording. Normative clauses: specs/health.md, "Versions".
"""

import re
from functools import cache

Version = tuple[int, int, int]

NONE: Version = (0, 0, 0)  # before any contract was published
_FORM = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})", re.ASCII)


@cache
def parse(text: str) -> Version:
    """Parse `major.minor.patch`. Raises ValueError."""
    if (match := _FORM.fullmatch(text)) is None:
        raise ValueError(f"version is {text!r}, want three numbers such as 1.0.0")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)


def text(declared: object) -> str:
    """Validate the version that a contract declares. Raises ValueError."""
    if not isinstance(declared, str):
        raise ValueError(f"version is {declared!r}, want three numbers such as 1.0.0")  # noqa: TRY004 - a contract's error
    parse(declared)
    return declared


def since(declared: object, own: object = None) -> Version:
    """The version from which a grant is valid; not later than the contract's own.

    Raises ValueError.
    """
    if declared is None:
        return NONE
    first = parse(text(declared))
    if own is not None and first > parse(text(own)):
        raise ValueError(f"agreed since {declared}, but this is only version {own}")
    return first


def published(declared: str) -> Version:
    """The version that a log entry names; NONE, older than all, if it cannot be parsed."""
    return parse(declared) if _FORM.fullmatch(declared) else NONE


def covers(granted: Version, since: Version, own: Version) -> bool:
    """Whether a grant under version `held` is valid under a contract of version `own`.

    `since`: the first version whose grants the contract accepts. Grants under a later major version
    are not valid.
    """
    return since <= granted and granted[0] <= own[0]
