"""Organisation policy in Cedar: checked before use, and a no whenever in doubt."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.contracts.scene import Scene
from gate.decision.decide import frozen, personal
from gate.policy import cedar
from gate.policy.cedar import FAR, CedarPolicy, CedarPolicyError, Pair, PolicyFacts
from gate.policy.compiled import compile_plan
from gate.state import consent_bits
from tests.bank import BANK
from tests.campaign import sized
from tests.gate.scenes import SCENES, SEGMENTATION, SERVICE

POLICY = cedar.law_folder()

SHIPPED = cedar.load(POLICY, BANK / "policy")
LAW = cedar.law(POLICY)
OURS = Pair(
    (POLICY / "organisation.cedarschema").read_text(),
    (BANK / "policy" / "organisation.cedar").read_text(),
)
LIVE = PolicyFacts("age", granted=True, minute=0, until=FAR, frozen=False)


def test_the_shipped_policy_offers_what_the_contract_names() -> None:
    assert cedar.offered(SHIPPED, SEGMENTATION, "analytics") == {*SEGMENTATION.fields}
    assert cedar.offered(SHIPPED, SEGMENTATION, "stranger") == frozenset()


def test_a_partner_may_ask_only_where_sharing_is_the_purpose() -> None:
    partner = replace(SEGMENTATION.services[0], id="partner", partner=True)
    shared = replace(SEGMENTATION, services=(partner,))
    assert cedar.offered(SHIPPED, shared, "partner") == frozenset()
    sharing = replace(shared, id="third-party-sharing")
    assert cedar.offered(SHIPPED, sharing, "partner") == {*SEGMENTATION.fields}


NO_GRANT = {
    "not granted": replace(LIVE, granted=False),
    "expired": replace(LIVE, minute=7, until=7),
    "frozen": replace(LIVE, frozen=True),
}


@pytest.mark.parametrize("why", NO_GRANT)
def test_the_law_forbids_without_a_live_grant(why: str) -> None:
    asked = [LIVE, NO_GRANT[why]]
    assert cedar.permits(SHIPPED, SEGMENTATION, "analytics", asked) == [True, False]
    assert cedar.permits(SHIPPED, SERVICE, "analytics", asked) == [True, True]


def test_an_erroring_forbid_denies() -> None:
    """Cedar itself would skip the forbid and allow."""
    rules = checked("forbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };")
    assert cedar.permits(rules, SEGMENTATION, "analytics", [LIVE]) == [False]


def test_the_organisation_cannot_let_in_whom_the_contract_does_not_name() -> None:
    rules = checked("permit (principal, action, resource);")
    assert cedar.offered(rules, SEGMENTATION, "stranger") == frozenset()


BAD = {
    "an unknown attribute": "permit(principal,action,resource) when {resource.x};",
    "the time": "permit(principal,action,resource) when {context.minute > 7};",
    "the customer's consent": "permit(principal,action,resource) when {!context.granted};",
    "half a policy": "permit(",
    "deep nesting": "(" * 100,
    "many negations": "permit(principal,action,resource) when {" + "!" * 30_000 + "true};",
    "too many bytes": "// " + "x" * cedar.MAX_BYTES,
    "a NUL byte": "permit(principal,action,resource)\0;",
    "another type": "permit(principal,action,resource) when {context.field > true};",
}


@pytest.mark.parametrize("why", BAD)
def test_a_policy_that_does_not_pass_is_not_used(why: str) -> None:
    with pytest.raises(CedarPolicyError):
        cedar.check(LAW, Pair(OURS.schema, BAD[why]))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(CedarPolicyError, match=r"consent\.cedar"):
        cedar.load(POLICY / "nowhere")


RULES = [
    "",
    'forbid (principal, action, resource) when { context.field == "age" };',
    'forbid (principal == Service::"crm", action, resource);',
    'forbid (principal, action, resource) when { resource.fallback == "withhold" };',
    'forbid (principal, action, resource) unless { resource.basis == "consent" };',
    'permit (principal, action, resource) when { context.field == "job" };',
    'forbid (principal, action, resource) when { resource.purpose == "x" && 0 - 9 > 0 };',
    "forbid (principal, action, resource) when { 9223372036854775807 + 1 > 0 };",
]
POLICIES: dict[str, CedarPolicy] = {}


def checked(extra: str) -> CedarPolicy:
    if extra not in POLICIES:
        POLICIES[extra] = cedar.check(LAW, Pair(OURS.schema, f"{OURS.rules}\n{extra}"))
    return POLICIES[extra]


@settings(max_examples=sized(100, 1500), deadline=None)
@given(
    st.sampled_from(RULES),
    st.sampled_from([*SCENES.values()]),
    st.sampled_from(["analytics", "crm", "stranger"]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**28),
    st.integers(0, 15).map(lambda bits: bits << 28),
)
def test_the_plan_decides_as_full_cedar_does(
    extra: str, contract: Scene, service: str, consent: int, minute: int, stale: int
) -> None:
    rules = checked(extra)
    plan = compile_plan(
        service,
        contract,
        offered=cedar.offered(rules, contract, service),
        release=None,
    )
    asked = [
        PolicyFacts(
            name,
            granted=bool(consent & bit),
            minute=minute,
            until=consent >> consent_bits.EXPIRY_SHIFT,
            frozen=frozen(consent, stale),
        )
        for name, bit in plan.bits.items()
    ]
    planned = personal(plan, consent, minute, stale) & plan.offered
    assert cedar.permits(rules, contract, service, asked) == [
        bool(planned & bit) for bit in plan.bits.values()
    ]


def test_a_policy_is_kept_as_it_was_read(tmp_path: Path) -> None:
    place = cedar.keep(SHIPPED, tmp_path)
    assert place.name == SHIPPED.digest
    assert cedar.load(place) == SHIPPED
    assert cedar.keep(SHIPPED, tmp_path) == place


LONG = {
    "a long sum": "1" + " + 1" * 12_000 + " > 0",
    "a long disjunction": "true" + " || true" * 7_000,
    "many signs": "-" * 60_000 + "1 < 0",
    "a long chain of alternatives": "if true then true else " * 2_500 + "true",
}


@pytest.mark.parametrize("why", LONG)
def test_a_policy_that_passes_can_be_evaluated(why: str) -> None:
    """Either it does not pass, or the gate decides by it without falling over."""
    rule = f"permit (principal, action, resource) when {{ {LONG[why]} }};"
    try:
        rules = cedar.check(LAW, Pair(OURS.schema, rule))
    except CedarPolicyError:
        return
    assert len(cedar.permits(rules, SEGMENTATION, "analytics", [LIVE])) == 1
