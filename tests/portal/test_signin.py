"""specs/portal.md, section 8: every way to sign in as somebody else, and none works."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey
from starlette.testclient import TestClient

from portal.auth.session import COOKIE
from portal.operations.wiring import Product
from tests.portal.authenticator import PRESENT, VERIFIED, Key
from tests.portal.conftest import Clock, browser, copy, sign_in

SUBJECT, OTHER = "c00007", "c00008"


# Passkeys


def added(client: TestClient, key: Key) -> int:
    """The status of adding this key."""
    options = client.post("/customer/passkeys/options").json()
    return client.post("/customer/passkeys", content=key.made(options)).status_code


def used(client: TestClient, key: Key) -> int:
    """The status of signing in with this key."""
    options = client.post("/login/passkey/options").json()
    return client.post("/login/passkey", content=key.used(options)).status_code


@pytest.fixture
def key(customer: TestClient) -> Key:
    """A key that the customer has added; nobody is signed in any more."""
    made = Key()
    assert added(customer, made) == 204
    customer.post("/logout")
    return made


def test_a_passkey_signs_its_customer_in(customer: TestClient, key: Key) -> None:
    assert used(customer, replace(key, count=1)) == 204
    page = customer.get("/customer/passkeys")
    assert page.status_code == 200
    assert key.id.hex() in page.text


def test_a_session_that_is_not_fresh_neither_adds_nor_removes_a_passkey(
    customer: TestClient, key: Key, clock: Clock
) -> None:
    """With a passkey of its own a stolen session signs in again, and erases the customer."""
    assert used(customer, replace(key, count=1)) == 204
    options = customer.post("/customer/passkeys/options").json()
    clock.advance(minutes=5)
    other = Key(id=b"the thief's own.")
    assert customer.post("/customer/passkeys", content=other.made(options)).status_code == 403
    assert customer.post("/customer/passkeys/options").status_code == 403
    assert customer.post(f"/customer/passkeys/{key.id.hex()}/remove").status_code == 403
    page = customer.get("/customer/passkeys").text
    assert ("within five minutes" in page, key.id.hex() in page) == (True, True)
    assert other.id.hex() not in page


FORGED: dict[str, Callable[[Key], Key]] = {
    "the page of another site": lambda key: replace(key, origin="http://evil.example"),
    "the same host over another port": lambda key: replace(key, origin="http://testserver:81"),
    "the name of another site": lambda key: replace(key, host="evil.example"),
    "a user who was not verified": lambda key: replace(key, flags=PRESENT),
    "inside a frame of another site": lambda key: replace(key, client={"crossOrigin": True}),
    "a frame that says whose it is": lambda key: replace(key, client={"topOrigin": "http://e"}),
    "a frame that is not said to be none": lambda key: replace(key, client={"crossOrigin": None}),
    "another challenge": lambda key: replace(key, client={"challenge": "AAAA"}),
    "an answer to another question": lambda key: replace(key, client={"type": "webauthn.create"}),
    "another private key": lambda key: replace(key, private=Key().private),
    "a key nobody has": lambda key: replace(key, id=b"another"),
    "somebody else's name": lambda key: replace(key, handle=bytes(32)),
}


@pytest.mark.parametrize("why", FORGED)
def test_a_forged_answer_signs_nobody_in(why: str, customer: TestClient, key: Key) -> None:
    assert used(customer, FORGED[why](key)) == 401
    assert customer.get("/customer", follow_redirects=False).status_code == 303
    assert used(customer, key) == 204


def test_a_counter_that_goes_back_is_refused(customer: TestClient, key: Key) -> None:
    assert used(customer, replace(key, count=7)) == 204
    customer.post("/logout")
    for copied in (6, 7, 0):
        assert used(customer, replace(key, count=copied)) == 401
    assert used(customer, replace(key, count=8)) == 204


ELIGIBLE, BACKED_UP = 0x08, 0x10
SYNCHRONISED = PRESENT | VERIFIED | ELIGIBLE | BACKED_UP


@pytest.mark.parametrize("flags", [SYNCHRONISED, PRESENT | VERIFIED | ELIGIBLE])
def test_a_synchronised_passkey_has_a_counter_on_each_device(
    flags: int, customer: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    synced = Key(id=b"on two devices..", flags=flags)
    assert added(customer, synced) == 204
    customer.post("/logout")
    for count in (7, 2, 3, 0, 7, 8):
        assert used(customer, replace(synced, count=count)) == 204
        customer.post("/logout")
    assert caplog.text.count("a counter that did not rise") == 4


def test_a_copied_key_cannot_claim_to_be_synchronised(customer: TestClient, key: Key) -> None:
    assert used(customer, replace(key, count=7)) == 204
    customer.post("/logout")
    assert used(customer, replace(key, count=2, flags=SYNCHRONISED)) == 401


def test_a_key_of_an_earlier_version_may_turn_out_to_be_synchronised(
    customer: TestClient, key: Key, product: Product
) -> None:
    with closing(sqlite3.connect(product.home / "passkeys.sqlite")) as database, database:
        database.execute("UPDATE passkey SET eligible = NULL")
    with browser(product, Clock()) as again:
        assert used(again, replace(key, count=7, flags=SYNCHRONISED)) == 204
        assert used(again, replace(key, count=2, flags=SYNCHRONISED)) == 204
        assert used(again, replace(key, count=2)) == 401


HANDLES: dict[str, Callable[[dict[str, Any]], object]] = {
    "null": lambda response: response.update(userHandle=None),
    "empty": lambda response: response.update(userHandle=""),
    "missing": lambda response: response.pop("userHandle"),
}


@pytest.mark.parametrize("why", HANDLES)
def test_a_known_key_needs_no_user_handle(why: str, customer: TestClient, key: Key) -> None:
    options = customer.post("/login/passkey/options").json()
    answer = json.loads(key.used(options))
    HANDLES[why](answer["response"])
    assert customer.post("/login/passkey", content=json.dumps(answer)).status_code == 204


WRONG_HANDLES = {"another": "AAAA", "a number": 7, "false": False, "a list": [], "no base64": "é"}


@pytest.mark.parametrize("why", WRONG_HANDLES)
def test_a_wrong_user_handle_signs_nobody_in(why: str, customer: TestClient, key: Key) -> None:
    options = customer.post("/login/passkey/options").json()
    answer = json.loads(key.used(options))
    answer["response"]["userHandle"] = WRONG_HANDLES[why]
    assert customer.post("/login/passkey", content=json.dumps(answer)).status_code == 401


def test_an_answer_works_once(customer: TestClient, key: Key) -> None:
    options = customer.post("/login/passkey/options").json()
    answer = key.used(options)
    begun = customer.cookies["sovereign-begun"]
    assert customer.post("/login/passkey", content=answer).status_code == 204
    customer.post("/logout")
    customer.cookies["sovereign-begun"] = begun
    assert customer.post("/login/passkey", content=answer).status_code == 401


def test_an_answer_works_in_the_browser_that_asked_and_in_time(
    customer: TestClient, key: Key, clock: Clock
) -> None:
    options = customer.post("/login/passkey/options").json()
    answer, begun = key.used(options), customer.cookies["sovereign-begun"]
    del customer.cookies["sovereign-begun"]
    assert customer.post("/login/passkey", content=answer).status_code == 401
    customer.cookies["sovereign-begun"] = begun
    clock.advance(minutes=10)
    assert customer.post("/login/passkey", content=answer).status_code == 401


def test_a_challenge_for_adding_signs_nobody_in_and_the_other_way_round(
    customer: TestClient,
) -> None:
    key = Key()
    assert added(customer, key) == 204
    adding = customer.post("/customer/passkeys/options").json()
    assert customer.post("/login/passkey", content=key.used(adding)).status_code == 401
    signing = customer.post("/login/passkey/options").json() | {"user": {"id": "AAAA"}}
    another = Key(id=b"another key here")
    assert customer.post("/customer/passkeys", content=another.made(signing)).status_code == 404


def test_a_challenge_of_one_customer_adds_no_key_for_another(customer: TestClient) -> None:
    options = customer.post("/customer/passkeys/options").json()
    sign_in(customer, OTHER)
    assert customer.post("/customer/passkeys", content=Key().made(options)).status_code == 404


def test_a_key_is_added_once_and_for_one_customer(customer: TestClient, key: Key) -> None:
    sign_in(customer, OTHER)
    assert added(customer, key) == 400
    customer.post("/logout")
    assert used(customer, replace(key, handle=bytes(32))) == 401


def test_one_customer_cannot_take_anothers_key_away(customer: TestClient, key: Key) -> None:
    sign_in(customer, OTHER)
    assert customer.post(f"/customer/passkeys/{key.id.hex()}/remove").status_code == 404
    assert used(customer, key) == 204


def test_a_key_that_was_removed_signs_nobody_in(customer: TestClient, key: Key) -> None:
    assert used(customer, key) == 204
    gone = customer.post(f"/customer/passkeys/{key.id.hex()}/remove", follow_redirects=False)
    assert gone.status_code == 303
    customer.post("/logout")
    assert used(customer, key) == 401


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "no parts": b"{}",
    "parts of another kind": b'{"rawId": 7, "response": []}',
    "client data that are none": b'{"rawId": "AA", "response": {"clientDataJSON": "AA"}}',
    "too much": b'{"rawId": "' + b"A" * 70_000 + b'"}',
}


@pytest.mark.parametrize("why", MALFORMED)
def test_what_is_no_answer_is_refused(why: str, customer: TestClient) -> None:
    for path in ("/login/passkey", "/customer/passkeys"):
        customer.post(f"{path}/options")
        assert customer.post(path, content=MALFORMED[why]).status_code in {400, 401}


def test_no_more_than_twenty_keys_are_kept(customer: TestClient) -> None:
    for number in range(20):
        assert added(customer, Key(id=b"key number %02d" % number)) == 204
    assert added(customer, Key(id=b"one too many")) == 400


# The provider


class Foreign(ThreadingHTTPServer):
    """A provider that says whatever it is told to: what an attacker between would."""

    key = ECKey.generate_key("P-256", {"kid": "one"})
    token: Callable[[dict[str, Any]], str]
    nonce = ""
    asked: dict[str, list[str]]

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(Clock().now.timestamp())
        said = {"iss": self.issuer, "aud": "portal", "sub": SUBJECT, "nonce": self.nonce}
        return said | {"iat": now, "exp": now + 60} | other

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "ES256", "kid": "one"}, claims, self.key)


class _Handler(BaseHTTPRequestHandler):
    server: Foreign

    def do_GET(self) -> None:
        issuer = self.server.issuer
        described = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
        }
        keys = KeySet([self.server.key]).as_dict(private=False)
        self._say(keys if self.path == "/keys" else described)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked = parse_qs(body.decode())
        token = self.server.token(self.server.claims())
        self._say({"access_token": "x", "token_type": "Bearer", "id_token": token})

    def _say(self, what: object) -> None:
        data = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    yield from _provider()


@pytest.fixture
def staff() -> Iterator[Foreign]:
    """Another provider, with keys and people of its own."""
    yield from _provider()


def _provider() -> Iterator[Foreign]:
    server = Foreign(("127.0.0.1", 0), _Handler)
    server.token = server.signed
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def outside(seeded: Path, tmp_path: Path, foreign: Foreign) -> Product:
    return copy(
        seeded,
        tmp_path / "outside",
        demo=False,
        oidc_issuer=foreign.issuer,
        oidc_client_id="portal",
        oidc_client_secret="secret",
    )


@pytest.fixture
def stranger(outside: Product, clock: Clock) -> TestClient:
    return browser(outside, clock)


def sent(client: TestClient, foreign: Foreign, start: str = "/login/provider") -> str:
    """Begin a login; the state that comes back."""
    answer = client.get(start, follow_redirects=False)
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    foreign.nonce = asked["nonce"][0]
    assert asked["code_challenge_method"] == ["S256"]
    return asked["state"][0]


def back(client: TestClient, state: str, path: str = "/login/callback") -> int:
    return client.get(
        path, params={"code": "c", "state": state}, follow_redirects=False
    ).status_code


def test_whoever_the_provider_names_is_signed_in(stranger: TestClient, foreign: Foreign) -> None:
    assert back(stranger, sent(stranger, foreign)) == 303
    assert stranger.get("/customer").status_code == 200
    assert len(foreign.asked["code_verifier"][0]) >= 43


Lie = Callable[[Foreign, dict[str, Any]], str]
LIES: dict[str, Lie] = {
    "another issuer": lambda p, c: p.signed(c | {"iss": "https://evil.example"}),
    "for another client": lambda p, c: p.signed(c | {"aud": "shop"}),
    "given to another client": lambda p, c: p.signed(
        c | {"aud": ["portal", "shop"], "azp": "shop"}
    ),
    "another nonce": lambda p, c: p.signed(c | {"nonce": "n"}),
    "no nonce": lambda p, c: p.signed({k: v for k, v in c.items() if k != "nonce"}),
    "over": lambda p, c: p.signed(c | {"exp": c["iat"] - 120}),
    "of tomorrow": lambda p, c: p.signed(c | {"iat": c["iat"] + 86_400}),
    "an end that is no number": lambda p, c: p.signed(c | {"exp": "never"}),
    "nobody": lambda p, c: p.signed(c | {"sub": ""}),
    "somebody unknown": lambda p, c: p.signed(c | {"sub": "c99999"}),
    "another key": lambda _, c: jwt.encode(
        {"alg": "ES256", "kid": "one"}, c, ECKey.generate_key("P-256")
    ),
    "signed with the public key": lambda p, c: jwt.encode(
        {"alg": "HS256"}, c, OctKey.import_key(p.key.as_pem(private=False)), algorithms=["HS256"]
    ),
    "not signed": lambda p, c: p.signed(c).rpartition(".")[0] + ".",
    "no token": lambda *_: "",
}


@pytest.mark.parametrize("why", LIES)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_token_that_is_not_the_providers_for_this_login_signs_nobody_in(
    why: str, stranger: TestClient, foreign: Foreign
) -> None:
    foreign.token = lambda claims: LIES[why](foreign, claims)
    assert back(stranger, sent(stranger, foreign)) == 401
    assert COOKIE not in stranger.cookies


def test_a_login_is_finished_once_in_its_browser_with_its_state_and_in_time(
    stranger: TestClient, foreign: Foreign, clock: Clock
) -> None:
    state = sent(stranger, foreign)
    assert back(stranger, "another") == 401
    assert back(stranger, state) == 401, "it was used up"
    state = sent(stranger, foreign)
    begun = stranger.cookies["sovereign-begun"]
    assert back(stranger, state) == 303
    stranger.cookies["sovereign-begun"] = begun
    assert back(stranger, state) == 401
    state = sent(stranger, foreign)
    del stranger.cookies["sovereign-begun"]
    assert back(stranger, state) == 401
    state = sent(stranger, foreign)
    clock.advance(minutes=10)
    assert back(stranger, state) == 401


ROLES = {
    "a role of the desk": (["auditor", "account-manager"], 303),
    "no role": (None, 401),
    "another role": (["auditor"], 401),
    "one role as a text": ("account-manager", 303),
    "a text that only contains one": ("no-account-manager", 401),
    "two in one text": ("auditor account-manager", 401),
    "an object": ({"account-manager": True}, 401),
}


@pytest.mark.parametrize("why", ROLES)
def test_the_desk_opens_to_its_roles_alone(
    why: str, stranger: TestClient, foreign: Foreign
) -> None:
    roles, status = ROLES[why]
    foreign.token = lambda claims: foreign.signed(claims | {"roles": roles})
    state = sent(stranger, foreign, "/desk/login/provider")
    assert back(stranger, state, "/desk/login/callback") == status
    assert stranger.get("/desk/cases", follow_redirects=False).status_code == (
        200 if status == 303 else 303
    )


def _as_manager(provider: Foreign, claims: dict[str, Any]) -> str:
    return provider.signed(claims | {"roles": ["account-manager"]})


def test_stewards_sign_in_at_a_provider_of_their_own(
    seeded: Path, tmp_path: Path, clock: Clock, foreign: Foreign, staff: Foreign
) -> None:
    settings = {"oidc_issuer": foreign.issuer, "desk_oidc_issuer": staff.issuer}
    settings |= {"oidc_client_id": "portal", "desk_oidc_client_id": "portal"}
    client = browser(copy(seeded, tmp_path / "two", demo=False, **settings), clock)
    for provider in (foreign, staff):
        provider.token = partial(_as_manager, provider)
    desk = "/desk/login"
    assert (
        client.get(f"{desk}/provider", follow_redirects=False)
        .headers["location"]
        .startswith(f"{staff.issuer}/authorize")
    )
    assert back(client, sent(client, foreign), f"{desk}/callback") == 401, "begun as a customer"
    state = sent(client, staff, f"{desk}/provider")
    assert back(client, state) == 401, "begun as a steward"
    assert back(client, sent(client, foreign)) == 303
    assert client.get("/desk/cases", follow_redirects=False).status_code == 303
    assert back(client, sent(client, staff, f"{desk}/provider"), f"{desk}/callback") == 303
    assert client.get("/desk/cases", follow_redirects=False).status_code == 200


def test_a_provider_that_is_not_there_refuses_everybody(
    seeded: Path, tmp_path: Path, clock: Clock
) -> None:
    settings = {"oidc_issuer": "http://127.0.0.1:9", "oidc_client_id": "portal"}
    product = copy(seeded, tmp_path / "alone", demo=False, **settings)
    assert browser(product, clock).get("/login/provider").status_code == 401


def test_without_a_provider_there_is_no_way_to_one(visitor: TestClient) -> None:
    for path in ("/login/provider", "/desk/login/provider"):
        assert visitor.get(path).status_code == 404
