"""How a service is authenticated (G188, G189)."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import pytest

from sovereign_client import (
    AsyncClient,
    AsyncClientCredentials,
    Client,
    ClientCredentials,
    Credentials,
    TokenError,
)
from tests.clients.answering import Reply, answering

USES = Reply(body=b'{"service": "analytics", "uses": []}')
SECRET = "s3cr:t%/"


def issued(number: int, lives_s: float = 300, kind: str = "Bearer") -> Reply:
    answer = {"access_token": f"token-{number}", "token_type": kind, "expires_in": lives_s}
    return Reply(body=json.dumps(answer).encode())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_g189_a_token_is_kept_until_shortly_before_its_end() -> None:
    clock = Clock()
    with answering(issued) as issuer:
        token = ClientCredentials(issuer.address, "a b", secret=SECRET, scope="x", clock=clock)
        assert [token(), token()] == ["token-0"] * 2
        clock.now = 269.9
        assert token() == "token-0"
        clock.now = 270
        assert token() == "token-1"
        basic = b64encode(b"a+b:s3cr%3At%25%2F").decode()
        assert issuer.headers[0]["authorization"] == f"Basic {basic}"
        form = {"grant_type": ["client_credentials"], "scope": ["x"]}
        assert parse_qs(issuer.bodies[0].decode()) == form


def test_g189_a_short_token_is_used_for_half_its_life() -> None:
    clock = Clock()
    with answering(lambda number: issued(number, 20)) as issuer:
        token = ClientCredentials(issuer.address, "a", secret="s", clock=clock)
        token()
        clock.now = 9.9
        assert token() == "token-0"
        clock.now = 10
        assert token() == "token-1"


def test_g189_an_assertion_is_made_anew_for_each_token() -> None:
    made = iter(["one", "two"])
    with answering(lambda number: issued(number, 0)) as issuer:
        token = ClientCredentials(issuer.address, "a", assertion=lambda: next(made))
        assert [token(), token()] == ["token-0", "token-1"]
        forms = [parse_qs(each.decode()) for each in issuer.bodies]
    assert [each["client_assertion"] for each in forms] == [["one"], ["two"]]
    assert "jwt-bearer" in forms[0]["client_assertion_type"][0]


def test_g189_the_issuer_is_asked_once_however_many_wait() -> None:
    with answering(issued) as issuer:
        token = ClientCredentials(issuer.address, "a", secret="s")
        with ThreadPoolExecutor(8) as threads:
            assert {*threads.map(lambda _: token(), range(8))} == {"token-0"}
        assert len(issuer.paths) == 1

    async def together(address: str) -> list[str]:
        token = AsyncClientCredentials(address, "a", secret="s")
        return await asyncio.gather(*(token() for _ in range(8)))

    with answering(issued) as issuer:
        assert {*asyncio.run(together(issuer.address))} == {"token-0"}
        assert len(issuer.paths) == 1


ISSUERS: dict[str, Reply] = {
    "refused": Reply(401, b'{"error": "invalid_client"}'),
    "bound": issued(0, kind="DPoP"),
    "no end": Reply(body=b'{"access_token": "t", "token_type": "Bearer"}'),
    "no JSON": Reply(body=b"<html>"),
    "moved": Reply(302, b"", {"Location": "http://127.0.0.1:9/"}),
    "cut": Reply(body=issued(0).body, cut=True),
}


@pytest.mark.parametrize("why", ISSUERS)
def test_g188_without_a_token_nothing_is_asked_and_no_secret_is_told(why: str) -> None:
    with answering(lambda _: ISSUERS[why]) as issuer, answering(lambda _: USES) as server:
        token = ClientCredentials(issuer.address, "a", secret=SECRET)
        with Client(server.address, token) as gate, pytest.raises(TokenError) as raised:
            gate.uses()
        assert SECRET not in str(raised.value)
        with pytest.raises(TokenError):
            asyncio.run(
                _asked(server.address, AsyncClientCredentials(issuer.address, "a", secret="s"))
            )
        assert server.paths == []


async def _asked(address: str, token: AsyncClientCredentials) -> str:
    async with AsyncClient(address, token) as gate:
        return (await gate.uses()).service


NO_TOKENS = {"nothing": "", "a line end": "key\r\nX: y", "a space": "a b", "not ASCII": "k\u00e9y"}


@pytest.mark.parametrize("why", NO_TOKENS)
def test_g188_a_text_that_cannot_be_a_token_is_not_sent(why: str) -> None:
    with answering(lambda _: USES) as server, Client(server.address, NO_TOKENS[why]) as gate:
        with pytest.raises(TokenError) as raised:
            gate.uses()
        assert server.paths == []
    assert "key" not in str(raised.value).replace("API key", "")


class Bound:
    def headers(self, method: str, url: str) -> Mapping[str, str]:
        return {"Authorization": "DPoP t", "DPoP": f"{method} {url}"}


def test_g189_a_token_is_a_text_a_function_or_credentials() -> None:
    async def later() -> str:
        return "later"

    async def with_asyncio(address: str) -> None:
        for each in ("text", lambda: "made", later, Bound()):
            async with AsyncClient(address, each) as gate:
                await gate.uses()

    assert isinstance(Bound(), Credentials)
    with answering(lambda _: USES) as server:
        for each in ("text", lambda: "made", Bound()):
            with Client(server.address, each) as gate:
                gate.uses()
        asyncio.run(with_asyncio(server.address))
    said = [each["authorization"] for each in server.headers]
    plain = ["Bearer text", "Bearer made"]
    assert said == [*plain, "DPoP t", *plain, "Bearer later", "DPoP t"]
    proofs = [each["dpop"] for each in server.headers if "dpop" in each]
    assert proofs == [f"GET {server.address}/v1/uses"] * 2


def test_credentials_want_one_way_to_authenticate() -> None:
    address = "https://login.example/token"
    with pytest.raises(ValueError, match="either a secret or an assertion"):
        ClientCredentials(address, "a")
    with pytest.raises(ValueError, match="either a secret or an assertion"):
        ClientCredentials(address, "a", secret="s", assertion=str)
    with pytest.raises(ValueError, match="not an http or https URL"):
        ClientCredentials("login.example", "a", secret="s")
