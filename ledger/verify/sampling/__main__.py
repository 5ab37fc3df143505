r"""Draw read-log entries by a challenge that nobody could foresee, and check how they were opened.

    python -m ledger.verify.sampling draw DIR --policy consent.policy --nonce NONCE \
        --handed-over 2026-12-01T09:00:00Z --from … --to … --sample 20 --out challenge.json
    python -m ledger.verify.sampling check DIR --policy consent.policy \
        --challenge challenge.json --openings openings.json

DIR has the folder `log`. Hand over SHA-256 of the nonce, the period and the number of entries
(`sovereign note-draw`, which prints the time), wait until witnesses have seen a newer
checkpoint, and draw. The company opens the drawn entries (`sovereign open-entries`), and you check
what it gives you. Standard library and `cryptography` only. Exit status 0: drawn, or each entry is
opened and follows from what is published. 1: something was read and is wrong. 2: an argument cannot
be used. 3: nothing is wrong, and something could not be read, drawn or decided. 4: the company did
not open an entry, and nothing is wrong in those that it opened.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ledger.tlog import atomic_file, policy
from ledger.tlog.fetcher import UnreadableError
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.verify.announced_read_logs import UnsoundLogError
from ledger.verify.cli import printable, read
from ledger.verify.receipt import ReceiptError
from ledger.verify.sampling import challenge, check, openings, population
from ledger.verify.sampling.challenge import MAX_SAMPLE, ChallengeError, ChallengeRequest
from ledger.verify.sampling.openings import OpeningsError
from ledger.verify.times.from_log import moment

NOT_READ = 3
_MISTAKEN = (LogPolicyError, OpeningsError, ReceiptError, ValueError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw or check, and print the result. Returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        trust = policy.parse(read(chosen.policy, policy.MAX_SIZE))
        if not (chosen.home / "log").is_dir():
            raise FileNotFoundError(2, "no folder with the logs", str(chosen.home / "log"))
        return _draw(chosen, trust) if chosen.what == "draw" else _check(chosen, trust)
    except OSError as error:
        sys.stderr.write(f"COULD NOT READ: {error.filename}: {error.strerror}\n")
        return 2
    except UnreadableError as error:
        sys.stderr.write(f"COULD NOT READ: {printable(str(error))}\n")
        return NOT_READ
    except UnsoundLogError as error:
        sys.stderr.write(f"WRONG  {printable(str(error))}\n")
        return 1
    except _NotDrawnError as error:
        sys.stderr.write(f"NOT DRAWN: {printable(str(error))}\n")
        return NOT_READ
    except _MISTAKEN as error:
        sys.stderr.write(f"NOT USED: {printable(str(error))}\n")
        return 2


class _NotDrawnError(Exception):
    """Nothing can be drawn from these files yet."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledger.verify.sampling", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    every = parser.add_subparsers(dest="what", required=True)
    drawing = every.add_parser("draw", help="draw entries, and write the challenge")
    checking = every.add_parser("check", help="check the openings of a challenge")
    for each in (drawing, checking):
        each.add_argument("home", type=Path, help="the directory with the folder `log`")
        each.add_argument("--policy", type=Path, required=True, help="of the consent log")
    drawing.add_argument("--nonce", required=True, help="32 random bytes in hex")
    drawing.add_argument(
        "--handed-over", required=True, help="when the company noted SHA-256 of the nonce"
    )
    drawing.add_argument("--sample", type=int, required=True, help="how many entries")
    drawing.add_argument("--from", dest="since", required=True, help="a time in UTC")
    drawing.add_argument("--to", dest="until", required=True, help="the time at which it ends")
    drawing.add_argument("--out", type=Path, required=True, help="the challenge, for the company")
    checking.add_argument("--challenge", type=Path, required=True, help="your file of it")
    checking.add_argument("--openings", type=Path, required=True, help="what the company gave")
    return parser


def _draw(chosen: argparse.Namespace, trust: LogPolicy) -> int:
    request = _request(chosen)
    if chosen.out.resolve().is_relative_to(chosen.home.resolve()):
        raise ValueError(f"--out is {chosen.out}, which is in the audited directory")
    try:
        known = population.drawn(chosen.home, trust, request)
    except ChallengeError as error:
        raise _NotDrawnError(str(error)) from error
    made = known.challenge
    atomic_file.write(chosen.out, made.encode())
    head = made.head
    shown = [
        f"nonce     SHA-256 {challenge.seal(request.nonce)}",
        f"seed      by {head.origin}, {head.size} entries, root {head.root.hex()}",
        *(f"drawn     {each.log}#{each.entry}" for each in made.drawn),
        f"challenge {len(made.drawn)} of {made.of} entries",
    ]
    sys.stdout.write("".join(f"{printable(each)}\n" for each in shown))
    return 0


def _request(chosen: argparse.Namespace) -> ChallengeRequest:
    """Raises ValueError for an argument that cannot be used."""
    if not 0 < chosen.sample <= MAX_SAMPLE:
        raise ValueError(f"--sample is {chosen.sample}, want 1 to {MAX_SAMPLE}")
    times = []
    given = {
        "--handed-over": chosen.handed_over,
        "--from": chosen.since,
        "--to": chosen.until,
    }
    for option, text in given.items():
        try:
            times.append(moment(text))
        except ValueError as error:
            what = f"{option} is {text!r}, want a time in UTC such as 2026-11-01T00:00:00Z"
            raise ValueError(what) from error
    handed_over, since, until = times
    if since >= until:
        raise ValueError(f"the period ends at {chosen.until}, want a time after {chosen.since}")
    return ChallengeRequest(challenge.nonce(chosen.nonce), handed_over, chosen.sample, since, until)


def _check(chosen: argparse.Namespace, trust: LogPolicy) -> int:
    asked = challenge.parse(read(chosen.challenge, challenge.MAX_SIZE))
    given = openings.parse(read(chosen.openings, openings.MAX_SIZE))
    try:
        findings = check.check(chosen.home, trust, asked, given)
    except ChallengeError as error:
        raise _NotDrawnError(str(error)) from error
    shown = [*check.lines(findings)]
    status = check.status(findings)
    opened = sum(each.kind.status == 0 for each in findings)
    shown.append(f"verdict   {opened} of {len(asked.drawn)} opened: {check.WORDS[status]}")
    sys.stdout.write("".join(f"{printable(each)}\n" for each in shown))
    return status


if __name__ == "__main__":
    sys.exit(main())
