"""The published schemas are those of the code, and what we write is valid under them."""

import json

import jsonschema
import pytest

from ledger.events import envelope
from specs.schemas.make import FOLDER, SCHEMAS, text
from tests.ledger.test_event import EVERY


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_current(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == text(SCHEMAS[name])


def test_every_event_is_valid_under_its_schema() -> None:
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "event.json").read_text()))
    for each in EVERY:
        validator.validate(json.loads(envelope.encode(each)))
    assert not validator.is_valid({"type": "granted"})
