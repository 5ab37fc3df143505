"""The controller's details in consent records, taken from the settings.

The demonstration fills in missing details with values that name it. Anywhere else a consent record
with a missing detail is refused, because people keep these documents.
"""

from portal.operations.settings import Settings
from steward.dpv.party import Organisation, Party

DEMONSTRATION = {
    "controller_name": "Demonstration company (it does not exist)",
    "controller_id": "urn:sovereign:demonstration:controller",
    "controller_address": "1 Demonstration Street, Nowhere (it does not exist)",
    "controller_email": "privacy@portal.invalid",
    "jurisdiction": "EU",
    "storage_location": "EU",
}
CENTRE = "/customer"


class UnstatedError(ValueError):
    """The settings lack facts that a consent record must state."""


def stated(settings: Settings) -> bool:
    """Whether consent records can be made."""
    return all(_facts(settings).values())


def organisation(settings: Settings) -> Organisation:
    """The controller and its partners. Raises UnstatedError."""
    facts = _facts(settings)
    if missing := [name for name, value in facts.items() if not value]:
        raise UnstatedError(
            f"want {', '.join(DEMONSTRATION)} in the settings, found no {', '.join(missing)}: a"
            " consent record must say who is responsible; set them (sovereign.toml, SOVEREIGN_…)"
        )
    controller = Party(
        facts["controller_id"],
        facts["controller_name"],
        facts["controller_address"],
        facts["controller_email"],
    )
    partners = {
        service: Party(each.id, each.name, each.address, each.email)
        for service, each in settings.partners.items()
    }
    centre = (settings.login_origin or f"http://localhost:{settings.port}") + CENTRE
    return Organisation(
        controller, facts["jurisdiction"], facts["storage_location"], centre, partners
    )


def _facts(settings: Settings) -> dict[str, str]:
    facts = {name: getattr(settings, name) for name in DEMONSTRATION}
    if not settings.demo:
        return facts
    return {name: value or DEMONSTRATION[name] for name, value in facts.items()}
