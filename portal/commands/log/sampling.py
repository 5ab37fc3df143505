"""`sovereign note-draw` and `open-entries`: a regulator's sample of the read logs."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands.errors import MistakeError, fail, require_ledger, require_place
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from gate.replay.open_entries import OpenedEntry
    from ledger.verify.sampling.challenge import SampleChallenge
    from steward.oversight.sampled_entries import DrawTerms

app = typer.Typer()


@app.command("note-draw")
def note_draw(
    seal: Annotated[str, typer.Argument(help="SHA-256 of the 64 digits of the nonce.")],
    by: Annotated[str, typer.Option("--by", help="Which authority draws; its customers see it.")],
    since: Annotated[str, typer.Option("--from", help="When the period begins, in UTC.")],
    until: Annotated[str, typer.Option("--to", help="When it ends, in UTC.")],
    sample: Annotated[int, typer.Option(help="How many entries will be drawn.")],
    data_dir: DataDir = HERE,
) -> None:
    """Note that an authority will draw entries of read logs, while nobody can know which.

    It hands over SHA-256 of its nonce, the period and the number. The draw then rests on the next
    checkpoint that witnesses see after the time printed here, and `open-entries` opens no other
    one. A draw that is noted again with the same words keeps its time. Exit status 0: noted. 1:
    another draw by this nonce was noted before. 2: no ledger in the folder, or an argument that
    cannot be used.
    """
    from ledger import clock
    from ledger.follower import Follower
    from ledger.verify.times.attested import FORMAT
    from steward.oversight.register import Register
    from steward.oversight.sampled_entries import DrawError, SampledEntries

    home = require_ledger(data_dir)
    terms = _terms(by, seal, since, until, sample)
    follower = Follower(home)
    try:
        noted = SampledEntries(Register(home, follower)).note(terms, clock.now())
    except DrawError as error:
        fail(f"nothing was noted: {error}", 1)
    finally:
        follower.close()
    typer.echo(f"handed over at {noted.at:{FORMAT}}")


@app.command("open-entries")
def open_entries(
    challenge: Annotated[Path, typer.Argument(help="The regulator's challenge.")],
    out: Annotated[Path, typer.Option("--out", help="The file of openings to write.")],
    instructions: Annotated[
        bool,
        typer.Option(
            "--instructions", help="Also the instructions that they rest on, which name customers."
        ),
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Open exactly the entries of a draw that was noted, so that nothing of another one follows.

    The draw is repeated from the published files first, so that nobody's entry is opened because
    somebody chose it. Each customer sees on their page of reads that their entry was shown. `python
    -m ledger.verify.sampling check` compares the openings with what is published. Exit status 0:
    written. 1: the challenge is not the draw that was noted, or names other entries than were
    drawn, or one cannot be opened. 2: no ledger in the folder, or the challenge cannot be used.
    """
    from gate.replay.open_entries import EntryOpener, NotOpenableError
    from gate.storage.read_log import ReadLogDatabases
    from ledger import clock
    from ledger.follower import Follower
    from ledger.tlog import atomic_file
    from ledger.verify.sampling.openings import Openings
    from steward.oversight.register import Register
    from steward.oversight.sampled_entries import DrawError, SampledEntries

    home = require_ledger(data_dir)
    require_place(out)
    asked = _parsed(challenge)
    follower, logs = Follower(home), ReadLogDatabases(home)
    register = SampledEntries(Register(home, follower))
    try:
        noted = register.require_noted(asked.request)
        _require_drawn(home, asked)
        opened = EntryOpener(follower, logs, asked, instructions).open()
        register.record(_by_customer(opened), noted.terms.by, asked.digest, clock.now())
    except (DrawError, NotOpenableError) as error:
        fail(f"nothing was opened: {error}", 1)
    finally:
        logs.close()
        follower.close()
    # If we crash here, customers see an opening that nobody has: never the other way round.
    answer = Openings(asked.digest, tuple(each.opening for each in opened))
    atomic_file.write(out, answer.encode(), atomic_file.OWNER_ONLY)
    typer.echo(f"{out}: {len(opened)} of {len(asked.drawn)} entries opened, drawn from {asked.of}")


def _terms(by: str, seal: str, since: str, until: str, sample: int) -> "DrawTerms":
    """Raises MistakeError for an argument that cannot be used."""
    from ledger.verify.sampling.challenge import MAX_SAMPLE, is_digest
    from steward.oversight.sampled_entries import DrawTerms

    if not by.strip():
        raise MistakeError("want the name of the authority that draws (--by)")
    if not is_digest(seal):
        raise MistakeError(f"want SHA-256 of the nonce as 64 digits in hex, found {seal[:70]!r}")
    if not 0 < sample <= MAX_SAMPLE:
        raise MistakeError(f"--sample is {sample}, want 1 to {MAX_SAMPLE}")
    times = _time("--from", since), _time("--to", until)
    if times[0] >= times[1]:
        raise MistakeError(f"the period ends at {until}, want a time after {since}")
    return DrawTerms(by.strip(), seal, *times, sample)


def _time(option: str, text: str) -> datetime:
    from ledger.verify.times.from_log import moment

    try:
        return moment(text)
    except ValueError as error:
        what = f"{option} is {text!r}, want a time in UTC such as 2026-11-01T00:00:00Z"
        raise MistakeError(what) from error


def _parsed(path: Path) -> "SampleChallenge":
    from ledger.verify.sampling import challenge
    from ledger.verify.sampling.challenge import ChallengeError

    try:
        return challenge.parse(path.read_bytes())
    except ChallengeError as error:
        raise MistakeError(f"{path}: {error}") from error


def _require_drawn(home: Path, asked: "SampleChallenge") -> None:
    """Repeat the draw from nonce and published files; end if it draws other entries."""
    from ledger.tlog import policy
    from ledger.tlog.fetcher import UnreadableError
    from ledger.verify.announced_read_logs import UnsoundLogError
    from ledger.verify.sampling import population
    from ledger.verify.sampling.challenge import ChallengeError

    try:
        trust = policy.parse((home / "consent.policy").read_bytes())
        known = population.drawn(home, trust, asked.request)
    except ChallengeError as error:
        raise MistakeError(str(error)) from error
    except (UnsoundLogError, UnreadableError) as error:
        fail(f"nothing was opened: {error}: run fsck", 1)
    if known.challenge != asked:
        fail("nothing was opened: the nonce and the published files draw other entries", 1)


def _by_customer(opened: "Sequence[OpenedEntry]") -> dict[str, list[tuple[str, int]]]:
    shown = defaultdict[str, list[tuple[str, int]]](list)
    for each in opened:
        if each.subject is not None:
            shown[each.subject].append((each.opening.drawn.log, each.opening.drawn.entry))
    return shown
