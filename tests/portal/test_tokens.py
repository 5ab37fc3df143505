"""The demonstration's issuer beside its gate, as a service meets them: over HTTP, with its key."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn

from gate.sdk.credentials import ClientCredentials, TokenRefusedError
from portal.app import create_app
from portal.operations.settings import Settings
from portal.operations.wiring import Product
from portal.service import demokeys
from portal.service.routes import authenticator, issuing
from sovereign_client import Client, UnauthenticatedError

pytestmark = pytest.mark.usefixtures("still")

SERVICE = "branch-finder"


@pytest.fixture(scope="module")
def address(still: Product) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        here = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = still.settings.model_copy(update={"address": here})
        server = uvicorn.Server(
            uvicorn.Config(create_app(replace(still, settings=settings)), log_level="error")
        )
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield here
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("bound", [False, True])
def test_a_service_gets_a_token_with_its_key_and_reads(
    address: str, product: Product, bound: bool
) -> None:
    key = demokeys.private(product.home, [SERVICE])[SERVICE]
    credentials = ClientCredentials(f"{address}/token", SERVICE, key, bound=bound)
    with Client(address, credentials) as gate:
        for _ in range(2):  # the token is kept, the proof is new
            answer = gate.read("nearest-branch", "c00007", ["postcode_area"])
            assert answer.allowed
        assert answer.personal("postcode_area").startswith("LX")


def test_a_service_gets_nothing_with_another_services_key(address: str, product: Product) -> None:
    keys = demokeys.private(product.home, [SERVICE, "analytics"])
    with pytest.raises(TokenRefusedError, match="401"):
        ClientCredentials(f"{address}/token", SERVICE, keys["analytics"]).headers("POST", address)


def test_a_bound_token_that_is_stolen_reads_nothing(address: str, product: Product) -> None:
    key = demokeys.private(product.home, [SERVICE])[SERVICE]
    credentials = ClientCredentials(f"{address}/token", SERVICE, key, bound=True)
    sent = credentials.headers("POST", f"{address}/v1/read")["Authorization"]
    with (
        pytest.raises(UnauthenticatedError, match="Authentication required"),
        Client(address, sent.removeprefix("DPoP ")) as thief,
    ):
        thief.read("nearest-branch", "c00007", ["x"])


@pytest.mark.parametrize("bound", [False, True])
def test_g164_an_agents_access_token_is_verified_and_passed_on_unless_it_is_bound(
    address: str, product: Product, bound: bool
) -> None:
    key = demokeys.private(product.home, [SERVICE])[SERVICE]
    credentials = ClientCredentials(f"{address}/token", SERVICE, key, bound=bound)
    token = credentials.headers("POST", f"{address}/mcp")["Authorization"].partition(" ")[2]
    asked = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "list_uses", "arguments": {}},
    }
    headers = {"Accept": "application/json, text/event-stream"}
    for scheme in ("Bearer", "DPoP"):
        sent = headers | {"Authorization": f"{scheme} {token}"}
        answer = httpx.post(f"{address}/mcp", json=asked, headers=sent)
        served = scheme == "Bearer" and not bound
        assert answer.status_code == (200 if served else 401)
        if served:
            assert answer.json()["result"]["structuredContent"]["service"] == SERVICE


def test_the_demonstrations_keys_are_the_owners_alone(product: Product) -> None:
    demokeys.private(product.home, [SERVICE])
    path: Path = product.home / demokeys.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert all("d" not in key for key in demokeys.public(product.home, [SERVICE]).values())


def test_outside_the_demonstration_there_is_no_issuer_and_no_fixed_token(
    product: Product, tmp_path: Path
) -> None:
    outside = Settings(data_dir=tmp_path)
    with pytest.raises(Exception, match="for the demonstration only"):
        issuing(replace(product, settings=outside))
    nobody = authenticator(outside, ["analytics"], None)
    assert nobody.service({b"authorization": b"Bearer demo-analytics"}) is None
