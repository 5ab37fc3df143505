"""Clause G39 of specs/gate.md: the policy in force is announced in the consent log, once."""

from dataclasses import replace
from pathlib import Path

import pytest

from gate.policy import cedar, decisions
from ledger.events.envelope import DecisionPolicyPublished, PolicyPublished
from portal.operations import company_folder
from portal.operations.replay_grounds import grounds
from portal.operations.wiring import Product, publish_decisions, publish_policy
from tests.bank import BANK

pytestmark = pytest.mark.usefixtures("still")


def published(product: Product) -> list[str]:
    events = (entry.event for entry in product.ledger.announced())
    return [event.digest for event in events if isinstance(event, PolicyPublished)]


def test_the_policy_in_force_is_announced_once_and_kept(product: Product, tmp_path: Path) -> None:
    rules = product.gate.policy
    assert published(product) == [rules.digest]
    publish_policy(product.ledger, rules, product.home)
    assert published(product) == [rules.digest]
    assert cedar.load(product.home / "policies" / rules.digest) == rules


def test_another_policy_is_announced_and_the_first_one_again(product: Product) -> None:
    rules = product.gate.policy
    other = replace(rules, digest="f" * 64)
    publish_policy(product.ledger, other, product.home)
    publish_policy(product.ledger, rules, product.home)
    assert published(product) == [rules.digest, other.digest, rules.digest]


def test_a_replay_rests_on_the_policies_that_were_kept(product: Product, tmp_path: Path) -> None:
    law = cedar.law(cedar.law_folder())
    ours = product.gate.policy.organisation
    forbid = 'forbid (principal, action, resource) when { context.field == "age" };'
    other = cedar.check(law, cedar.Pair(ours.schema, f"{ours.rules}\n{forbid}"))
    for rules in (product.gate.policy, other):
        cedar.keep(rules, tmp_path / "policies")
    (tmp_path / "policies" / "unreadable").mkdir()
    copied = cedar.keep(replace(other, digest="f" * 64), tmp_path / "policies")
    said: list[str] = []
    company_folder.remember(tmp_path, BANK)
    found = grounds(tmp_path, [], said.append)
    assert [each.digest for each in found.policies] == [product.gate.policy.digest, other.digest]
    assert len(said) == 2
    assert any(str(copied) in each for each in said)


def test_g237_a_decision_policy_and_its_end_are_announced_once_each(product: Product) -> None:
    schema = '{"": {"entityTypes": {"user": {}, "record": {}}, "actions": {}}}'
    own, home = decisions.check("", schema, "[]"), product.home
    for each in (None, own, own, None, None, own):
        publish_decisions(product.ledger, each, home)
    events = (entry.event for entry in product.ledger.announced())
    digests = [each.digest for each in events if isinstance(each, DecisionPolicyPublished)]
    assert digests == [own.digest, decisions.NONE, own.digest]
    assert decisions.kept(home / decisions.FOLDER, own.digest) == own
