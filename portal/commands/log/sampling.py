"""`sovereign open-entries`: open the read-log entries that a regulator drew."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.commands.errors import MistakeError, fail, require_ledger, require_place
from portal.commands.options import HERE, DataDir

if TYPE_CHECKING:
    from gate.replay.open_entries import OpenedEntry
    from ledger.verify.sampling.challenge import SampleChallenge

app = typer.Typer()


@app.command("open-entries")
def open_entries(
    challenge: Annotated[Path, typer.Argument(help="The regulator's challenge.")],
    out: Annotated[Path, typer.Option("--out", help="The file of openings to write.")],
    by: Annotated[str, typer.Option("--by", help="Which authority drew; its customers see it.")],
    sealed: Annotated[
        str | None, typer.Option(help="SHA-256 of the nonce's digits, as it was handed over.")
    ] = None,
    instructions: Annotated[
        bool,
        typer.Option(
            "--instructions", help="Also the instructions that they rest on, which name customers."
        ),
    ] = False,
    data_dir: DataDir = HERE,
) -> None:
    """Open exactly the entries of a challenge, each so that nothing of another one follows.

    The draw is repeated from the published files first, so that nobody's entry is opened because
    somebody chose it. Each customer sees on their page of reads that their entry was shown. `python
    -m ledger.verify.sampling check` compares the openings with what is published. Exit status 0:
    written. 1: the challenge names other entries than were drawn, or one cannot be opened. 2: no
    ledger in the folder, or the challenge cannot be used.
    """
    from gate.replay.open_entries import EntryOpener, NotOpenableError
    from gate.storage.read_log import ReadLogDatabases
    from ledger import clock
    from ledger.follower import Follower
    from ledger.tlog import atomic_file
    from ledger.verify.sampling.openings import Openings
    from steward.oversight.register import Register
    from steward.oversight.sampled_entries import SampledEntries

    home = require_ledger(data_dir)
    require_place(out)
    if not by.strip():
        raise MistakeError("want the name of the authority that drew (--by)")
    asked = _drawn(home, challenge, sealed)
    follower, logs = Follower(home), ReadLogDatabases(home)
    try:
        opened = EntryOpener(follower, logs, asked, instructions).open()
        shown = _by_customer(opened)
        register = SampledEntries(Register(home, follower))
        register.record(shown, by.strip(), asked.digest, clock.now())
    except NotOpenableError as error:
        fail(f"nothing was opened: {error}", 1)
    finally:
        logs.close()
        follower.close()
    # If we crash here, customers see an opening that nobody has: never the other way round.
    answer = Openings(asked.digest, tuple(each.opening for each in opened))
    atomic_file.write(out, answer.encode(), atomic_file.OWNER_ONLY)
    typer.echo(f"{out}: {len(opened)} of {len(asked.drawn)} entries opened")


def _drawn(home: Path, path: Path, sealed: str | None) -> "SampleChallenge":
    """The challenge, if its entries are those that its nonce and the published files draw."""
    from ledger.tlog import policy
    from ledger.tlog.fetcher import UnreadableError
    from ledger.verify.announced_read_logs import UnsoundLogError
    from ledger.verify.sampling import challenge, population
    from ledger.verify.sampling.challenge import ChallengeError

    try:
        asked = challenge.parse(path.read_bytes())
        trust = policy.parse((home / "consent.policy").read_bytes())
        known = population.drawn(home, trust, asked.request)
    except ChallengeError as error:
        raise MistakeError(f"{path}: {error}") from error
    except (UnsoundLogError, UnreadableError) as error:
        fail(f"nothing was opened: {error}: run fsck", 1)
    if sealed not in {None, challenge.seal(asked.request.nonce)}:
        fail("nothing was opened: the nonce is not the one whose SHA-256 was handed over", 1)
    if known.challenge != asked:
        fail("nothing was opened: the nonce and the published files draw other entries", 1)
    return asked


def _by_customer(opened: "Sequence[OpenedEntry]") -> dict[str, list[tuple[str, int]]]:
    shown = defaultdict[str, list[tuple[str, int]]](list)
    for each in opened:
        if each.subject is not None:
            shown[each.subject].append((each.opening.drawn.log, each.opening.drawn.entry))
    return shown
