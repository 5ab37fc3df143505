"""Who a service is: assertions, tokens, proofs of possession and an issuer's keys (G70 to G76)."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from gate.http import jwks
from gate.http.access_tokens import AccessTokens
from gate.http.dpop import METHOD, PATH, Proofs, SeenProofs, with_target
from gate.http.jwks import Jwks, JwksError
from gate.http.token_issuer import ASSERTION, Issuer, IssuerApp, NotADemonstrationError, OAuthError

NOW = 1_767_268_800
HERE = "https://gate.example"
KEY = ECKey.generate_key("P-256", {"kid": "analytics"})
OTHER = ECKey.generate_key("P-256", {"kid": "analytics"})
CLIENTS = {"analytics": KEY.as_dict(private=False)}
FORM = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION}
CLAIMS = {"iss": "analytics", "sub": "analytics", "aud": f"{HERE}/token", "exp": NOW + 60}
Headers = Mapping[bytes, bytes]


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(HERE, CLIENTS, demonstration=True, clock=lambda: NOW)


@pytest.fixture
def gate(issuer: Issuer) -> AccessTokens:
    proofs = Proofs(HERE, lambda: NOW)
    return AccessTokens(issuer.jwks, issuer=HERE, audience=HERE, proofs=proofs, clock=lambda: NOW)


def assertion(key: Any = KEY, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    whole = {**CLAIMS, "jti": "1", **claims}
    named = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode({"alg": "ES256", **(header or {})}, named, key, algorithms=["ES256", "HS256"])


def token(issuer: Issuer, headers: Headers | None = None, **claims: Any) -> str:
    form = FORM | {"client_assertion": assertion(**claims)}
    found: str = issuer.token(form, headers or {})["access_token"]
    return found


def proof(
    key: ECKey = KEY, header: Mapping[str, Any] | None = None, ath: str | None = None, **more: Any
) -> bytes:
    named = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False), **(header or {})}
    claims = {"htm": "POST", "htu": f"{HERE}/v1/read", "iat": NOW, "jti": "p1", **more}
    claims |= {"ath": ath} if ath else {}
    known = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(named, known, key, algorithms=["ES256", "HS256"]).encode()


def ath(text: str) -> str:
    from hashlib import sha256

    return base64.urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()


def request(authorization: str, sent: bytes | None = None, path: str = "/v1/read") -> Headers:
    raw = [(b"authorization", authorization.encode())]
    raw += [(b"dpop", sent)] if sent is not None else []
    scope = {"method": "POST", "path": path, "headers": raw}
    return with_target(scope, dict(raw)) if sent is not None else dict(raw)


# Assertions and tokens


def test_an_assertion_is_exchanged_for_a_token_that_the_gate_takes(
    issuer: Issuer, gate: AccessTokens
) -> None:
    assert gate.service(request(f"Bearer {token(issuer)}")) == "analytics"
    answer = issuer.token(FORM | {"client_assertion": assertion(jti="2", aud=[HERE, "x"])}, {})
    assert (answer["token_type"], answer["demonstration"]) == ("Bearer", True)


REFUSED: dict[str, dict[str, Any]] = {
    "somebody else's key": {"key": OTHER},
    "an unknown client": {"iss": "nobody", "sub": "nobody"},
    "two names": {"iss": "crm"},
    "another audience": {"aud": "https://other.example/token"},
    "no end": {"exp": None},
    "an end that has passed": {"exp": NOW - 31},
    "an end that is far off": {"exp": NOW + 3600},
    "an end that is no number": {"exp": str(NOW + 60)},
    "no id": {"jti": None},
    "an id that is no text": {"jti": 7},
    "no subject": {"sub": None},
    "a shared secret": {
        "key": OctKey.import_key("a shared secret of some length, 32+"),
        "header": {"alg": "HS256"},
    },
}


@pytest.mark.parametrize("why", REFUSED)
def test_an_assertion_that_does_not_hold_gets_nothing(issuer: Issuer, why: str) -> None:
    with pytest.raises(OAuthError) as refused:
        token(issuer, **REFUSED[why])
    assert (refused.value.code, refused.value.status) == ("invalid_client", 401)


def test_an_assertion_counts_once(issuer: Issuer) -> None:
    form = FORM | {"client_assertion": assertion()}
    issuer.token(form, {})
    with pytest.raises(OAuthError):
        issuer.token(form, {})


MALFORMED = {
    "another grant": FORM | {"grant_type": "password"},
    "no assertion": FORM,
    "a secret instead": FORM | {"client_assertion_type": "secret", "client_secret": "s"},
    "not a token": FORM | {"client_assertion": "a.b.c"},
    "too long": FORM | {"client_assertion": "a" * 9000},
    "another client beside": FORM | {"client_assertion": assertion(), "client_id": "crm"},
}


@pytest.mark.parametrize("why", MALFORMED)
def test_a_token_request_that_is_none_is_refused(issuer: Issuer, why: str) -> None:
    with pytest.raises(OAuthError):
        issuer.token(MALFORMED[why], {})


def test_the_embedded_issuer_starts_in_the_demonstration_only() -> None:
    with pytest.raises(NotADemonstrationError, match="the company's own issuer"):
        Issuer(HERE, CLIENTS, demonstration=False)


async def asked(issuer: Issuer, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    await IssuerApp(issuer)(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_the_issuer_speaks_oauth_over_http(issuer: Issuer, gate: AccessTokens) -> None:
    form = urlencode(FORM | {"client_assertion": assertion()}).encode()
    status, answer = await asked(issuer, "/token", form)
    assert status == 200
    assert gate.service(request(f"Bearer {answer['access_token']}")) == "analytics"
    assert await asked(issuer, "/token", form) == (
        401,
        {
            "error": "invalid_client",
            "error_description": "the client assertion is not valid",
        },
    )
    for body in (
        b"grant_type",
        b"\xff",
        b"grant_type=a&grant_type=b",
        b"&".join([b"a=b"] * 99),
        b"x" * 2**21,
    ):
        status, answer = await asked(issuer, "/token", body)
        assert (status, answer["error"]) == (400, "invalid_request")
    status, answer = await asked(issuer, "/jwks.json", b"")
    assert all("d" not in key for key in answer["keys"])


# Proofs of possession


@pytest.fixture
def bound(issuer: Issuer) -> str:
    headers = {b"dpop": proof(htu=f"{HERE}/token"), METHOD: b"POST", PATH: b"/token"}
    return token(issuer, headers)


def test_a_bound_token_counts_with_a_proof_of_its_key(gate: AccessTokens, bound: str) -> None:
    assert gate.service(request(f"DPoP {bound}", proof(ath=ath(bound)))) == "analytics"


def test_a_bound_token_alone_is_worth_nothing(gate: AccessTokens, bound: str) -> None:
    assert gate.service(request(f"Bearer {bound}")) is None
    assert gate.service(request(f"DPoP {bound}")) is None
    sent = proof(ath=ath(bound))
    assert gate.service(request(f"Bearer {bound}", sent)) is None
    assert gate.service({b"authorization": f"DPoP {bound}".encode(), b"dpop": sent}) is None


def test_a_proof_counts_once(gate: AccessTokens, bound: str) -> None:
    sent = request(f"DPoP {bound}", proof(ath=ath(bound)))
    assert gate.service(sent) == "analytics"
    assert gate.service(sent) is None


def test_a_token_that_is_bound_to_nothing_needs_no_proof_and_takes_none(
    issuer: Issuer, gate: AccessTokens
) -> None:
    text = token(issuer, jti="plain")
    assert gate.service(request(f"DPoP {text}", proof(ath=ath(text)))) is None


def test_without_a_configured_address_no_bound_token_counts(issuer: Issuer, bound: str) -> None:
    gate = AccessTokens(issuer.jwks, issuer=HERE, audience=HERE, clock=lambda: NOW)
    assert gate.service(request(f"DPoP {bound}", proof(ath=ath(bound)))) is None


PRIVATE = KEY.as_dict(private=True)
HOSTILE: dict[str, dict[str, Any]] = {
    "another key": {"key": OTHER},
    "another method": {"htm": "GET"},
    "another address": {"htu": "https://evil.example/v1/read"},
    "another path": {"htu": f"{HERE}/v1/table"},
    "too old": {"iat": NOW - 61},
    "from the future": {"iat": NOW + 61},
    "a time that is no number": {"iat": str(NOW)},
    "a time that is true": {"iat": True},
    "no time": {"iat": None},
    "no id": {"jti": None},
    "an empty id": {"jti": ""},
    "a long id": {"jti": "x" * 129},
    "an id that is no text": {"jti": 7},
    "another token's hash": {"ath": ath("other")},
    "no hash": {"ath": None},
    "another type": {"header": {"typ": "JWT"}},
    "a private key": {"header": {"jwk": PRIVATE}},
    "a key of another kind": {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
    "somebody's public key": {"header": {"jwk": OTHER.as_dict(private=False)}},
}


@pytest.mark.parametrize("why", HOSTILE)
def test_a_proof_that_does_not_hold_makes_the_request_nobodys(
    gate: AccessTokens, bound: str, why: str
) -> None:
    sent = proof(**({"ath": ath(bound)} | HOSTILE[why]))
    assert gate.service(request(f"DPoP {bound}", sent)) is None


def unsigned(header: Mapping[str, Any]) -> bytes:
    """What no library would write."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()) for each in (header, {})]
    return b".".join([*(part.rstrip(b"=") for part in parts), b"AA"])


GARBAGE = {
    "no key": unsigned({"typ": "dpop+jwt", "alg": "ES256"}),
    "a key that is null": unsigned({"typ": "dpop+jwt", "alg": "ES256", "jwk": None}),
    "a key that is a list": unsigned({"typ": "dpop+jwt", "alg": "ES256", "jwk": []}),
    "a key with a list for its kind": unsigned({"alg": "ES256", "jwk": {"kty": []}}),
    "no signature": unsigned({"alg": "none", "jwk": CLIENTS["analytics"]}),
    "nothing": b"",
    "no token": b"a.b",
    "no header": b"e30.e30.AA",
    "no JSON": b"AAAA.AAAA.AAAA",
    "too long": b"a" * 5000,
    "other bytes": b"\xff.\xff.\xff",
    "deep": base64.urlsafe_b64encode(b'{"jwk":' * 500) + b".e30.AA",
}


@pytest.mark.parametrize("why", GARBAGE)
def test_a_proof_that_is_none_makes_the_request_nobodys(
    gate: AccessTokens, bound: str, why: str
) -> None:
    assert gate.service(request(f"DPoP {bound}", GARBAGE[why])) is None


def test_two_proofs_are_none(gate: AccessTokens, bound: str) -> None:
    sent = [(b"authorization", f"DPoP {bound}".encode()), (b"dpop", proof(ath=ath(bound)))]
    sent.append((b"dpop", proof(ath=ath(bound), jti="p2")))
    scope = {"method": "POST", "path": "/v1/read", "headers": sent}
    assert gate.service(with_target(scope, dict(sent))) is None


def test_what_a_client_calls_method_and_path_counts_for_nothing() -> None:
    raw = [(b"dpop", proof()), (METHOD, b"GET"), (PATH, b"/v1/table")]
    found = with_target({"method": "POST", "path": "/v1/read", "headers": raw}, dict(raw))
    assert (found[METHOD], found[PATH]) == (b"POST", b"/v1/read")


def test_a_full_memory_refuses_rather_than_forgets() -> None:
    once = SeenProofs(most=2)
    assert once.first("crm", "a", 10, 0)
    assert once.first("crm", "b", 20, 0)
    assert not once.first("crm", "c", 20, 0)
    assert not once.first("crm", "a", 10, 0)
    assert once.first("crm", "c", 30, 10)  # the first is too old to count by now
    assert not once.first("crm", "b", 20, 10)


def test_a_service_that_fills_its_memory_of_proofs_refuses_nobody_else() -> None:
    """G211."""
    once = SeenProofs(most=100)
    assert sum(once.first("hostile", str(n), 60, 0) for n in range(1000)) == 100
    assert all(once.first("crm", str(n), 60, 0) for n in range(100))
    assert not once.first("crm", "7", 60, 0)
    assert not once.first("hostile", "new", 60, 0)


# The issuer's keys


def public(*keys: Any) -> bytes:
    return json.dumps(KeySet([*keys]).as_dict(private=False)).encode()


BAD_KEYS = {
    "no JSON": b"{",
    "no keys": b"{}",
    "an empty set": b'{"keys": []}',
    "a list": b"[]",
    "a private key": json.dumps({"keys": [PRIVATE]}).encode(),
    "a shared secret": b'{"keys": [{"kty": "oct", "k": "AAAA"}]}',
    "too many keys": json.dumps({"keys": [CLIENTS["analytics"]] * 33}).encode(),
    "too many bytes": public(KEY) + b" " * (64 << 10),
    "deep": b'{"keys":' * 5000,
}


@pytest.mark.parametrize("why", BAD_KEYS)
def test_keys_that_may_not_be_used_are_not(tmp_path: Path, why: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(BAD_KEYS[why])
    with pytest.raises(JwksError, match=r"jwks\.json"):
        Jwks(str(path))


NO_PLACES = {
    "no file": "nowhere.json",
    "no encryption": "http://login.example/jwks",
    "nobody there": "http://127.0.0.1:9/jwks",
    "another scheme": "file:///etc/passwd",
}


@pytest.mark.parametrize("why", NO_PLACES)
def test_keys_that_cannot_be_had_are_an_error_that_names_the_place(why: str) -> None:
    with pytest.raises(JwksError, match=NO_PLACES[why].replace(".", r"\.")):
        Jwks(NO_PLACES[why])


class Served:
    """Keys at an address, as a test has them change or go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
        self.raw, self.now, self.fetched, self.down = raw, 0.0, 0, False
        monkeypatch.setattr(jwks, "_fetched", self._fetch)
        self.keys = Jwks("https://login.example/jwks", clock=lambda: self.now)

    def _fetch(self, _address: str) -> bytes:
        self.fetched += 1
        if self.down:
            raise OSError("down")
        return self.raw

    def settle(self) -> None:
        """Wait for what is under way."""
        import threading

        for thread in threading.enumerate():
            if thread.name == "jwks":
                thread.join()


def test_a_new_key_is_found_when_a_token_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ECKey.generate_key("P-256", {"kid": "old"})
    new = ECKey.generate_key("P-256", {"kid": "new"})
    served = Served(monkeypatch, public(old))
    gate = AccessTokens(served.keys, issuer=HERE, audience=HERE, clock=lambda: NOW)
    assert gate.service(request(f"Bearer {signed(old)}")) == "analytics"
    served.raw, served.now = public(new), 31.0
    assert gate.service(request(f"Bearer {signed(new)}")) is None  # it is being fetched
    served.settle()
    assert gate.service(request(f"Bearer {signed(new)}")) == "analytics"
    assert gate.service(request(f"Bearer {signed(old)}")) is None  # remembered, and yet withdrawn
    assert served.fetched == 2


def signed(key: ECKey) -> str:
    claims = {"iss": HERE, "aud": HERE, "sub": "analytics", "client_id": "analytics", "jti": "1"}
    header = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    return jwt.encode(header, claims | {"iat": NOW, "exp": NOW + 60}, key)


def test_made_up_keys_make_nobody_fetch_often(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(monkeypatch, public(KEY))
    gate = AccessTokens(served.keys, issuer=HERE, audience=HERE, clock=lambda: NOW)
    served.now = 31.0
    for number in range(50):
        made_up = ECKey.generate_key("P-256", {"kid": f"k{number}"})
        assert gate.service(request(f"Bearer {signed(made_up)}")) is None
    served.settle()
    assert served.fetched == 2


def test_while_the_issuer_is_down_the_last_keys_count_for_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Served(monkeypatch, public(KEY))
    gate = AccessTokens(served.keys, issuer=HERE, audience=HERE, clock=lambda: NOW)
    served.down, served.now = True, 86_399.0
    assert gate.service(request(f"Bearer {signed(KEY)}")) == "analytics"
    served.settle()
    served.now = 86_401.0
    assert gate.service(request(f"Bearer {signed(KEY)}")) is None
    served.settle()


def test_an_rsa_issuer_is_understood(tmp_path: Path) -> None:
    key = RSAKey.generate_key(2048, {"kid": "r"})
    path = tmp_path / "jwks.json"
    path.write_bytes(public(key))
    gate = AccessTokens(Jwks(str(path)), issuer=HERE, audience=HERE, clock=lambda: NOW)
    claims = {"iss": HERE, "aud": HERE, "sub": "a", "client_id": "a", "jti": "1"}
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "r"}
    text = jwt.encode(header, claims | {"iat": NOW, "exp": NOW + 60}, key)
    assert gate.service(request(f"Bearer {text}")) == "a"
