"""Section 12 of specs/portal.md in a real browser: a customer signs, and a regulator verifies."""

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ledger.events.envelope import EvidenceClass, Granted, Instruction
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from ledger.evidence_builder import build_evidence
from portal.jobs.departures import Leaving
from tests.browser.hosts import (
    Site,
    arrive,
    authenticator,
    come_over,
    make,
    serving,
    sign_in,
    two,
)
from tests.portal.conftest import seeded

__all__ = ["seeded", "two"]

Two = tuple[Browser, Site]
SCENE = "segmentation"
SILENT = """() => {
  navigator.credentials.get = () => Promise.reject(new DOMException("", "NotAllowedError"));
}"""


def last(site: Site, subject: str) -> Instruction:
    return site.product.ledger.history(subject)[-1].event


def said(site: Site, subject: str) -> list[str]:
    """What the customer said, with its evidence: `granted A`."""
    events = [each.event for each in site.product.ledger.history(subject)]
    return [f"{each.act.__struct_config__.tag} {each.evidence}" for each in events]


def held(site: Site, subject: str, scene: str = SCENE) -> SceneConsent | SceneWithdrawal | None:
    state = site.product.ledger.state(subject)
    return state.scenes.get(scene) if state else None


def press(page: Page, wish: str, scene: str = SCENE) -> None:
    """One press, and the page says that it is recorded."""
    with page.expect_navigation():
        page.click(f"#{scene}-{wish}")
    expect(page.locator(f"#{scene} .notice")).to_be_visible()


def centre(page: Page, site: Site) -> None:
    page.goto(f"{site.consent}/customer")


def test_enrol_grant_withdraw_rotate_recover_and_the_regulator_verifies(
    two: Two, tmp_path: Path
) -> None:
    browser, site = two
    page = arrive(browser, site, "c00020")
    device, name = authenticator(page)
    make(page, site)
    centre(page, site)
    press(page, "allow")
    press(page, "withdraw")
    make(page, site, "replace")
    centre(page, site)
    press(page, "allow")
    device.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": name})  # it is lost
    authenticator(page)
    make(page, site, "recover")
    site.clock.advance(hours=72)
    page = arrive(browser, site, "c00020")
    page.goto(f"{site.consent}/customer/keys")
    page.click("text=Use the new key from now on")
    expect(page.locator(".keys ul.items li")).to_have_count(1)
    assert said(site, "c00020") == [
        "key-enrolled C",
        "granted A",
        "withdrawn A",
        "key-replaced A",
        "granted A",
        "recovery-requested C",
        "key-recovered C",
    ]
    page.context.close()
    verdicts = [verdict(site, "c00020", seq, tmp_path) for seq in range(1, 8)]
    assert all(each.startswith("VERIFIED") for each in verdicts)
    for place in (1, 2, 3, 4):
        assert "signed    by the passkey key" in verdicts[place]
    for place in (0, 5, 6):
        assert "signed    by nobody: a session vouches for it" in verdicts[place]


def verdict(site: Site, subject: str, seq: int, folder: Path) -> str:
    """What the regulator's program says of the evidence: a process of its own, and no server."""
    home, file = site.product.home, folder / f"{seq}.evidence"
    found = build_evidence(site.product.ledger, home, subject, seq, [])
    file.write_text(str(found), encoding="utf-8", newline="")
    policies = [
        part for log in ("consent", "state") for part in ("--policy", home / f"{log}.policy")
    ]
    command = [sys.executable, "-m", "ledger.verify", "--evidence", file, *policies]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_recovered_key_signs_and_the_lost_one_does_not(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00021")
    authenticator(page)
    make(page, site)
    lost = {*site.product.ledger.state("c00021").authority.keys}  # type: ignore[union-attr] # just enrolled
    make(page, site, "recover")
    site.clock.advance(hours=72)
    sign_in(page, site, "c00021")
    come_over(page, site)
    page.goto(f"{site.consent}/customer/keys")
    page.click("text=Use the new key from now on")
    centre(page, site)
    press(page, "allow")
    assert last(site, "c00021").evidence is EvidenceClass.PASSKEY
    assert not lost & {*site.product.ledger.state("c00021").authority.keys}  # type: ignore[union-attr] # as above
    page.context.close()


@pytest.mark.parametrize(("subject", "kind"), [("c00030", "passkey"), ("c00031", "browser")])
def test_the_key_signs_that_its_owner_leaves_and_signs_for_them_after_a_return(
    two: Two, subject: str, kind: str
) -> None:
    browser, site = two
    page = arrive(browser, site, subject)
    authenticator(page)
    make(page, site, kind=kind)
    site.clock.advance(hours=72)
    sign_in(page, site, subject)
    come_over(page, site)
    site.clock.advance(minutes=6)
    page.goto(f"{site.consent}/customer/leave/everything")
    page.fill("#word", "erase")
    page.click("#leave button:not([formmethod])")
    expect(page.locator("h1")).to_have_text("You are leaving")
    site.clock.advance(hours=72)
    Leaving(site.product).run(site.clock())
    assert site.product.ledger.history(subject) == []
    sign_in(page, site, subject)
    come_over(page, site)
    press(page, "allow")
    evidence = "A" if kind == "passkey" else "B"
    assert said(site, subject) == ["key-enrolled C", f"granted {evidence}"]
    page.context.close()


def test_the_key_signs_for_the_items_that_were_allowed_before_and_no_others(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00032")
    authenticator(page)
    make(page, site)
    centre(page, site)
    press(page, "allow")
    page.goto(f"{site.consent}/customer/scenes/{SCENE}")
    with page.expect_navigation():
        page.click("#age-withdraw")
    centre(page, site)
    press(page, "withdraw")
    press(page, "allow")
    act = last(site, "c00032").act
    assert isinstance(act, Granted)
    assert {*act.fields} == {*site.product.scenes[SCENE].fields} - {"age"}
    assert said(site, "c00032")[-1] == "granted A"
    page.context.close()


def test_a_browsers_own_key_signs_as_class_b(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00022")
    make(page, site, kind="browser")
    centre(page, site)
    press(page, "allow")
    press(page, "withdraw")
    assert said(site, "c00022") == ["key-enrolled C", "granted B", "withdrawn B"]
    out = page.evaluate("""async () => {
        const open = indexedDB.open("sovereign");
        await new Promise(done => open.onsuccess = done);
        const store = open.result.transaction("keys").objectStore("keys").getAll();
        await new Promise(done => store.onsuccess = done);
        return crypto.subtle.exportKey("pkcs8", store.result[0]).then(() => "out", () => "kept");
    }""")
    assert out == "kept"
    page.context.close()


def test_granting_and_withdrawing_take_one_press_each(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00023")
    authenticator(page)
    make(page, site)
    for wish, kind in (("allow", SceneConsent), ("withdraw", SceneWithdrawal)):
        centre(page, site)
        press(page, wish)
        assert isinstance(held(site, "c00023"), kind)
        assert last(site, "c00023").evidence is EvidenceClass.PASSKEY
    page.context.close()


def test_items_and_conditions_are_signed_too(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00024")
    authenticator(page)
    make(page, site)
    page.goto(f"{site.consent}/customer/scenes/nearest-branch")
    for button in ("location-allow", "postcode_area-allow", "location-withdraw"):
        with page.expect_navigation():
            page.click(f"#{button}")
    page.goto(f"{site.consent}/customer/scenes/anomaly-detection")
    page.fill("#figure-0", "90.5")
    for button in ("condition-0-set", "condition-0-clear"):
        with page.expect_navigation():
            page.click(f"#{button}")
    assert said(site, "c00024")[1:] == [
        "granted A",
        "granted A",
        "withdrawn A",
        "trigger-set A",
        "trigger-cleared A",
    ]
    page.context.close()


def test_signing_works_in_chinese(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00025", locale="zh-CN")
    authenticator(page)
    make(page, site)
    centre(page, site)
    press(page, "allow", "anomaly-detection")
    assert last(site, "c00025").wording.locale == "zh-CN"
    assert last(site, "c00025").evidence is EvidenceClass.PASSKEY
    page.context.close()


def test_a_lost_key_stops_no_withdrawal_and_every_grant(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00026")
    device, name = authenticator(page)
    make(page, site)
    centre(page, site)
    press(page, "allow")
    device.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": name})
    device.send("WebAuthn.disable")
    page.evaluate(SILENT)
    page.click("#ai-training-allow")
    expect(page.locator("#unsigned")).to_contain_text("your key did not answer")
    press(page, "withdraw")
    assert said(site, "c00026") == ["key-enrolled C", "granted A", "withdrawn C"]
    page.context.close()


def test_without_a_script_one_withdraws_and_is_told_how_to_allow(two: Two) -> None:
    browser, site = two
    page = arrive(browser, site, "c00027")
    authenticator(page)
    make(page, site)
    centre(page, site)
    press(page, "allow")
    plain = arrive(browser, site, "c00027", javascript=False)
    plain.click("#ai-training-allow")
    expect(plain.locator("h1")).to_have_text("You need your key for this")
    centre(plain, site)
    plain.click(f"#{SCENE}-withdraw")
    expect(plain.locator(f"#{SCENE} .notice")).to_be_visible()
    assert said(site, "c00027") == ["key-enrolled C", "granted A", "withdrawn C"]
    for each in (page, plain):
        each.context.close()


def test_a_mandate_is_signed_by_a_key(two: Two) -> None:
    browser, site = two
    other = arrive(browser, site, "c00029")
    make(other, site, kind="browser")
    other.click("text=The public part")
    public = other.locator(".keys code").first.inner_text()
    page = arrive(browser, site, "c00028")
    authenticator(page)
    make(page, site)
    page.goto(f"{site.consent}/customer/mandates")
    page.fill("textarea[name=key]", public)
    page.check(f"input[value={SCENE}]")
    page.fill("input[name=until]", f"{site.clock().year + 1}-03-01")
    with page.expect_navigation():
        page.click("form.stack button")
    expect(page.locator("ul.items li")).to_have_count(1)
    page.click("ul.items button")
    expect(page.locator("ul.items li")).to_have_count(0)
    assert said(site, "c00028") == ["key-enrolled C", "mandate-given A", "mandate-ended C"]
    for each in (page, other):
        each.context.close()


def test_in_a_demonstration_a_second_name_of_the_machine_is_the_consent_host(
    two: Two, seeded: Path, tmp_path: Path
) -> None:
    browser, _ = two
    with serving(seeded, tmp_path, None) as site:
        page = arrive(browser, site, "c00021")
        assert page.url.startswith("http://consent.localhost:")
        authenticator(page)
        make(page, site)
        centre(page, site)
        press(page, "allow")
        page.context.close()
        assert said(site, "c00021") == ["key-enrolled C", "granted A"]
