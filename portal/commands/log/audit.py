"""`sovereign audit`, `audit-states`, `evidence`: check the logs without trusting the company."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from portal.commands.errors import (
    MistakeError,
    explained,
    fail,
    require_file,
    require_ledger,
    require_place,
)
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from ledger.tlog.auditor import AuditReport, Demand
    from ledger.tlog.policy import MapKey

app = typer.Typer()
UNREAD = 3  # exit status: nothing is wrong in what was read, and a file could not be read

Remembered = Annotated[
    Path | None, typer.Option("--state", help="File that records where the next audit starts.")
]
AtLeast = Annotated[
    Path | None,
    typer.Option("--at-least", help="A signed checkpoint you know: refuse an older log."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print findings with their evidence as JSON.")]


@app.command()
def audit(
    log: Annotated[str, typer.Argument(help="A tile directory, or the URL of one.")],
    policy: Annotated[
        Path | None, typer.Option("--policy", help="A tlog-policy: logs, witnesses, quorum.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Verifier keys of the log, one a line.")
    ] = None,
    state: Remembered = None,
    opaque: Annotated[
        bool, typer.Option("--opaque", help="Any log: do not parse entries as consent events.")
    ] = False,
    at_least: AtLeast = None,
    as_json: AsJson = False,
) -> None:
    """Prove that a log only grew since the last audit, and report every violation.

    Exit status 0: clean. 1: findings, with the signed notes that show them. 2: not audited, because
    a policy or a file cannot be used. 3: nothing is wrong in what was read, but a file of the log
    could not be read.
    """
    from ledger.events.sealed_entry import consent_entry
    from ledger.tlog import auditor as auditing
    from ledger.tlog import fetcher
    from ledger.verify import read_log_rules

    rules = read_log_rules.ReadLogRules(whole=_seen(state) is None)

    def of_consent(entry: bytes) -> str | None:
        return consent_entry(entry) or read_log_rules.check(rules, entry)

    judge = None if opaque else of_consent
    with _auditing():
        trust = _under(policy) if policy else _trust(key)
        run = partial(auditing.audit, fetcher.at(_place(log)), trust, _seen(state), judge)
        report = _not_older(_with_progress(run), at_least)
    _conclude(report, state, _seen_by(report, policy), as_json=as_json)


@app.command("audit-states")
def audit_states(  # noqa: PLR0913, PLR0917 - one for each option
    log: Annotated[str, typer.Argument(help="The state log: a tile directory, or its URL.")],
    consent: Annotated[str, typer.Argument(help="The consent log that it describes, likewise.")],
    policy: Annotated[Path, typer.Option("--policy", help="The state log's tlog-policy.")],
    consent_policy: Annotated[
        Path, typer.Option("--consent-policy", help="The consent log's tlog-policy.")
    ],
    state: Remembered = None,
    transitions: Annotated[
        str | None,
        typer.Option("--transitions", help="What each entry changed: a file, or its URL."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Your token for that URL.")
    ] = None,
    at_least: AtLeast = None,
    as_json: AsJson = False,
) -> None:
    """Prove that a state log only grew, and that each entry names a prefix of the consent log.

    The entries must name one key of the map's labels: the one that the policy lists (`vrf`). With
    --transitions, also prove that the map changed only by the instructions that the consent log
    gained, and that no customer's state went back. Without it, this is not checked.

    Exit status 0: clean. 1: findings, with the signed notes that show them. 2: not audited, because
    a policy or a file cannot be used. 3: nothing is wrong in what was read, but a file of the logs
    could not be read.
    """
    from ledger.statemap import map_auditor, transition_auditor
    from ledger.tlog import fetcher

    note = "not checked: give --transitions, a file that the company makes for auditors"
    with _auditing():
        trusted = map_auditor.Consent(fetcher.at(_place(consent)), _under(consent_policy))
        audited = partial(
            map_auditor.audit_states, fetcher.at(_place(log)), _under(policy), trusted, _seen(state)
        )
        report = _with_progress(partial(audited, trusted=_map_key(policy)))
        report = _not_older(report, at_least)
        if transitions and report.head:
            token = token_file.read_text("utf-8").strip() if token_file else None
            run = partial(transition_auditor.audit_transitions, fetcher.at(_place(log)))
            found = run(report.head, trusted, transitions, token)
            report = replace(report, findings=(*report.findings, *found.findings))
            note = str(found)
    _conclude(report, state, _seen_by(report, policy), as_json=as_json, transitions=note)


@app.command()
def transitions(
    to: Annotated[Path, typer.Argument(help="The file to write.")],
    data_dir: DataDir = HERE,
) -> None:
    """Write what each entry of the state log changed in the map, for an auditor.

    `sovereign audit-states --transitions FILE` checks it. The file contains no id and no state, but
    it shows which changes have the same customer: give it to auditors, do not publish it.
    Exit status 2: no ledger in the folder.
    """
    from ledger.statemap import transition
    from ledger.storage import database
    from ledger.storage.log_store import log_reader
    from ledger.storage.sqlite import LEDGER
    from ledger.tlog import atomic_file

    require_place(to)
    store = log_reader(database.of(require_ledger(data_dir)), LEDGER)
    try:
        with store.unchanging(), atomic_file.writing(to, atomic_file.OWNER_ONLY) as file:
            written = transition.write(file, store.state_store().transitions())
    finally:
        store.close()
    typer.echo(f"{to}: {written} transitions")


@app.command()
def evidence(
    subject: Annotated[str, typer.Argument(help="The customer's number.")],
    seq: Annotated[int, typer.Argument(help="Which of the customer's instructions, from 1.")],
    to: Annotated[Path, typer.Argument(help="The file to write.")],
    data_dir: DataDir = HERE,
    earlier: Annotated[
        list[Path] | None,
        typer.Option(
            "--kept", help="A receipt from that time, which proves when witnesses saw its entry."
        ),
    ] = None,
) -> None:
    """Write one file that proves an instruction, who signed it, and how that key was enrolled.

    The file contains all instructions of the customer: give it only to those who may see them.
    `sovereign verify --evidence FILE --policy …` checks it offline. Exit status 1: not written, and
    why. 2: no such receipt, or no ledger in the folder.
    """
    from ledger.errors import CorruptLogError
    from ledger.evidence_builder import ErasedError, LogMovedError, build_evidence
    from ledger.service import Ledger, UnknownSubjectError
    from ledger.tlog import atomic_file
    from ledger.verify import receipt
    from ledger.witness.client import RolledBackError

    for path in earlier or []:
        require_file(path, "a receipt")
    require_place(to)
    ledger = Ledger.reopen(require_ledger(data_dir))
    refused = (OSError, ValueError, UnknownSubjectError, ErasedError, LogMovedError)
    try:
        older = [receipt.parse(path.read_bytes().decode()) for path in earlier or []]
        built = build_evidence(ledger, data_dir, subject, seq, older)
    except (*refused, RolledBackError, CorruptLogError) as error:
        fail(f"not written: {error}", 1)
    finally:
        ledger.close()
    atomic_file.write(to, str(built).encode())
    entries, rotations = len(built.entries), len(built.rotations)
    typer.echo(f"{to}: {entries} instructions, {rotations} rotations of keys")


@contextmanager
def _auditing() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, MistakeError) as error:
        fail(f"not audited: {explained(error) or error}")


def _place(log: str) -> str:
    """A tile directory that exists, or an address. Raises MistakeError."""
    if urlsplit(log).scheme not in {"http", "https"} and not Path(log).is_dir():
        raise MistakeError(f"want a tile directory at {log}, found no folder: check the path")
    return log


def _seen(state: Path | None) -> str | None:
    return state.read_text("utf-8") if state and state.exists() else None


def _not_older(report: "AuditReport", at_least: Path | None) -> "AuditReport":
    """The report, with a finding if the log shows less than a checkpoint that is known."""
    from ledger.tlog import checkpoint, signed_note
    from ledger.tlog.auditor import AuditFinding, FindingKind
    from ledger.verify.times import attested

    if at_least is None or report.head is None:
        return report
    known = at_least.read_text("utf-8")
    try:
        wanted = checkpoint.parse(signed_note.parse(known).text)
        attested.require_at_least(report.head, wanted)
    except attested.TimeError as error:
        notes = {"known": known} | ({"shown": report.note} if report.note else {})
        older = AuditFinding(FindingKind.ROLLED_BACK, f"older than what is known: {error}", notes)
        return replace(report, findings=(*report.findings, older))
    return report


def _seen_by(report: "AuditReport", policy: Path | None) -> str:
    """Who else has seen the checkpoint that was audited, and when."""
    from ledger.tlog import policy as policies
    from ledger.tlog import signed_note
    from ledger.verify.times import attested

    if policy is None or report.note is None or report.head is None:
        return "by nobody else: no policy with witnesses, or no trusted checkpoint"
    try:
        note = signed_note.parse(report.note)
        seen = attested.of_note(policies.parse(policy.read_bytes()), note)
    except ValueError as error:
        return f"by nobody else: {error}"
    if seen is None:
        return "by nobody else: the policy asks for no witness"
    return f"{seen.at:{attested.FORMAT}} to {seen.by:{attested.FORMAT}}, {seen.who}"


def _conclude(
    report: "AuditReport",
    state: Path | None,
    seen: str,
    *,
    as_json: bool,
    transitions: str | None = None,
) -> None:
    from ledger.tlog.auditor import FindingKind

    if state and report.clean and report.note:
        _remember(state, report.note)
    shown = _json(report, transitions, seen) if as_json else _text(report, transitions, seen)
    typer.echo(shown)
    if all(each.kind == FindingKind.UNREADABLE for each in report.findings):
        raise typer.Exit(0 if report.clean else UNREAD)
    raise typer.Exit(1)


def _map_key(policy: Path) -> "MapKey | None":
    """The key of the map's labels that a policy lists; one from before maps were bound has none."""
    from ledger.tlog import policy as policies

    return next(iter(policies.parse(policy.read_bytes()).maps.values()), None)


def _under(policy: Path) -> "Demand":
    from ledger.tlog import policy as policies
    from ledger.tlog.auditor import PolicyDemand

    return PolicyDemand(policies.parse(policy.read_bytes()))


def _trust(key: Path | None) -> "Demand":
    from ledger.tlog import policy
    from ledger.tlog.auditor import KeyDemand

    if key is None:
        raise ValueError("want the keys to trust, found none: give --policy or --key")
    keys = [policy.log_key(line) for line in key.read_text("utf-8").splitlines()]
    return KeyDemand(keys)


def _with_progress(run: Callable[..., "AuditReport"]) -> "AuditReport":
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("entries", total=None)
        return run(progress=lambda n, of: bar.update(task, completed=n, total=of))


def _remember(state: Path, signed: str) -> None:
    from ledger.tlog import atomic_file

    atomic_file.write(state, signed.encode())


def _json(report: "AuditReport", transitions: str | None, seen: str) -> str:
    head = report.head
    shown = {"origin": head.origin, "size": head.size, "root": head.root.hex()} if head else None
    findings = [asdict(finding) for finding in report.findings]
    document: dict[str, Any] = {
        "clean": report.clean,
        "head": shown,
        "read": report.read,
        "findings": findings,
        "seen": seen,
    }
    if transitions is not None:
        document["transitions"] = transitions
    return json.dumps(document, indent=2, ensure_ascii=False)


def _text(report: "AuditReport", transitions: str | None, seen: str) -> str:
    from ledger.tlog.auditor import FindingKind

    head = report.head
    lines = [f"{finding.kind}: {finding.message}" for finding in report.findings]
    if head:
        lines.append(f"log       {head.origin}, {head.size} entries, root {head.root.hex()}")
    lines += [f"seen      {seen}", f"read      {report.read} entries"]
    if transitions is not None:
        lines.append(f"changes   {transitions}")
    wrong = any(each.kind != FindingKind.UNREADABLE for each in report.findings)
    unclean = "NOT CLEAN" if wrong else "COULD NOT BE READ"
    verdict = "clean" if report.clean else f"{unclean} (--json: evidence)"
    lines.append(f"verdict   {verdict}")
    return "\n".join(lines)
