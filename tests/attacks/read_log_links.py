"""What a read log's public entries say of which of them are about the same customer.

Whoever knows whose some entries are can test it: if a member of the entries is equal in more pairs
of one customer's entries than in the same entries dealt to the customers at random, it links them.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

DEALS = 999  # times that the entries are dealt at random
CHANCE = 0.01  # a member links, if a deal has as many equal pairs with at most this probability


def linking(entries: Sequence[Mapping[str, Any]], owners: Sequence[str]) -> set[str]:
    """The members, such as `views.age`, that link the entries of one customer."""
    parts = [_parts(each) for each in entries]
    return {
        name
        for name in sorted({name for each in parts for name in each})
        if _chance([each.get(name, "") for each in parts], owners) <= CHANCE
    }


def _parts(value: Mapping[str, Any], within: str = "") -> dict[str, str]:
    """Each member of an entry, and each member of it, as text."""
    parts = {}
    for name, each in value.items():
        parts[f"{within}{name}"] = json.dumps(each, sort_keys=True)
        if isinstance(each, dict):
            parts |= _parts(each, f"{within}{name}.")
    return parts


def _chance(values: Sequence[str], owners: Sequence[str]) -> float:
    """How probable so many equal pairs are, if the values say nothing of the owners."""
    random, dealt, found = Random(34), [*owners], _equal_pairs(values, owners)
    as_many = 1  # the entries as they are
    for _ in range(DEALS):
        random.shuffle(dealt)
        as_many += _equal_pairs(values, dealt) >= found
    return as_many / (DEALS + 1)


def _equal_pairs(values: Sequence[str], owners: Sequence[str]) -> int:
    counts = Counter(zip(owners, values, strict=True)).values()
    return sum(each * (each - 1) // 2 for each in counts)
