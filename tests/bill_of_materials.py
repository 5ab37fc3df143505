"""The software bill of materials of the product, in CycloneDX 1.6 as JSON: `make sbom`.

    python -m tests.bill_of_materials dist/sbom.json

Lists what the product depends on with versions, licences and what needs what: the installed
environment's closure, as `make audit` looks at its licences. Ends with status 1, and writes
nothing, if the list does not follow CycloneDX's own schema.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.licences import PRODUCT, closure, licence


class InvalidListError(Exception):
    """The list does not follow the schema of CycloneDX."""


def bill() -> str:
    """The list, valid by its schema. Raises InvalidListError."""
    parts: dict[str, Distribution] = {
        canonicalize_name(each.name): each for each in closure(PRODUCT)
    }
    components: dict[str, Component] = {name: _component(each) for name, each in parts.items()}
    bom = Bom()
    bom.metadata.component = components[PRODUCT]
    bom.components = [each for name, each in sorted(components.items()) if name != PRODUCT]
    for name, each in parts.items():
        needed = [components[other] for other in _needs(each) if other in components]
        bom.register_dependency(components[name], needed)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    if (error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise InvalidListError(str(error))
    return text


def _component(of: Distribution) -> Component:
    name = canonicalize_name(of.name)
    address = PackageURL("pypi", name=name, version=of.version)
    return Component(
        name=name,
        version=of.version,
        type=ComponentType.APPLICATION if name == PRODUCT else ComponentType.LIBRARY,
        purl=address,
        bom_ref=str(address),
        licenses=[LicenseFactory().make_from_string(licence(of))],
    )


def _needs(of: Distribution) -> Iterator[str]:
    for each in map(Requirement, of.requires or []):
        if each.marker is None or each.marker.evaluate({"extra": ""}):
            yield canonicalize_name(each.name)


def main() -> None:
    try:
        text = bill()
    except InvalidListError as error:
        sys.exit(f"the list is not valid: {error}")
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    parts = text.count('"purl"')
    print(f"{path}: {parts} parts, valid by CycloneDX 1.6")  # noqa: T201


if __name__ == "__main__":
    main()
