"""specs/witness.md, W20 to W23: witnesses that misbehave are left out, and the quorum goes on."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from ledger import clock
from ledger.tlog import cosignature, mldsa, policy, signed_note
from ledger.tlog.cosignature import LATEST, WitnessSigner
from ledger.tlog.policy import LogPolicy
from ledger.tlog.writer import Log
from ledger.witness import server as witness_http
from ledger.witness import witness
from ledger.witness.client import (
    AskedWitness,
    QuorumError,
    RolledBackError,
    Witnesses,
)
from ledger.witness.server import Asgi, Message, Receive, Send
from ledger.witness.witness import Reply, Witness
from tests.campaign import sized
from tests.ledger.test_cosigning import served
from tests.ledger.witnessing import ORIGIN, log_with

SIGNER = signed_note.generate(ORIGIN)
KEYS = [cosignature.generate(f"witness.example/w{number}") for number in range(3)]
SLOW_S = 30.0
Behaviour = Callable[[Witness, WitnessSigner, bytes], Reply | None]


def honest(one: Witness, _key: WitnessSigner, body: bytes) -> Reply:
    return one.add_checkpoint(body)


def dated(at: int) -> Behaviour:
    """A valid cosignature that states this time, in POSIX seconds."""

    def answer(_one: Witness, key: WitnessSigner, body: bytes) -> Reply:
        text = witness.parse(body).note.text
        signed = key.private.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        made = signed_note.Signature(key.name, key.key.key_id, at.to_bytes(8, "big") + signed)
        return Reply(200, str(made))

    return answer


def of_another_text(_one: Witness, key: WitnessSigner, _body: bytes) -> Reply:
    return Reply(200, str(key.cosign(f"{ORIGIN}\n1\n{'A' * 43}=\n", clock.now())))


NOW = int(datetime.now(UTC).timestamp())
BEHAVIOURS: dict[str, Behaviour] = {
    "honest": honest,
    "dated 2^63 - 1": dated(LATEST - 1),
    "dated a day ahead": dated(NOW + 86_400),
    "dated 1970": dated(0),
    "claims a larger log": lambda *_: Reply(409, f"{(1 << 63) - 1}\n", witness.SIZE),
    "claims a size of no form": lambda *_: Reply(409, "9" * 5_000 + "\n", witness.SIZE),
    "claims another root": lambda *_: Reply(422, "another root\n"),
    "always another size": lambda *_: Reply(409, "3\n", witness.SIZE),
    "a cosignature of another root": of_another_text,
    "garbage": lambda *_: Reply(200, "\x00\N{PILE OF POO}" * 99),
    "far too much": lambda *_: Reply(200, "x" * (1 << 20)),
    "an error of the server": lambda *_: Reply(500, "oops\n"),
    "slow": lambda *_: None,
}


class Played:
    """Three witnesses over HTTP, each of which behaves as it is told."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.behave = ["honest"] * 3
        self._ends: list[asyncio.Event] = []
        people = [
            Witness(folder / f"w{n}.sqlite", k, [SIGNER.verifier]) for n, k in enumerate(KEYS)
        ]
        urls = [stack.enter_context(served(self._app(n, each))) for n, each in enumerate(people)]
        lines = "".join(f"witness w{n} {k.key} {urls[n]}\n" for n, k in enumerate(KEYS))
        text = f"log {SIGNER.verifier}\n{lines}group two 2 w0 w1 w2\nquorum two\n"
        self.witnesses = Witnesses.of(policy.parse(text.encode()))
        stack.callback(self.witnesses.close)

    def _app(self, number: int, one: Witness) -> Asgi:
        inner = witness_http.app(one)

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            named = self.behave[number]
            if scope["type"] != "http" or named == "honest" or scope["method"] != "POST":
                await inner(scope, receive, send)
                return
            body = await witness_http._body(receive) or b""
            reply = BEHAVIOURS[named](one, KEYS[number], body)
            if reply is None:
                await _gone(receive)
                return
            await witness_http._answer(send, reply)

        return app


async def _gone(receive: Receive) -> None:
    """Wait until whoever asked hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = log_with(tmp_path / "log", 5, SIGNER)
    yield made
    made.close()


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    with ExitStack() as stack:
        yield Played(tmp_path, stack)


@pytest.mark.parametrize("how", [name for name in BEHAVIOURS if name != "honest"])
def test_w20_one_that_misbehaves_is_left_out_and_named(log: Log, played: Played, how: str) -> None:
    left_out: dict[str, str] = {}
    played.witnesses.cosigned(log, left_out)
    assert left_out == {}
    log.append([b"more"])
    played.behave[1] = how
    began = monotonic()
    note = signed_note.parse(played.witnesses.cosigned(log, left_out))
    assert monotonic() - began < 5
    assert left_out.keys() == {"witness.example/w1"}, left_out
    played.witnesses.policy.verify(note)
    assert {each.name for each in note.signatures} == {
        ORIGIN,
        "witness.example/w0",
        "witness.example/w2",
    }


def test_w21_without_a_quorum_each_is_named(log: Log, played: Played) -> None:
    played.behave = ["garbage", "dated 1970", "honest"]
    with pytest.raises(QuorumError, match=r"1 cosignatures.*w0.*w1|1 cosignatures.*w1.*w0"):
        played.witnesses.cosigned(log)


def test_w21_a_claim_counts_if_too_few_others_cosign(log: Log, played: Played) -> None:
    played.behave = ["claims a larger log", "an error of the server", "honest"]
    with pytest.raises(RolledBackError, match="has seen 9223372036854775807"):
        played.witnesses.cosigned(log)


def test_w22_a_proven_claim_outweighs_all_others(tmp_path: Path, log: Log, played: Played) -> None:
    """One witness has a checkpoint of a larger log, which the log itself signed."""
    larger = log_with(tmp_path / "larger", 9, SIGNER)
    one = AskedWitness.at(f"{played.witnesses.asked[0].post.__self__.url}", KEYS[0].key)  # type: ignore[attr-defined] # of the connection
    alone = Witnesses((one,), LogPolicy(()))
    alone.cosigned(larger)
    larger.close()
    alone.close()
    with pytest.raises(RolledBackError, match=r"witness\.example/w0 has seen 9 entries"):
        played.witnesses.cosigned(log)


@pytest.mark.parametrize("seed", range(sized(10, 100)))
def test_w23_schedules_of_misbehaviour(log: Log, played: Played, seed: int) -> None:
    """The log goes on while a quorum is honest, and says whom it waits for when none is."""
    chance = random.Random(seed)
    quick = [name for name in BEHAVIOURS if name != "slow"] if seed % 5 else [*BEHAVIOURS]
    for _ in range(6):
        played.behave = [chance.choice([*quick, "honest", *["honest"] * 6]) for _ in range(3)]
        log.append([b"more"])
        bad = {KEYS[n].name for n, how in enumerate(played.behave) if how != "honest"}
        left_out: dict[str, str] = {}
        if len(bad) <= 1:
            note = signed_note.parse(played.witnesses.cosigned(log, left_out))
            played.witnesses.policy.verify(note)
            assert bad <= left_out.keys(), (played.behave, left_out)
        else:
            with pytest.raises((QuorumError, RolledBackError)):
                played.witnesses.cosigned(log, left_out)
            assert bad <= left_out.keys(), (played.behave, left_out)


def test_w24_ml_dsa_cosignatures_are_given_and_asked_for(tmp_path: Path, log: Log) -> None:
    """A witness with keys of two types gives both; the policy may demand either."""
    key, quantum = KEYS[0], mldsa.generate("witness.example/w0")
    one = Witness(tmp_path / "w.sqlite", [key, quantum], [SIGNER.verifier])
    with served(witness_http.app(one)) as url:
        lines = f"witness a {key.key} {url}\nwitness b {quantum.verifier} {url}\n"
        text = f"log {SIGNER.verifier}\n{lines}group both all a b\nquorum both\n"
        trust = policy.parse(text.encode())
        asked = Witnesses.of(trust)
        note = signed_note.parse(asked.cosigned(log))
        asked.close()
    assert len(note.signatures) == 3
    trust.verify(note)
    now = clock.now()
    for each in (key.key, quantum.verifier):
        assert abs(policy.cosigned_at(each, note) - now) < timedelta(minutes=1)
    remembered = signed_note.parse(one.remembered(ORIGIN) or "")
    assert {*remembered.signatures} == {*note.signatures}
