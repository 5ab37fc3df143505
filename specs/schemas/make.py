"""Write the JSON schemas of everything that stands in a log: `python -m specs.schemas.make`.

The schemas come from the classes that encode and decode, so they cannot differ from them;
tests/test_schemas.py keeps the files current.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from gate.readlog.batch_entry import DecisionBatch
from gate.readlog.writer import ReadLogEntry
from ledger.events.envelope import Event

FOLDER = Path(__file__).parent
SCHEMAS: dict[str, Any] = {
    "event.json": Event,
    "reading.json": ReadLogEntry,
    "batch.json": DecisionBatch,
}


NAMES = ("fields", "scenes")  # of an act: at least one (E3)


def text(kind: Any) -> str:
    schema = msgspec.json.schema(kind)
    for name in ("Granted", "Imported", "Limited", "MandateGiven", "Withdrawn"):
        for part in NAMES:
            _require_one(schema.get("$defs", {}).get(name, {}).get("properties", {}).get(part, {}))
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _require_one(member: dict[str, Any]) -> None:
    for each in (member, *member.get("anyOf", ())):
        if each.get("type") == "array":
            each["minItems"] = 1


def main() -> None:
    for name, kind in SCHEMAS.items():
        (FOLDER / name).write_text(text(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
