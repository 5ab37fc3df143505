"""The licences of everything that the product depends on: `make audit`.

    python -m tests.licences

Prints one line a library, and exits with 1 if one is under the GPL or the AGPL (the LGPL is fine)
or names no licence at all.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PRODUCT = "customer-sovereignty"
UNSTATED = {"cedarpy": "Apache-2.0"}  # by the file licenses/LICENSE that the wheel carries
REFUSED = re.compile(r"(?<!L)\bA?GPL|(?<!Lesser )General Public License|Affero", re.IGNORECASE)
LESSER = re.compile(r"LGPL|Lesser General Public", re.IGNORECASE)


def closure(
    name: str, extras: Iterable[str] = (), seen: set[tuple[str, str]] | None = None
) -> Iterator[Distribution]:
    """The distributions that `name` with these extras needs in this environment, each once."""
    seen = set() if seen is None else seen
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return  # for another platform or another Python
    key = canonicalize_name(found.name)
    wanted = {*extras, ""} - {extra for each, extra in seen if each == key}
    if (key, "") not in seen:
        yield found
    seen |= {(key, extra) for extra in wanted}
    for each in map(Requirement, found.requires or []):
        if any(each.marker is None or each.marker.evaluate({"extra": x}) for x in wanted):
            yield from closure(each.name, each.extras, seen)


def licence(found: Distribution) -> str:
    """What the distribution says of its licence: an expression, classifiers, or a first line."""
    metadata = found.metadata
    classifiers = [
        each.rpartition("::")[2].strip()
        for each in metadata.get_all("Classifier") or []
        if each.startswith("License ::")
    ]
    stated = str(metadata.json.get("license") or "").strip().partition("\n")[0]
    expression = str(metadata.json.get("license_expression") or "") or UNSTATED.get(found.name, "")
    return expression or " / ".join(classifiers) or stated


def refused(text: str) -> bool:
    return not text or bool(REFUSED.search(LESSER.sub("", text)))


def main() -> int:
    bad = 0
    for found in sorted(closure(PRODUCT), key=lambda each: each.name.lower()):
        text = licence(found)
        mark = "REFUSED" if refused(text) else "ok"
        bad += mark == "REFUSED"
        print(f"{mark:8}{found.name:32}{text or 'no licence stated'}")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
