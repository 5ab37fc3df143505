r"""Audit a period of a company's published directory, without its code, keys or servers.

    python -m ledger.verify.period DIR --policy consent.policy --policy state.policy \
        --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z

DIR has the folder `log`. It walks the consent log from its first entry, the times that witnesses
and timestamp authorities attest, the map of latest states with its transitions, and every read log
as the consent log opened, anchored and closed it. Exit status 0: all was read, and nothing is
wrong. 1: something was read and is wrong. 2: the arguments or a policy cannot be used, and nothing
was audited. 3: nothing is wrong in what was read, and something could not be read, or is not shown.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from ledger.tlog import atomic_file, policy, signed_note
from ledger.tlog.policy import LogPolicyError
from ledger.tlog.signed_note import NoteError
from ledger.verify.cli import printable, read
from ledger.verify.period import report
from ledger.verify.period.finding import verdict
from ledger.verify.period.report import PeriodReport, PeriodRequest
from ledger.verify.receipt import ReceiptError
from ledger.verify.times import timestamp_token
from ledger.verify.times.attested import FORMAT
from ledger.verify.times.from_log import moment
from ledger.verify.times.timestamp_token import TokenError

_NO_ROOTS = (
    "--timestamp-roots is {}, want a PEM file with the root certificates of timestamp authorities,"
    " which begins with -----BEGIN CERTIFICATE-----"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit, write what was asked for, print the findings. Returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        _require_places(chosen)
        request = _request(chosen)
        signer = signed_note.signer(read(chosen.sign).decode().strip()) if chosen.sign else None
        made = report.audit(request)
        if chosen.json:
            atomic_file.write(chosen.json, report.text(made, signer).encode())
        if chosen.html:
            atomic_file.write(chosen.html, report.page(made).encode())
    except OSError as error:
        sys.stderr.write(f"COULD NOT READ: {error.filename}: {error.strerror}\n")
        return 2
    except (LogPolicyError, NoteError, ReceiptError, TokenError, ValueError) as error:
        sys.stderr.write(f"NOT AUDITED: {printable(str(error))}\n")
        return 2
    sys.stdout.write(_text(made))
    return verdict(made.findings).status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledger.verify.period", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("home", type=Path, help="the directory with the folder `log`")
    parser.add_argument("--policy", type=Path, action="append", required=True, help="both policies")
    parser.add_argument(
        "--from", dest="since", required=True, help="a time like 2026-11-01T00:00:00Z"
    )
    parser.add_argument("--to", dest="until", required=True, help="the time at which it ends")
    parser.add_argument(
        "--transitions", type=Path, help="what changed in the map: the company's file"
    )
    parser.add_argument(
        "--timestamp-roots", type=Path, help="PEM certificates of trusted authorities"
    )
    parser.add_argument("--json", type=Path, help="write the report for programs to this file")
    parser.add_argument("--html", type=Path, help="write a page to print to this file")
    parser.add_argument("--sign", type=Path, help="with --json: your key (`sovereign keygen`)")
    return parser


def _request(chosen: argparse.Namespace) -> PeriodRequest:
    since, until = _time("--from", chosen.since), _time("--to", chosen.until)
    if since >= until:
        raise ValueError(f"the period ends at {chosen.until}, want a time after {chosen.since}")
    if not (chosen.home / "log").is_dir():
        raise FileNotFoundError(2, "no folder with the logs", str(chosen.home / "log"))
    trusted = tuple(policy.parse(read(path, policy.MAX_SIZE)) for path in chosen.policy)
    pem = chosen.timestamp_roots
    roots = _roots(pem) if pem else ()
    return PeriodRequest(chosen.home, trusted, since, until, chosen.transitions, roots)


def _time(option: str, text: str) -> datetime:
    """Raises ValueError unless the text is a time in UTC."""
    try:
        return moment(text)
    except ValueError as error:
        what = f"{option} is {text!r}, want a time in UTC such as 2026-11-01T00:00:00Z"
        raise ValueError(what) from error


def _roots(path: Path) -> tuple[x509.Certificate, ...]:
    """Raises OSError, ReceiptError, and TokenError for a file without certificates."""
    try:
        found = tuple(timestamp_token.roots_of(read(path)))
    except TokenError as error:
        raise TokenError(_NO_ROOTS.format(path)) from error
    if not found:
        raise TokenError(_NO_ROOTS.format(path))
    return found


def _require_places(chosen: argparse.Namespace) -> None:
    """Raise before the audit if a report cannot be written, or would change what is audited.

    Raises ValueError or FileNotFoundError.
    """
    audited = chosen.home.resolve()
    for option, path in (("--json", chosen.json), ("--html", chosen.html)):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise FileNotFoundError(2, f"no such folder, want one for {option}", str(path.parent))
        if path.is_dir():
            raise ValueError(f"{option} is the folder {path}, want a file")
        if path.resolve().is_relative_to(audited):
            raise ValueError(
                f"{option} is {path}, which is in the audited directory: name a file elsewhere"
            )


def _text(made: PeriodReport) -> str:
    document, head = made.document(), made.walk.head
    lines = [
        f"{'COULD NOT READ' if each.unread else 'WRONG'}  {each.place}: {each.kind}: {each.message}"
        for each in made.findings
    ]
    if head:
        lines.append(f"log       {head.origin}, {head.size} entries, root {head.root.hex()}")
    newest = document["newest"] or "never: only the log says when"
    lines += [
        f"period    {made.request.since:{FORMAT}} to {made.request.until:{FORMAT}}",
        f"seen      {newest}, by {', '.join(document['vouching']) or 'nobody else'}",
        f"bounds    {_bounds(document['gap_s'])}",
        f"map       {made.states} entries; changes: {made.changes}",
    ]
    for each in made.reads:
        lines.append(f"reads     {each.origin}: {each.entries}, {each.reads.total()} in the period")
    lines.append(f"verdict   {document['verdict']}")
    return "".join(f"{printable(each)}\n" for each in lines)


def _bounds(gap_s: int | None) -> str:
    if gap_s is None:
        return "no act of the period lies between two checkpoints that others saw"
    return f"each act lies between two checkpoints that others saw, at most {gap_s} s apart"


if __name__ == "__main__":
    sys.exit(main())
