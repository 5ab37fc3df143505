"""Services are who an RFC 9068 access token says, and nobody else (G70)."""

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from gate.http.access_tokens import AccessTokens

NOW = 1_767_268_800
KEY = ECKey.generate_key("P-256", {"kid": "k1"})
OTHER = ECKey.generate_key("P-256", {"kid": "k1"})
RSA = RSAKey.generate_key(2048, {"kid": "k2"})
JWKS = {"keys": [KEY.as_dict(private=False), RSA.as_dict(private=False)]}
HEADER = {"alg": "ES256", "kid": "k1", "typ": "at+jwt"}
CLAIMS = {
    "iss": "https://login.example",
    "aud": "https://gate.example",
    "sub": "analytics",
    "client_id": "analytics",
    "exp": NOW + 600,
    "iat": NOW,
    "jti": "1",
}


def token(
    header: Mapping[str, Any] = HEADER, claims: Mapping[str, Any] = CLAIMS, key: Any = KEY
) -> str:
    return jwt.encode(dict(header), dict(claims), key, algorithms=["ES256", "RS256", "HS256"])


def who(sent: str, now: float = NOW) -> str | None:
    tokens = AccessTokens(
        JWKS, issuer="https://login.example", audience="https://gate.example", clock=lambda: now
    )
    return tokens.service({b"authorization": sent.encode()})


def test_the_service_is_the_client_of_the_token() -> None:
    assert who(f"Bearer {token()}") == "analytics"
    assert who(f"bearer {token({**HEADER, 'alg': 'RS256', 'kid': 'k2'}, key=RSA)}") == "analytics"
    assert who(f"Bearer {token(claims=CLAIMS | {'aud': ['x', CLAIMS['aud']]})}") == "analytics"


def test_a_token_ends_and_begins() -> None:
    assert who(f"Bearer {token()}", NOW + 629) == "analytics"
    assert who(f"Bearer {token()}", NOW + 630) is None
    assert who(f"Bearer {token()}", NOW - 31) is None


def test_a_remembered_token_still_ends() -> None:
    now = [float(NOW)]
    tokens = AccessTokens(
        JWKS,
        issuer="https://login.example",
        audience="https://gate.example",
        clock=lambda: now[0],
    )
    headers = {b"authorization": f"Bearer {token()}".encode()}
    assert tokens.service(headers) == "analytics"
    now[0] += 10_000
    assert tokens.service(headers) is None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signed_by_hand(header: Mapping[str, Any], secret: bytes | None) -> str:
    signed = ".".join(_encoded(json.dumps(each).encode()) for each in (header, CLAIMS))
    mac = hmac.digest(secret, signed.encode(), "sha256") if secret is not None else b""
    return f"{signed}.{_encoded(mac)}"


def _unsigned() -> str:
    return _signed_by_hand({"alg": "none", "typ": "at+jwt"}, None)


def _confused() -> str:
    """Signed with the public key as if it were a shared secret."""
    return _signed_by_hand(HEADER | {"alg": "HS256"}, KEY.as_pem(private=False))


def _without(name: str) -> str:
    return token(claims={key: value for key, value in CLAIMS.items() if key != name})


NOBODY = {
    "nothing": "",
    "another scheme": f"Basic {token()}",
    "no token": "Bearer ",
    "not a token": "Bearer a.b",
    "unsigned": f"Bearer {_unsigned()}",
    "a shared secret": f"Bearer {_confused()}",
    "an unknown key": f"Bearer {token(key=OTHER)}",
    "an ID token": f"Bearer {token({**HEADER, 'typ': 'JWT'})}",
    "another issuer": f"Bearer {token(claims=CLAIMS | {'iss': 'https://evil.example'})}",
    "another audience": f"Bearer {token(claims=CLAIMS | {'aud': 'https://other.example'})}",
    "no client": f"Bearer {_without('client_id')}",
    "no end": f"Bearer {_without('exp')}",
    "no id": f"Bearer {_without('jti')}",
    "an empty client": f"Bearer {token(claims=CLAIMS | {'client_id': ''})}",
    "an end that is no number": f"Bearer {token(claims=CLAIMS | {'exp': '9999999999'})}",
    "an end that is true": f"Bearer {token(claims=CLAIMS | {'exp': True})}",
    "trailing bytes": f"Bearer {token()}\u00e9",
    "too long": f"Bearer {'a' * 9000}",
}


@pytest.mark.parametrize("why", NOBODY)
def test_whoever_is_not_proven_is_nobody(why: str) -> None:
    assert who(NOBODY[why]) is None


def test_no_byte_of_a_token_can_change() -> None:
    sent = token()
    for at in range(len(sent)):
        changed = sent[:at] + ("A" if sent[at] != "A" else "B") + sent[at + 1 :]
        if (
            base64.urlsafe_b64decode(changed.split(".")[-1] + "==")
            == base64.urlsafe_b64decode(sent.split(".")[-1] + "==")
            and changed.rsplit(".", 1)[0] == sent.rsplit(".", 1)[0]
        ):
            continue  # the same signature bytes, written with other padding bits
        assert who(f"Bearer {changed}") is None, at


def test_the_issuers_keys_are_public() -> None:
    assert "d" not in KeySet.import_key_set(JWKS).as_dict(private=False)["keys"][0]  # type: ignore[arg-type] # JSON
