"""specs/witness.md, W9 to W11, over HTTP where that matters."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import sleep

import httpx
import pytest
import uvicorn

from ledger.tlog import cosignature, signed_note
from ledger.tlog.writer import Log
from ledger.witness import server as witness_http
from ledger.witness import witness
from ledger.witness.client import (
    AskedWitness,
    QuorumError,
    RolledBackError,
    WitnessUnavailableError,
    cosigned,
)
from ledger.witness.witness import Reply, Witness
from tests.ledger.witnessing import NOON, ORIGIN, log_with, witness_of

SIGNER = signed_note.generate(ORIGIN)
KEYS = [cosignature.generate(f"witness.example/w{i}") for i in range(3)]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return log_with(tmp_path / "log", 5, SIGNER)


@pytest.fixture
def witnesses(tmp_path: Path) -> list[Witness]:
    return [witness_of(tmp_path / f"w{i}", SIGNER, key) for i, key in enumerate(KEYS)]


def asked(witnesses: list[Witness]) -> list[AskedWitness]:
    pairs = zip(KEYS, witnesses, strict=True)
    return [AskedWitness((key.key,), w.add_checkpoint, w.remembered) for key, w in pairs]


def test_the_checkpoint_carries_every_cosignature_it_got(
    log: Log, witnesses: list[Witness]
) -> None:
    found = signed_note.parse(cosigned(log, asked(witnesses), quorum=3))
    signed_note.verify(found, [SIGNER.verifier])
    for key in KEYS:
        key.key.verify(found)
    assert len(found.signatures) == 4


def test_witnesses_follow_a_log_as_it_grows(log: Log, witnesses: list[Witness]) -> None:
    for _ in range(4):
        cosigned(log, asked(witnesses), quorum=3)
        log.append([b"more"] * 3)
    cosigned(log, asked(witnesses), quorum=3)
    text = signed_note.parse(log.checkpoint()).text
    for key, each in zip(KEYS, witnesses, strict=True):
        remembered = signed_note.parse(each.remembered(ORIGIN) or "")
        assert (remembered.text, len(remembered.signatures)) == (text, 2)
        key.key.verify(remembered)


def _down(body: bytes) -> Reply:
    raise WitnessUnavailableError("w0: connection refused")


def test_k_of_n_witnesses_are_enough_and_fewer_are_not(log: Log, witnesses: list[Witness]) -> None:
    some = [AskedWitness((KEYS[0].key,), _down), *asked(witnesses)[1:]]
    assert len(signed_note.parse(cosigned(log, some, quorum=2)).signatures) == 3
    with pytest.raises(QuorumError, match="2 cosignatures, want 3: w0: connection refused"):
        cosigned(log, some, quorum=3)


OUTSIDE = {
    "an empty answer": Reply(200, ""),
    "somebody else's signature": Reply(200, str(KEYS[1].cosign("x\n0\nx\n", NOON))),
    "no signature at all": Reply(200, "hello\n"),
    "409 without a size": Reply(409, "go away\n"),
    "409 with a size of no form": Reply(409, "\N{SUPERSCRIPT TWO}\n", witness.SIZE),
    "a server's error": Reply(500, "oops\n"),
    "unknown log": Reply(404, "who?\n"),
}


@pytest.mark.parametrize("reply", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_a_witness_outside_the_protocol_counts_as_unavailable(log: Log, reply: Reply) -> None:
    with pytest.raises(QuorumError, match="0 cosignatures, want 1"):
        cosigned(log, [AskedWitness((KEYS[0].key,), lambda _: reply)], quorum=1)


def test_a_log_restored_from_an_old_copy_is_refused_at_start(
    tmp_path: Path, log: Log, witnesses: list[Witness]
) -> None:
    cosigned(log, asked(witnesses), quorum=3)
    old = log_with(tmp_path / "restored", 4, SIGNER)
    with pytest.raises(RolledBackError) as found:
        cosigned(old, asked(witnesses), quorum=1)
    assert (found.value.remembered, found.value.have) == (5, 4)


def test_one_witness_that_remembers_more_outweighs_all_others(
    tmp_path: Path, log: Log, witnesses: list[Witness]
) -> None:
    cosigned(log, asked(witnesses)[:1], quorum=1)
    old = log_with(tmp_path / "restored", 4, SIGNER)
    with pytest.raises(RolledBackError):
        cosigned(old, asked(witnesses), quorum=1)


def test_a_log_with_another_history_is_refused_at_start(
    tmp_path: Path, log: Log, witnesses: list[Witness]
) -> None:
    cosigned(log, asked(witnesses), quorum=3)
    for size in (5, 9):
        fork = log_with(tmp_path / f"fork{size}", size, SIGNER, mark=b"other")
        with pytest.raises(RolledBackError, match="a different history"):
            cosigned(fork, asked(witnesses), quorum=1)


def test_a_log_that_nothing_is_missing_from_may_start(log: Log, witnesses: list[Witness]) -> None:
    cosigned(log, asked(witnesses), quorum=3)
    log.append([b"not yet witnessed"])
    signed = signed_note.parse(cosigned(log, asked(witnesses), quorum=3))
    assert signed.text == signed_note.parse(log.checkpoint()).text


@contextmanager
def served(app: witness_http.Asgi) -> Iterator[str]:
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/witness/"
    finally:
        server.should_exit = True
        thread.join()


def test_a_log_and_a_witness_speak_over_http(
    tmp_path: Path, log: Log, witnesses: list[Witness]
) -> None:
    with served(witness_http.app(witnesses[0])) as url:
        one = AskedWitness.at(url, KEYS[0].key)
        found = signed_note.parse(cosigned(log, [one], quorum=1))
        KEYS[0].key.verify(found)
        log.append([b"more"])
        cosigned(log, [one], quorum=1)
        remembered = witnesses[0].remembered(ORIGIN) or ""
        assert signed_note.parse(remembered).text == signed_note.parse(log.checkpoint()).text
        old = log_with(tmp_path / "restored", 4, SIGNER)
        with pytest.raises(RolledBackError):
            cosigned(old, [one], quorum=1)
    with pytest.raises(QuorumError, match="refused"):
        cosigned(log, [one], quorum=1)
    one.close()


ELSEWHERE = {
    "a read": ("GET", "/add-checkpoint", b"", 405),
    "another path": ("POST", "/add", b"", 404),
    "nothing": ("POST", "/add-checkpoint", b"", 400),
    "far too much": ("POST", "/add-checkpoint", b"x" * (witness.MAX_BYTES + 1), 413),
}


@pytest.mark.parametrize("case", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_other_requests_are_refused_by_status(
    witnesses: list[Witness], case: tuple[str, str, bytes, int]
) -> None:
    method, path, body, status = case
    transport = httpx.ASGITransport(app=witness_http.app(witnesses[0]))

    async def ask() -> int:
        async with httpx.AsyncClient(transport=transport, base_url="http://witness") as client:
            return (await client.request(method, path, content=body)).status_code

    assert asyncio.run(ask()) == status


def test_an_address_must_be_one_of_the_web() -> None:
    with pytest.raises(ValueError, match="http"):
        AskedWitness.at("file:///etc/passwd", KEYS[0].key)


def test_w25_monitors_are_shown_the_newest_cosigned_checkpoint(
    log: Log, witnesses: list[Witness]
) -> None:
    digest = sha256(ORIGIN.encode()).hexdigest()
    with served(witness_http.app(witnesses[0])) as url, httpx.Client() as client:
        address = f"{url}{digest}/checkpoint"
        assert client.get(address).status_code == 404
        one = AskedWitness.at(url, KEYS[0].key)
        cosigned(log, [one], quorum=1)
        one.close()
        shown = client.get(address)
        assert (shown.status_code, shown.headers["content-type"]) == (200, witness.TEXT)
        note = signed_note.parse(shown.text)
        signed_note.verify(note, [SIGNER.verifier])
        KEYS[0].key.verify(note)
        assert note.text == signed_note.parse(log.checkpoint()).text
        assert client.post(address).status_code == 405
        unknown = sha256(b"another").hexdigest()
        assert client.get(f"{url}{unknown}/checkpoint").status_code == 404
