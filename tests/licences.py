"""The licences of everything that the product depends on: `make audit`.

    python -m tests.licences

Prints one line a library, and exits with 1 if one is under the GPL or the AGPL (the LGPL is fine)
or names no licence at all.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

PRODUCT = "customer-sovereignty"
UNSTATED = {"cedarpy": "Apache-2.0"}  # by the file licenses/LICENSE that the wheel carries
REFUSED = re.compile(r"(?<!L)\bA?GPL|(?<!Lesser )General Public License|Affero", re.IGNORECASE)
LESSER = re.compile(r"LGPL|Lesser General Public", re.IGNORECASE)


def closure(name: str, seen: set[str] | None = None) -> Iterator[Distribution]:
    """The distributions that `name` needs in this environment, without its extras."""
    seen = set() if seen is None else seen
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return  # for another platform or another Python
    if (key := re.sub(r"[-_.]+", "-", found.name).lower()) in seen:
        return
    seen.add(key)
    yield found
    for requirement in found.requires or []:
        if "extra ==" not in requirement:
            yield from closure(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0], seen)


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
