"""Offline verification of a signed instruction from evidence, per step, compared with py_webauthn.

A customer with a passkey has twenty instructions among those of others; three witnesses must all
cosign; the logs' keys were rotated three times; verification uses the policies of the first day.
py_webauthn checks the assertion only: not whose the key is, what the log contains, what came later,
or who witnessed it.
"""

import os
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.ledger_root import load
from benchmarks.table import rate
from ledger.events import envelope as events
from ledger.events import instruction_signature
from ledger.events.envelope import Granted, KeyEnrolled, SignalReported, Withdrawn, Wording
from ledger.events.instruction_signature import PasskeySignature
from ledger.evidence_builder import build_evidence
from ledger.keys import log_keys
from ledger.service import Ledger
from ledger.statemap import map_proof
from ledger.storage.sqlite import SqlStore
from ledger.tlog import cosignature, policy
from ledger.tlog.cosignature import WitnessSigner
from ledger.vault.vault import Vault
from ledger.verify import evidence, receipt
from ledger.verify.evidence import Evidence
from ledger.witness.client import AskedWitness, Witnesses
from ledger.witness.witness import Reply, Witness
from tests.ledger.hands import Passkey

ORIGIN = "bench.example/consent"
CUSTOMERS = int(os.environ.get("CUSTOMERS", "10000"))
PUBLIC = 200_000  # entries that are nobody's instruction
SAID = 20  # instructions of the customer
ROUNDS = 30
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORDS = Wording("en", bytes(32))
HAND = Passkey()
LOGS = ("consent", "state")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        made = _made(home)
        text = str(made)
        first = [home / f"{log}.first" for log in LOGS]
        trusted = [policy.parse(path.read_bytes()) for path in first]
        print(
            f"evidence with {len(made.entries)} instructions, {len(text):,} bytes, from a log of "
            f"{made.state.entry.size:,} entries, {len(made.rotations) // 2} rotations "
            f"(load {load()})"
        )
        whole = _ms(lambda: evidence.verify(evidence.parse(text), trusted))
        print(f"\n  {'':46}{'ms':>8}{'share':>9}")
        for step, work in _steps(made, text, home).items():
            spent = _ms(work)
            print(f"  {step:46}{spent:>8.2f}{spent / whole:>9.0%}")
        print(f"  {'all of it':46}{whole:>8.2f}{1:>9.0%}")
        peer = _ms(_webauthn(made))
        print(f"  {'py_webauthn, the assertion alone':46}{peer:>8.2f}{peer / whole:>9.0%}")
        print(f"  {'a new process, from its start to the verdict':46}{_process(home, text):>8.0f}")


def _made(home: Path) -> Evidence:
    """Evidence of the customer's newest grant. Leaves the first day's policies in `home`."""
    signers = log_keys.keys(home, ORIGIN)
    keys = [cosignature.generate(f"witness.example/w{number}") for number in range(3)]
    people = _people(home, keys)
    lines = "".join(f"witness w{number} {key.key}\n" for number, key in enumerate(keys))
    (home / "witnesses.policy").write_text(f"{lines}group three all w0 w1 w2\nquorum three\n")
    wanted = log_keys.witnesses(home).policy
    for log in LOGS:
        (home / f"{log}.first").write_bytes((home / f"{log}.policy").read_bytes())
    asked = (*(AskedWitness((key.key,), _post(people, number)) for number, key in enumerate(keys)),)
    parts = SqlStore.at(home / "ledger.sqlite"), Vault(home / "keys"), signers
    ledger = Ledger(*parts, witnesses=Witnesses(asked, wanted))
    _fill(ledger)
    for turn in range(SAID):
        _say(ledger, turn)
        if turn in {4, 9, 14}:
            ledger.rotate(home, AT + timedelta(days=turn))
            people[:] = _people(home, keys)
    found = build_evidence(ledger, home, "c", SAID - 1)
    ledger.close()
    return found


def _people(home: Path, keys: Sequence[WitnessSigner]) -> list[Witness]:
    """The witnesses with their memories, and the logs' keys as they are now."""
    return [Witness(home / f"w{n}", key, _known(home)) for n, key in enumerate(keys)]


def _post(people: Sequence[Witness], number: int) -> Callable[[bytes], Reply]:
    def post(data: bytes) -> Reply:  # asks whoever stands there now
        return people[number].add_checkpoint(data)

    return post


def _known(home: Path) -> list[policy.LogKey]:
    files = [home / "keys" / f"{log}.vkey" for log in LOGS]
    return [policy.log_key(line) for file in files for line in file.read_text().split()]


def _fill(ledger: Ledger) -> None:
    act = Granted("segmentation", ("age", "job"), None)
    for lo in range(0, CUSTOMERS, 1_000):
        some = range(lo, min(lo + 1_000, CUSTOMERS))
        ledger.record([ledger.draft(f"c{n}", act, at=AT, wording=WORDS) for n in some])
    for lo in range(0, PUBLIC, 20_000):
        ledger.announce([SignalReported("s", "accuracy", lo + n, AT) for n in range(20_000)])


def _say(ledger: Ledger, turn: int) -> None:
    if not turn:
        said = ledger.draft("c", KeyEnrolled(HAND.key), at=AT, wording=WORDS)
        ledger.record([said])
        return
    act = (Granted("segmentation", ("age",), None), Withdrawn("segmentation"))[turn % 2]
    said = ledger.draft("c", act, at=AT, wording=WORDS, evidence=events.EvidenceClass.PASSKEY)
    ledger.record([said], signatures=[HAND.sign(said)])


def _steps(made: Evidence, text: str, home: Path) -> dict[str, Callable[[], object]]:
    """What a verification is made of; each again, by itself."""
    consent, states = (policy.parse((home / f"{log}.policy").read_bytes()) for log in LOGS)
    found, head = made.entries[-2], consent.verify(made.checkpoint)
    key = states.maps[f"{ORIGIN}/state"]
    where = map_proof.proven_label(made.state, "c", key)
    rotated = policy.LogPolicy(consent.logs)
    said, signature = found.extra["event"], instruction_signature.parse(found.extra["signature"])
    proven = partial(receipt.require_proven, head=head)
    return {
        "the file, parsed": lambda: evidence.parse(text),
        "the rotations, each signed by old and new keys": lambda: [
            receipt.verify_under(each.receipt, rotated) for each in made.rotations
        ],
        "the checkpoint: two log keys, three witnesses": lambda: consent.verify(made.checkpoint),
        "the state: the same again, and the map": lambda: map_proof.verify_under(
            made.state, where, states
        ),
        "the map's label": lambda: map_proof.proven_label(made.state, "c", key),
        "one customer's signature": lambda: instruction_signature.verify(
            said, signature, HAND.key.key
        ),
        "one entry: inclusion, profile, signature": lambda: receipt.require_proven(found, head),
        f"all {SAID} entries": lambda: [*map(proven, made.entries)],
    }


def _webauthn(made: Evidence) -> Callable[[], object]:
    import webauthn

    found = made.entries[-2].extra
    signature = instruction_signature.parse(found["signature"])
    if not isinstance(signature, PasskeySignature):
        raise TypeError("the benchmark's customer signs with a passkey")
    point = HAND.key.public[-64:]
    cose = bytes.fromhex("a5010203262001215820") + point[:32] + b"\x22\x58\x20" + point[32:]
    sent = {
        "id": _url(b"credential"),
        "rawId": _url(b"credential"),
        "type": "public-key",
        "response": {
            "authenticatorData": _url(signature.authenticator_data),
            "clientDataJSON": _url(signature.client_data),
            "signature": _url(signature.signature),
        },
    }
    return lambda: webauthn.verify_authentication_response(
        credential=sent,
        expected_challenge=instruction_signature.challenge(found["event"]),
        expected_rp_id=HAND.rp,
        expected_origin=HAND.page,
        credential_public_key=cose,
        credential_current_sign_count=0,
        require_user_verification=True,
    )


def _url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _process(home: Path, text: str) -> float:
    """Milliseconds of the whole command, imports included."""
    (home / "evidence").write_text(text, newline="")
    trust = [f"--policy={home}/{log}.first" for log in LOGS]
    command = [sys.executable, "-m", "ledger.verify", "--evidence", f"{home}/evidence", *trust]
    times = []
    for _ in range(5):
        start = perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(perf_counter() - start)
    return 1_000 * median(times)


def _ms(work: Callable[[], object]) -> float:
    return 1_000 / rate(work, 1, ROUNDS)
