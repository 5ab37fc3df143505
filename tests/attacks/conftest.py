"""The small bank of the portal's tests, to be attacked."""

from tests.portal.conftest import clock, seeded

__all__ = ["clock", "seeded"]
