"""Verify a receipt or evidence offline; needs the standard library and `cryptography` only.

    sovereign verify RECEIPT --policy POLICY   the same as: python -m ledger.verify …
    sovereign verify RECEIPT --key VKEYS       every key of the file must have signed
    sovereign verify --evidence FILE --policy CONSENT_POLICY --policy STATE_POLICY

With --log, the verdict prints between which times that others attest the entry was made; with
--at-least CHECKPOINT, it is refused if it rests on an older checkpoint than that.

Exit status 0: the file proves what is printed. 1: it does not; the reason is printed.
2: a file could not be read, or the arguments are wrong. 3: the file proves what is printed, but
the policy has a quorum of witnesses, and the folder of --log lacks the checkpoints that they
cosigned, all of them or those around the entry: between which times the entry was made could not
be read, or only roughly.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger.events.instruction_signature import InstructionSigner
from ledger.tlog import policy
from ledger.tlog.checkpoint import Checkpoint, MalformedCheckpointError
from ledger.tlog.fetcher import UnreadableError
from ledger.tlog.policy import LogKey, LogPolicy, LogPolicyError
from ledger.tlog.signed_note import NoteError
from ledger.verify import evidence, receipt
from ledger.verify.evidence import EvidenceError, EvidenceStep, Proven
from ledger.verify.receipt import Receipt, ReceiptError
from ledger.verify.times import attested, from_log
from ledger.verify.times.attested import UNBOUND, Bounds, TimeError
from ledger.verify.times.timestamp_token import TokenError
from ledger.witness.cosigned_history import MalformedHistoryError

_REFUSED = (
    UnicodeDecodeError,
    NoteError,
    LogPolicyError,
    MalformedCheckpointError,
    MalformedHistoryError,
    ReceiptError,
    EvidenceError,
    TimeError,
    TokenError,
)
UNSEEN = "but nobody else has seen this log: {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify one file and print what it proves. Returns the exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.evidence and not chosen.policy:
        parser.error("evidence is verified under policies: use --policy instead of --key")
    try:
        text, bounds = _proven(chosen) if chosen.evidence else _received(chosen)
    except OSError as error:
        sys.stderr.write(f"COULD NOT READ: {error.filename}: {error.strerror}\n")
        return 2
    except UnreadableError as error:
        sys.stderr.write(f"COULD NOT READ: {printable(str(error))}\n")
        return 2
    except _REFUSED as error:
        sys.stderr.write(f"NOT VERIFIED: {printable(str(error))}\n")
        return 1
    sys.stdout.write(text)
    return 3 if bounds.unread or bounds.missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sovereign verify", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("receipt", type=Path, nargs="?", help="a .tlog-proof file")
    what.add_argument("--evidence", type=Path, help="a file that `sovereign evidence` wrote")
    trust = parser.add_mutually_exclusive_group(required=True)
    trust.add_argument(
        "--policy",
        type=Path,
        action="append",
        help="a tlog-policy file: trusted logs, witnesses, quorum; repeat it for evidence",
    )
    trust.add_argument(
        "--key", type=Path, help="a file of verifier keys, one per line; all must have signed"
    )
    from_log.add_options(parser)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def _received(chosen: argparse.Namespace) -> tuple[str, Bounds]:
    proven = receipt.parse(_read(chosen.receipt))
    trust = None
    if not chosen.policy:
        head = receipt.verify(proven, keys(_read(chosen.key)))
    elif len(chosen.policy) > 1:
        raise LogPolicyError(
            f"{len(chosen.policy)} policies were given, want one to verify a receipt"
        )
    else:
        trust = policy.parse(read(chosen.policy[0], policy.MAX_SIZE))
        head = receipt.verify_under(proven, trust)
    from_log.require_newest(chosen, head, trust)
    bounds = _bounds(chosen, proven, head, trust)
    return _verdict(proven, head, bounds, trust), bounds


def _bounds(
    chosen: argparse.Namespace, proven: Receipt, head: Checkpoint, trust: LogPolicy | None
) -> Bounds:
    """When the entry was made, as others attest. Raises TimeError if it states another time."""
    if trust is None:
        return UNBOUND
    seen = attested.of_note(trust, proven.checkpoint)
    bounds = Bounds(None, seen)
    if (times := from_log.chosen_times(chosen)) is not None:
        found = times.bounds(trust, proven.index, head)
        upper = [each for each in (seen, found.before) if each is not None]
        first = min(upper, key=lambda each: each.by, default=None)
        bounds = Bounds(found.after, first, found.unread)
    stated = from_log.moment(proven.extra["event"]["at"])
    bounds.require(stated)
    return bounds if times is None else bounds.with_gap(stated)


def _proven(chosen: argparse.Namespace) -> tuple[str, Bounds]:
    parsed = evidence.parse(read(chosen.evidence, evidence.MAX_SIZE).decode("utf-8"))
    trusted = [policy.parse(read(path, policy.MAX_SIZE)) for path in chosen.policy]
    proven = evidence.verify(parsed, trusted)
    mine = next((e for e in trusted if any(k.name == proven.head.origin for k in e.logs)), None)
    from_log.require_newest(chosen, proven.head, mine)
    entry = next(each for each in parsed.entries if each.index == proven.index)
    bounds = UNBOUND
    if mine is not None and mine.is_witnessed:
        bounds = _bounds(chosen, entry, proven.head, mine)
    return _evidence(proven, bounds, mine), bounds


def keys(text: str) -> list[LogKey]:
    """Parse verifier keys, one per line. Raises NoteError."""
    return [policy.log_key(line) for line in text.split("\n") if line]


def read(path: Path, most: int = 1 << 20) -> bytes:
    """The bytes of a file; nothing larger than `most` is read. Raises OSError, ReceiptError."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ReceiptError(f"{path.name} has more than {most:,} bytes")
    return data


def _read(path: Path) -> str:
    """Decode the file strictly: no newline translation, no replacement characters."""
    return read(path).decode("utf-8")


def first_line(trust: LogPolicy | None) -> str:
    """How every verdict begins: whether anybody but the company has seen the log."""
    if trust is None:
        return f"VERIFIED, {UNSEEN.format('keys were given, and no policy with witnesses')}"
    if not trust.is_witnessed:
        return f"VERIFIED, {UNSEEN.format('the policy asks for no witness')}"
    return "VERIFIED"


def _verdict(proven: Receipt, head: Checkpoint, bounds: Bounds, trust: LogPolicy | None) -> str:
    return _text(
        first_line(trust),
        f"  log       {head.origin}, {head.size} entries, root {head.root.hex()}",
        f"  entry     {proven.index}",
        *_event_lines(proven.extra["event"]),
        *bounds.lines(),
        *_signed(proven.signer()),
    )


def _evidence(proven: Proven, bounds: Bounds, trust: LogPolicy | None) -> str:
    signer = InstructionSigner.of(proven.key) if proven.key else None
    keys_active = [key["key"] for key in proven.latest.get("keys", [])]
    return _text(
        first_line(trust),
        f"  log       {proven.head.origin}, {proven.head.size} entries,"
        f" root {proven.head.root.hex()}",
        f"  entry     {proven.index}",
        *_event_lines(dict(proven.instruction)),
        *bounds.lines(),
        *(_signed(signer) or [f"  signed    by nobody: {_vouching(proven.instruction)}"]),
        *map(_step, proven.steps[1:]),
        f"  latest    {proven.latest.get('seq')} instructions, none missing at that size",
        f"  history   {history(proven.map_key)}",
        f"  keys      {', '.join(keys_active) or 'none'} active",
    )


def _vouching(instruction: Mapping[str, Any]) -> str:
    """Who stands for an instruction that no key signs."""
    return "the company says so" if instruction["evidence"] == "D" else "a session vouches for it"


def history(map_key: bytes | None) -> str:
    """What a proof says of other histories of the same customer."""
    if map_key is None:
        return "NOT the only one for sure: made before the map was bound to customers' ids"
    return f"the only one of this customer, under the map's key {map_key.hex()}"


def _step(step: EvidenceStep) -> str:
    by = f"signed by the key {step.key.hex()}" if step.key else "in a session"
    seen = f"witnesses saw it by {step.seen:%Y-%m-%dT%H:%M:%SZ}" if step.seen else "the log says so"
    about = f"instruction {step.seq}, entry {step.index}: {step.how}, {by}"
    return f"  before    {step.at} ({seen}) {about}"


def _text(*lines: str) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)


def _signed(by: InstructionSigner | None) -> list[str]:
    if by is None:
        return []
    party = f" for {by.rp}" if by.rp else ""
    return [f"  signed    by the {by.kind} key {by.id.hex()}{party}"]


def printable(line: str) -> str:
    """Escape control characters: text from a log must not move the cursor or start a new line."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def _marked(subject: str) -> str:
    """An id with other letters than ASCII looks like another one: say which letters they are."""
    return subject if subject.isascii() else f"{subject} (not ASCII: {ascii(subject)[1:-1]})"


def _event_lines(event: dict[str, Any]) -> list[str]:
    if event.get("type") != "instruction":
        return [f"  public    {event.get('type')} at {event.get('at')}"]
    act = event["act"]
    return [
        f"  customer  {_marked(event['subject'])}, instruction {event['seq']}",
        f"  said      {act['type']}{_about(act)}",
        f"  at        {event['at']}{_doubt(event)}, evidence class {event['evidence']}",
    ]


def _doubt(event: dict[str, Any]) -> str:
    return " (uncertain: the log's clock was in doubt)" if event.get("time_uncertain") else ""


def _about(act: dict[str, Any]) -> str:
    """Everything that the act says, in its own words."""
    if "scenes" in act and act.get("until"):
        return f" {', '.join(act['scenes'])} until {act['until']}"
    items = ", ".join(act.get("fields") or ["the whole scene"])
    said = f" {act['scene']}: {items}" if "scene" in act else ""
    more = [
        f"{name} {_value(act[name])}"
        for name in act
        if name not in _SAID and act[name] not in (None, [])
    ]
    return f"{said}{';' if said and more else ''}{''.join(f' {each},' for each in more)}".rstrip(
        ","
    )


_SAID = frozenset({"fields", "scene", "type"})


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _marked(text)
