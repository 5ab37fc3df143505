"""Personal rows of a table under `minimumGroup` (G130)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Domain = Mapping[str, Any]  # as the source contract writes it


def published(rows: Mapping[str, Row], domains: Mapping[str, Domain], least: int) -> Counter[Any]:
    """How often each coarsened row may leave: as (item, value) pairs, in the items' order."""
    alike = Counter(
        tuple((name, coarse(row[name], domains[name])) for name in domains) for row in rows.values()
    )
    whole = {row: count - count % least for row, count in alike.items()}
    return Counter({row: count for row, count in whole.items() if count})


def coarse(value: Any, domain: Domain) -> Any:
    """The middle of a number's bin, rounded down to a whole one; a category, or what is `other`.

    What is missing is `other`, too, unless the domain is `nullable`.
    """
    if value is None and domain.get("nullable") == "true":
        return None
    if domain["kind"] == "categories":
        return value if value in domain["values"] else domain["other"]
    borders = [int(each) for each in (domain["lower"], *domain["edges"], domain["upper"])]
    return _middle(value, borders)


def _middle(value: float, borders: Sequence[int]) -> int:
    inner = [each for each in borders[1:-1] if each <= value]
    return (borders[len(inner)] + borders[len(inner) + 1]) // 2
