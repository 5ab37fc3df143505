"""A codebook: what a company has written down about the columns of a table, in JSON.

    {"churn": {"title": {"en": "Gave notice last month", "zh-CN": "上月是否退网"},
               "kind": "categories", "values": ["No", "Yes"], "other": "No"},
     "note": {"description": "What the agent wrote"}}

`title` is a text in English or in several languages; without it the description is the title, if it
is short. Everything else is the public domain of the column (synthetic.model.domain); without it
the item is never synthesised.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.adoption import labels
from portal.adoption.labels import Text
from synthetic.model.domain import DomainError, column


class CodebookError(ValueError):
    """The file is no codebook. Says what was wanted and found."""


@dataclass(frozen=True, slots=True)
class CodebookEntry:
    title: Text | None = None
    domain: Mapping[str, Any] | None = None
    description: str = ""


def load(path: Path) -> dict[str, CodebookEntry]:
    """The entries by column, named as items are. Raises CodebookError."""
    try:
        read = json.loads(path.read_bytes(), object_pairs_hook=_once)
        return {normal(str(name)): _entry(name, spec) for name, spec in read.items()}
    except (OSError, ValueError, AttributeError, TypeError, DomainError) as error:
        raise CodebookError(f"{path}: want a JSON object of domains by column: {error}") from error


def normal(name: str) -> str:
    """A column's name as an item's: lower case, an underscore for what is no letter or digit."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise ValueError(f"{', '.join(twice)} stands twice: remove one")
    return dict(pairs)


def _entry(name: str, spec: Mapping[str, Any]) -> CodebookEntry:
    domain = {key: value for key, value in spec.items() if key not in {"title", "description"}}
    description = spec.get("description", "")
    try:
        labels.require_text(description, "description")
        title = labels.titles(spec["title"]) if "title" in spec else None
        if domain or not (title or description):
            column(domain)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return CodebookEntry(title, domain or None, description)
