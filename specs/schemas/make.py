"""Write the JSON schemas of everything that stands in a log: `python -m specs.schemas.make`.

The schemas come from the classes that encode and decode, so they cannot differ from them;
tests/test_schemas.py keeps the files current.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from gate.journal import Reading
from gate.listing import Batch
from ledger.event import Event

FOLDER = Path(__file__).parent
SCHEMAS: dict[str, Any] = {
    "event.json": Event,
    "reading.json": Reading,
    "batch.json": Batch,
}


def text(kind: Any) -> str:
    return (
        json.dumps(msgspec.json.schema(kind), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    )


def main() -> None:
    for name, kind in SCHEMAS.items():
        (FOLDER / name).write_text(text(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
