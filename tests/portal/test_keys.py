"""Section 12 of specs/portal.md: the customer's own keys, without a browser."""

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any, cast

import pytest

from ledger.events import envelope
from ledger.events.envelope import (
    EvidenceClass,
    Instruction,
    KeyEnrolled,
    KeyRecovered,
    KeyRemoved,
    KeyReplaced,
    MandateEnded,
    MandateGiven,
    RecoveryCancelled,
    RecoveryRequested,
)
from ledger.events.reducer import SceneConsent, SceneWithdrawal
from portal.auth.consent_keys import ConsentKeyStore
from portal.consent import keys, wording
from portal.operations.settings import Settings
from portal.operations.wiring import Product
from portal.storage.departures import Departures
from tests.features.own_key import KeyHolder
from tests.features.served import Person as Visitor
from tests.ledger.hands import Passkey
from tests.portal.conftest import CUSTOMERS, Clock, copy
from tests.portal.signer import (
    CONSENT,
    ENGLISH,
    LOGIN,
    ME,
    PARTY,
    SCRIPT,
    Person,
    hand,
    passkey,
    person,
)

SCENE = "segmentation"  # which `me` has not allowed
ALLOWED = "nearest-branch"  # which `me` has


@pytest.fixture(scope="module")
def product(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Product:
    """For all tests of this file: each that records takes a customer of its own."""
    home = tmp_path_factory.mktemp("keys") / "home"
    return copy(seeded, home, consent_origin=CONSENT, login_origin=LOGIN)


@pytest.fixture(scope="module")
def fresh() -> Iterator[str]:
    """Customers who never said anything."""
    return (f"c{number:05d}" for number in range(13, CUSTOMERS + 1))


@pytest.fixture
def reader(product: Product, clock: Clock) -> Person:
    """On the consent host, without a key, and recording nothing."""
    return person(product, clock).cross()


@pytest.fixture
def me(product: Product, clock: Clock, fresh: Iterator[str]) -> Person:
    """On the consent host, without a key, having allowed one scene."""
    somebody = person(product, clock, next(fresh)).cross()
    assert somebody.press(ALLOWED, "allow").status_code == 303
    return somebody


@pytest.fixture
def key(me: Person) -> Passkey:
    """A passkey in force."""
    return me.enrol()


def last(me: Person) -> Instruction:
    return me.product.ledger.history(me.subject)[-1].event


def in_force(me: Person) -> set[bytes]:
    state = me.product.ledger.state(me.subject)
    return {*state.authority.keys} if state else set()


def held(me: Person, scene: str) -> SceneConsent | SceneWithdrawal | None:
    state = me.product.ledger.state(me.subject)
    return state.scenes.get(scene) if state else None


BAD_ORIGINS = {
    "one host": ("https://a.example", "https://a.example:8443"),
    "login below consent": ("https://a.example", "https://login.a.example"),
    "a path": ("https://a.example/consent", "https://b.example"),
    "no scheme": ("a.example", "https://b.example"),
    "capital letters": ("https://A.example", "https://b.example"),
    "a port that goes without saying": ("https://a.example:443", "https://b.example"),
    "a name and password": ("https://a.example", "https://me:secret@b.example"),
    "one alone": ("https://a.example", ""),
}


@pytest.mark.parametrize("origins", BAD_ORIGINS.values(), ids=BAD_ORIGINS.keys())
def test_hosts_whose_logins_could_use_the_keys_are_refused(origins: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="want"):
        Settings(consent_origin=origins[0], login_origin=origins[1])


@pytest.mark.parametrize("path", ["/login", "/login/passkey/options", "/login/passkey", "/handoff"])
def test_nobody_signs_in_on_the_consent_host(reader: Person, path: str) -> None:
    answer = reader.consent.post(path, data={"customer": ME}, follow_redirects=False)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/desk", "/customer/passkeys", "/login/provider", "/docs?a=b"]
)
def test_whatever_else_is_asked_of_it_leads_to_the_other_host(reader: Person, path: str) -> None:
    answer = reader.consent.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{LOGIN}{path}")


def test_a_signed_out_customer_is_led_to_where_one_signs_in(reader: Person) -> None:
    reader.consent.post("/logout", follow_redirects=False)
    front = reader.consent.get("/customer", follow_redirects=False).headers["location"]
    assert front == "/"
    assert reader.consent.get(front, follow_redirects=False).headers["location"] == f"{LOGIN}/"


def test_one_press_brings_a_customer_over(product: Product, clock: Clock) -> None:
    me = person(product, clock)
    page = me.login.post("/customer/continue")
    assert f'action="{CONSENT}/enter"' in page.text
    assert f"form-action 'self' {CONSENT}" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "strict-origin"
    assert me.cross().consent.get("/customer").status_code == 200


def test_the_code_that_brings_over_works_once_and_for_a_minute(
    product: Product, clock: Clock
) -> None:
    me = person(product, clock)
    code = me.code()
    assert me.enter(code).status_code == 303
    assert me.enter(code).status_code == 401
    late = me.code()
    clock.advance(seconds=60)
    assert me.enter(late).status_code == 401


def test_the_first_key_is_enrolled_in_the_session(me: Person) -> None:
    key = me.enrol()
    said = last(me)
    assert isinstance(said.act, KeyEnrolled)
    assert said.evidence is EvidenceClass.SESSION
    assert (said.act.key.rp, said.act.key.origins) == (PARTY, (CONSENT,))
    assert said.wording == wording.of_act("key-enrolled", ENGLISH)
    assert in_force(me) == {key.key.id}
    page = me.consent.get("/customer/keys").text
    assert "added while signed in" in page
    assert "You added a key of your own" in page


def test_a_browsers_key_proves_that_it_can_sign(me: Person) -> None:
    assert me.made(None, "enrol").status_code == 204
    said = last(me).act
    assert isinstance(said, KeyEnrolled)
    assert said.key.kind == "browser"


def test_a_key_of_the_login_host_is_not_enrolled(me: Person) -> None:
    other = passkey()
    other.host, other.origin = "privacy.bank.example", LOGIN
    assert me.made(other, "enrol").status_code == 400
    assert in_force(me) == set()


def test_without_user_verification_nothing_is_enrolled(me: Person) -> None:
    other = passkey()
    other.flags = 1
    assert me.made(other, "enrol").status_code == 400


def test_a_key_made_in_a_frame_is_not_enrolled(me: Person) -> None:
    other = passkey()
    other.client = {"crossOrigin": True}
    assert me.made(other, "enrol").status_code == 400


def test_another_key_is_signed_for_by_one_in_force(me: Person, key: Passkey) -> None:
    second = passkey()
    answer = me.made(second, "enrol", evidence="A")
    said = envelope.decode(answer.content)
    assert isinstance(said, Instruction)
    assert me.signed(key.sign(said)).status_code == 204
    assert in_force(me) == {key.key.id, hand(second).key.id}
    assert "added, signed by an older key" in me.consent.get("/customer/keys").text


def test_without_a_signature_no_further_key_is_enrolled(me: Person, key: Passkey) -> None:
    answer = me.made(passkey(), "enrol")
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:sovereign:problem:key-needed"
    assert in_force(me) == {key.key.id}


def test_a_key_is_replaced_by_its_own_signature(me: Person, key: Passkey) -> None:
    new = passkey()
    answer = me.made(new, "replace", old=key.key.id.hex(), evidence="A")
    said = envelope.decode(answer.content)
    assert isinstance(said, Instruction)
    assert me.signed(key.sign(said)).status_code == 204
    assert isinstance(last(me).act, KeyReplaced)
    assert in_force(me) == {hand(new).key.id}


def test_a_key_is_removed_by_a_key_in_force(me: Person, key: Passkey) -> None:
    path = f"/customer/keys/{key.key.id.hex()}/remove"
    assert me.on_keys(path, "key-removed").status_code == 403
    said = envelope.decode(me.on_keys(path, "key-removed", evidence="A").content)
    assert isinstance(said, Instruction)
    assert me.signed(key.sign(said)).status_code == 204
    assert isinstance(last(me).act, KeyRemoved)
    assert in_force(me) == set()


def test_a_grant_is_signed_as_it_was_drafted(me: Person, key: Passkey) -> None:
    said = me.draft(SCENE, "allow")
    assert held(me, SCENE) is None
    assert me.signed(key.sign(said)).status_code == 204
    assert last(me) == said
    assert said.evidence is EvidenceClass.PASSKEY
    assert isinstance(held(me, SCENE), SceneConsent)
    assert "signed with your passkey" in me.consent.get("/customer/history").text


def test_a_withdrawal_is_signed_if_the_key_is_at_hand(me: Person, key: Passkey) -> None:
    said = me.draft(ALLOWED, "withdraw")
    assert me.signed(key.sign(said)).status_code == 204
    assert last(me).evidence is EvidenceClass.PASSKEY
    assert isinstance(held(me, ALLOWED), SceneWithdrawal)


@pytest.mark.parametrize("host", [LOGIN, CONSENT])
def test_a_withdrawal_needs_no_key(me: Person, key: Passkey, host: str) -> None:
    assert me.press(ALLOWED, "withdraw", host).status_code == 303
    assert last(me).evidence is EvidenceClass.SESSION
    index = me.product.ledger.history(me.subject)[-1].index
    paper = me.consent.get(f"/customer/receipts/{index}/paper").text
    assert "decided while signed in" in paper


@pytest.mark.parametrize("host", [LOGIN, CONSENT])
def test_to_allow_without_the_key_is_explained_and_not_recorded(
    me: Person, key: Passkey, host: str
) -> None:
    before = me.version
    answer = me.press(SCENE, "allow", host)
    assert answer.status_code == 403
    assert "You need your key for this" in answer.text
    assert me.version == before


def test_the_login_host_says_where_the_keys_are(me: Person, key: Passkey) -> None:
    page = me.login.get("/customer").text
    assert 'formaction="/customer/continue"' in page
    assert 'id="hand"' not in page
    assert me.login.post("/customer/keys/options", headers=SCRIPT).status_code == 404


def test_nothing_is_drafted_on_the_login_host(me: Person, key: Passkey) -> None:
    headers = SCRIPT | {"Sovereign-Evidence": "A"}
    path = f"/customer/scenes/{SCENE}/allow"
    answer = me.login.post(path, data=me.form(SCENE), headers=headers)
    assert answer.status_code == 403
    assert not isinstance(held(me, SCENE), SceneConsent)


def test_a_draft_is_signed_once_and_within_ten_minutes(
    me: Person, key: Passkey, clock: Clock
) -> None:
    signature = key.sign(me.draft(SCENE, "allow"))
    assert me.signed(signature).status_code == 204
    assert me.signed(signature).status_code == 409
    late = key.sign(me.draft(SCENE, "withdraw"))
    clock.advance(minutes=10)
    assert me.signed(late).status_code == 409


def test_a_draft_that_the_agreement_left_behind_is_not_recorded(me: Person, key: Passkey) -> None:
    said = me.draft(SCENE, "allow")
    me.press(ALLOWED, "withdraw", LOGIN)
    assert me.signed(key.sign(said)).status_code == 409
    assert held(me, SCENE) is None


def test_a_signature_of_another_class_than_drafted_is_refused(me: Person, key: Passkey) -> None:
    said = me.draft(SCENE, "allow", "B")
    assert me.signed(key.sign(said)).status_code == 400
    assert held(me, SCENE) is None


def test_an_undo_is_offered_where_it_takes_no_key(me: Person, key: Passkey) -> None:
    me.signed(key.sign(me.draft(SCENE, "allow")))
    assert me.press(SCENE, "undo").status_code == 303
    assert isinstance(held(me, SCENE), SceneWithdrawal)
    me.signed(key.sign(me.draft(ALLOWED, "withdraw")))
    before = me.version
    assert "Undo" not in me.consent.get("/customer").text
    assert me.press(ALLOWED, "undo").status_code == 303
    assert me.version == before


def test_a_browsers_signal_withdraws_what_a_key_allowed(
    me: Person, key: Passkey, clock: Clock
) -> None:
    me.signed(key.sign(me.draft("ads-device-id", "allow")))
    me.login.headers["Sec-GPC"] = "1"
    me.login.post("/login", data={"customer": me.subject})
    assert isinstance(held(me, "ads-device-id"), SceneWithdrawal)
    assert last(me).evidence is EvidenceClass.SESSION


MALFORMED = {
    "nothing": b"",
    "no json": b"{",
    "a key twice": b'{"type":"browser","type":"browser"}',
    "a list": b"[]",
    "parts missing": b'{"type":"browser"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_signature_is_refused(me: Person, key: Passkey, body: bytes) -> None:
    me.draft(SCENE, "allow")
    answer = me.consent.post("/customer/signed", content=body, headers=SCRIPT)
    assert answer.status_code == 400
    assert held(me, SCENE) is None


def request_recovery(me: Person) -> Passkey:
    new = passkey()
    answer = me.made(new, "recover")
    assert answer.status_code == 204, answer.text
    return hand(new)


def test_a_recovery_waits_three_days_and_leaves_only_the_new_key(
    me: Person, key: Passkey, clock: Clock
) -> None:
    new = request_recovery(me)
    asked = last(me).act
    assert isinstance(asked, RecoveryRequested)
    assert "A new key is about to take the place" in me.login.get("/customer").text
    assert me.on_keys("/customer/recovery/complete", "key-recovered").status_code == 403
    clock.advance(hours=72)
    again = person(me.product, clock, me.subject).cross()
    assert again.on_keys("/customer/recovery/complete", "key-recovered").status_code == 204
    assert isinstance(last(again).act, KeyRecovered)
    assert in_force(again) == {new.key.id}
    assert "recovered after the wait" in again.consent.get("/customer/keys").text


def test_a_recovery_is_cancelled_by_one_press_and_without_a_key(me: Person, key: Passkey) -> None:
    request_recovery(me)
    assert me.on_keys("/customer/recovery/cancel", "recovery-cancelled").status_code == 204
    assert isinstance(last(me).act, RecoveryCancelled)
    assert in_force(me) == {key.key.id}
    assert "about to take the place" not in me.login.get("/customer").text


def test_a_recovery_takes_a_fresh_proof_of_identity(me: Person, key: Passkey, clock: Clock) -> None:
    clock.advance(minutes=5)
    me.cross()  # coming over again is no fresh proof
    answer = me.made(passkey(), "recover")
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:sovereign:problem:prove-again"


def test_the_instruction_names_how_they_proved_it(me: Person, key: Passkey) -> None:
    request_recovery(me)
    asked = last(me).act
    assert isinstance(asked, RecoveryRequested)
    assert asked.proof == "signed in again at 2026-11-21T12:00:00Z"


def test_word_of_a_recovery_goes_out_by_mail(seeded: Path, tmp_path: Path, clock: Clock) -> None:
    letters = tmp_path / "letters"
    product = copy(
        seeded,
        tmp_path / "home",
        consent_origin=CONSENT,
        login_origin=LOGIN,
        mail=f"folder:{letters}",
    )
    me = person(product, clock).cross()
    me.enrol()
    request_recovery(me)
    me.app.state.context.post.settle()
    subjects = [
        each.read_text().partition("Subject: ")[2].split("\n")[0] for each in letters.iterdir()
    ]
    assert "Somebody asked to replace your keys" in subjects


MANDATE = {"scene": SCENE, "until": "2026-12-31"}


def test_a_mandate_is_given_by_a_signature_and_ended_without(me: Person, key: Passkey) -> None:
    other = Passkey(rp=PARTY, page=CONSENT)
    form = MANDATE | {"key": keys.public_text(other.key.key)}
    assert me.on_keys("/customer/mandates", "mandate-given", **form).status_code == 403
    drafted = me.on_keys("/customer/mandates", "mandate-given", evidence="A", **form)
    said = envelope.decode(drafted.content)
    assert isinstance(said, Instruction)
    assert me.signed(key.sign(said)).status_code == 204
    assert isinstance(last(me).act, MandateGiven)
    page = me.consent.get("/customer/mandates").text
    assert "until 31 December 2026" in page
    path = f"/customer/mandates/{envelope.digest(said).hex()}/end"
    assert me.on_keys(path, "mandate-ended").status_code == 204
    assert isinstance(last(me).act, MandateEnded)


BAD_MANDATES = {
    "no scene": {"scene": ""},
    "a locked scene": {"scene": "contract-service"},
    "an unknown scene": {"scene": "everything"},
    "no day": {"until": "soon"},
    "no key": {"key": "MFkw"},
    "a key for another host": {
        "key": keys.public_text(Passkey(rp="evil.example", page="https://evil.example").key.key)
    },
}


@pytest.mark.parametrize("changed", BAD_MANDATES.values(), ids=BAD_MANDATES.keys())
def test_a_malformed_mandate_is_refused(reader: Person, changed: dict[str, str]) -> None:
    good = MANDATE | {"key": keys.public_text(Passkey(rp=PARTY, page=CONSENT).key.key)}
    before = reader.version
    answer = reader.on_keys("/customer/mandates", "mandate-given", **(good | changed))
    assert answer.status_code == 400
    assert reader.version == before


def test_words_that_changed_since_are_not_signed_on(me: Person) -> None:
    answer = me.on_keys(
        "/customer/mandates", "mandate-given", **MANDATE, words="en." + 64 * "0", key=""
    )
    assert answer.status_code in {400, 409}
    me.enrol()
    path = f"/customer/keys/{next(iter(in_force(me))).hex()}/remove"
    assert me.on_keys(path, "key-removed", words="en." + 64 * "0").status_code == 409


def test_every_word_that_the_digest_covers_stands_on_the_page(me: Person, key: Passkey) -> None:
    page = unescape(me.consent.get("/customer").text)
    for scene in me.product.scenes.values():
        if scene.locked:
            continue
        texts = [scene.title, scene.summary, scene.consequence, scene.alternative]
        texts += [each.use for each in scene.fields.values()]
        texts += [each.title for each in scene.services]
        texts += [each.title for each in scene.triggers]
        assert [each["en"] for each in texts if f">{each['en']}<" not in page] == []


def test_no_keys_are_offered_where_there_is_no_consent_host(
    seeded: Path, tmp_path: Path, clock: Clock
) -> None:
    me = person(copy(seeded, tmp_path / "home"), clock)
    assert "not offered here yet" in me.login.get("/customer/keys").text
    assert "/customer/keys" not in me.login.get("/customer").text
    assert me.login.post("/customer/continue").status_code == 404
    assert me.login.post("/enter", data={"code": "x"}).status_code == 404


def test_a_stolen_session_cannot_enrol_a_key_to_leave_with(
    product: Product, clock: Clock, fresh: Iterator[str]
) -> None:
    somebody = person(product, clock, next(fresh)).cross()
    thief = key_holder(somebody)
    thief.enrol()
    clock.advance(minutes=6)
    assert thief.leave().status == 403
    assert Departures(product.home).of(somebody.subject) is None
    clock.advance(hours=72)
    again = key_holder(person(product, clock, somebody.subject).cross())
    again.private = thief.private
    clock.advance(minutes=6)
    assert again.leave().status == 200, "the key itself, and no fresh sign-in"
    assert Departures(product.home).of(somebody.subject) is not None


def key_holder(somebody: Person) -> KeyHolder:
    login, consent = (Visitor(cast(Any, each)) for each in (somebody.login, somebody.consent))
    return KeyHolder(login, consent)


def test_after_erasure_nothing_says_whose_credential_it_was(
    me: Person, key: Passkey, clock: Clock
) -> None:
    home = me.product.home
    identifier = next(iter(me.app.state.context.credentials.of(me.subject).values()))
    me.app.state.context.credentials.close()
    kept = [*home.glob("passkeys*")]
    assert [each for each in kept if identifier in each.read_bytes()]
    store = ConsentKeyStore(home)
    store.forget(me.subject)
    store.close()
    assert not [each for each in home.glob("passkeys*") if identifier in each.read_bytes()]
    assert ConsentKeyStore(home).of(me.subject) == {}
