"""Clause G39 of specs/gate.md: the policy in force is announced in the consent log, once."""

from dataclasses import replace
from pathlib import Path

import pytest

from gate import policy
from ledger.event import PolicyPublished
from portal.product import Product, publish_policy

pytestmark = pytest.mark.usefixtures("still")


def published(product: Product) -> list[str]:
    events = (entry.event for entry in product.ledger.announced())
    return [event.digest for event in events if isinstance(event, PolicyPublished)]


def test_the_policy_in_force_is_announced_once_and_kept(product: Product, tmp_path: Path) -> None:
    rules = product.gate.policy
    assert published(product) == [rules.digest]
    publish_policy(product.ledger, rules, product.home)
    assert published(product) == [rules.digest]
    assert policy.load(product.home / "policies" / rules.digest) == rules


def test_another_policy_is_announced_and_the_first_one_again(product: Product) -> None:
    rules = product.gate.policy
    other = replace(rules, digest="f" * 64)
    publish_policy(product.ledger, other, product.home)
    publish_policy(product.ledger, rules, product.home)
    assert published(product) == [rules.digest, other.digest, rules.digest]
