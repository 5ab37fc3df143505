"""A table that breaks off while it is sent looks broken to everybody who receives it (G28)."""

import json
import socket
from collections.abc import Iterator

import duckdb
import httpx
import pytest

from gate.reads.bulk import formats
from gate.reads.bulk.record_batches import ROWS
from sovereign_client import Client, CustomerRow, GateError, IncompleteError
from tests.features.served import PATIENCE_S, Site, wait_for

PEOPLE = 14 * ROWS  # in one row group of DuckDB: it converts them in order, until the last
# Long ids: of 8 MB DuckDB reads at most 1 MB ahead, so that most is sent before it fails.
NAME = "c{:070d}"
SCENE, SERVICE, FIELDS = "contract-service", "customer-care", ["balance"]
ASKED = {"scene": SCENE, "fields": FIELDS}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A served portal whose source cannot convert one value of the last customer."""
    home = tmp_path_factory.mktemp("broken")
    with duckdb.connect(home / "customers.duckdb") as source:
        source.execute(
            "CREATE TABLE raw AS SELECT format('" + NAME + "', i) AS id,"
            f" CASE WHEN i = {PEOPLE - 1} THEN 'n/a' ELSE '7' END AS balance"
            f" FROM range({PEOPLE}) people(i)"
        )
        source.execute(
            "CREATE VIEW customer AS SELECT * REPLACE (balance::INTEGER AS balance) FROM raw"
        )
    with Site(home, home / "server.log").serving() as site:
        yield site


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("form", formats.FORMS)
def test_a_stream_that_breaks_off_has_no_end(broken: Site, form: str, encoding: str) -> None:
    assert _arrived(broken, {"Accept": form, "Accept-Encoding": encoding})


def _arrived(site: Site, headers: dict[str, str]) -> bytes:
    """What arrived of a broken answer. Its end must not: httpx raises RemoteProtocolError."""
    headers |= {"Authorization": f"Bearer demo-{SERVICE}"}

    def received() -> bytes:
        arrived: list[bytes] = []
        with httpx.stream(
            "POST", f"{site.address}/v1/rows", headers=headers, json=ASKED, timeout=PATIENCE_S
        ) as response:
            if response.status_code == 503:  # it failed before the first byte
                return b""
            assert response.status_code == 200, response.read()
            with pytest.raises(httpx.RemoteProtocolError):
                arrived.extend(response.iter_raw())
        return b"".join(arrived)

    return wait_for(received, "byte of a stream that breaks off")


def test_the_client_reports_an_incomplete_answer(broken: Site) -> None:
    arrived: list[CustomerRow] = []
    with Client(broken.address, f"demo-{SERVICE}", timeout_s=PATIENCE_S) as client:

        def received() -> int:
            with pytest.raises(GateError), client.rows(SCENE, FIELDS) as rows:
                arrived.extend(rows)
            return len(arrived)

        wait_for(received, "row of a stream that breaks off")
        assert 0 < len(arrived) < PEOPLE
        with pytest.raises(IncompleteError):
            client.rows_arrow(SCENE, FIELDS)


def test_a_stream_over_http_1_0_is_refused_for_it_would_have_no_end_mark(broken: Site) -> None:
    url = httpx.URL(broken.address)
    body = json.dumps(ASKED)
    request = (
        f"POST /v1/rows HTTP/1.0\r\nHost: {url.host}\r\nAuthorization: Bearer demo-{SERVICE}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection((url.host, url.port or 80), PATIENCE_S) as sent:
        sent.sendall(request.encode())
        answer = b"".join(iter(lambda: sent.recv(1 << 16), b""))
    assert b" 505 " in answer.partition(b"\r\n")[0]
    assert b"proxy_http_version 1.1" in answer
