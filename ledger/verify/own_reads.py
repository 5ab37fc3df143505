"""Find every entry of public read logs that is about one customer, and no other, offline.

    sovereign own-reads KEYS LOG… --consent LOG --policy POLICY    keys and anchors from there
    sovereign own-reads KEYS LOG… --key VKEYS…                     each log is signed by its key

KEYS is the file that the customer downloads, LOG a tile directory or its address. Each log is
verified first: its entries hash to the root that its key signed. An entry is the customer's if it
has the tag that their key derives for it, or if the list or set that it names has them. Lists and
sets are in the folder `--named`, by their digests. `--listed` compares with `reads.json` of the
customer's archive, which also says what became of each answer: delivered, cut or unknown. That is
the company's own note: nothing proves it. A read that an earlier list has and no log has any more
was removed from the logs. It needs the standard library and `cryptography` only.

Exit status 0: every entry was looked at, and nothing is wrong. 1: something was read and is wrong:
a log or a named file is not what it must be, the list lacks an entry, or no log has one that it
lists. 2: an argument cannot be used: no such file, or not one of this form; nothing was looked at.
3: nothing is wrong in what was read, but a log could not be read, or some logs, lists or sets that
were announced or named were not given, or are no longer kept.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ledger.tlog import checkpoint, fetcher, policy, signed_note
from ledger.tlog.auditor import KeyDemand, PolicyDemand
from ledger.tlog.checkpoint import MalformedCheckpointError
from ledger.tlog.fetcher import LogSource, UnreadableError
from ledger.tlog.policy import LogPolicyError
from ledger.tlog.signed_note import NoteError
from ledger.verify import announced_read_logs, masked_persons, read_keys
from ledger.verify.announced_read_logs import AnnouncedLog, UnsoundLogError
from ledger.verify.cli import printable, read
from ledger.verify.read_keys import ReadKeys, ReadKeysError
from ledger.verify.read_log_entry import STATISTICS, asking
from ledger.verify.read_log_search import NamedFiles, OwnRead, Searched, search
from ledger.verify.receipt import ReceiptError

UNKNOWN = "unknown"
DELIVERIES = ("delivered", "cut", UNKNOWN)  # what became of an answer
MAX_LISTED = 1 << 30  # bytes of `reads.json`
_REFUSED = (
    UnicodeDecodeError,
    NoteError,
    LogPolicyError,
    MalformedCheckpointError,
    ReadKeysError,
    ReceiptError,
    UnsoundLogError,
)


class ListedReadsError(ReceiptError):
    """The file is not the `reads.json` of an archive."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Search the logs and print what was found. Returns the exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if bool(chosen.consent) != bool(chosen.policy):
        parser.error("--consent and --policy are given together")
    try:
        given = _given(chosen)
    except OSError as error:
        sys.stderr.write(f"NOTHING WAS LOOKED AT: {error.filename}: {error.strerror}\n")
        return 2
    except _REFUSED as error:
        sys.stderr.write(f"NOTHING WAS LOOKED AT: {printable(str(error))}\n")
        return 2
    try:
        result = _searched(chosen, given)
    except OSError as error:
        sys.stderr.write(f"COULD NOT READ: {error.filename}: {error.strerror}\n")
        return 3
    except UnreadableError as error:
        sys.stderr.write(f"COULD NOT READ: {printable(str(error))}\n")
        return 3
    except _REFUSED as error:
        sys.stderr.write(f"NOT VERIFIED: {printable(str(error))}\n")
        return 1
    sys.stdout.write(_json(result) if chosen.json else _text(result))
    wrong = result["not_listed"] or result["not_logged"]
    return 1 if wrong else 3 if result["incomplete"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sovereign own-reads", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("keys", type=Path, help="the file of read keys")
    parser.add_argument("logs", nargs="+", help="tile directories of read logs, or their URLs")
    trust = parser.add_mutually_exclusive_group(required=True)
    trust.add_argument("--consent", help="the consent log, which announced the read logs")
    trust.add_argument("--key", type=Path, nargs="+", help="files of the read logs' verifier keys")
    parser.add_argument("--policy", type=Path, help="with --consent: its tlog-policy")
    parser.add_argument("--named", type=Path, help="a folder of the named lists and sets")
    parser.add_argument("--listed", type=Path, help="`reads.json` of the customer's archive")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


@dataclass(frozen=True, slots=True)
class _Given:
    """The files that the arguments name, parsed."""

    mine: ReadKeys
    trust: PolicyDemand | None  # of the consent log
    keys: Mapping[str, AnnouncedLog]  # without a consent log
    listed: dict[tuple[Any, ...], list[str]] | None


def _given(chosen: argparse.Namespace) -> _Given:
    """Raises OSError, and what _REFUSED has."""
    mine = read_keys.parse(read(chosen.keys, read_keys.MAX_SIZE))
    listed = None if chosen.listed is None else _listed(chosen.listed)
    if chosen.policy:
        demand = PolicyDemand(policy.parse(read(chosen.policy, policy.MAX_SIZE)))
        return _Given(mine, demand, {}, listed)
    lines = [line for path in chosen.key for line in read(path).decode().splitlines()]
    keys = {policy.log_key(line).name: AnnouncedLog(line) for line in lines}
    return _Given(mine, None, keys, listed)


def _searched(chosen: argparse.Namespace, given_files: _Given) -> dict[str, Any]:
    mine, listed, logs = given_files.mine, given_files.listed, given_files.keys
    if given_files.trust is not None:
        logs = announced_read_logs.announced(fetcher.at(chosen.consent), given_files.trust)
    named = NamedFiles(chosen.named)
    found = [_log(fetcher.at(each), logs, mine, named) for each in chosen.logs]
    results = [each for each in found if each is not None]
    given = {each.origin for each in results}
    if len(given) < len(results):
        raise UnsoundLogError("one log was given twice")
    anchored = {name for name, each in logs.items() if each.anchors}
    growing = {name for name, each in logs.items() if each.closed is None}
    removed = {name: each.removed for name, each in logs.items() if each.removed is not None}
    wanted = anchored | growing if chosen.consent else mine.logs.keys()
    absent = sorted(wanted - given - removed.keys())
    not_kept = sorted((removed[name], name) for name in removed.keys() & anchored - given)
    own = [each for result in results for each in result.own]
    compared = [(each, UNKNOWN if listed is None else _taken(listed, each)) for each in own]
    lacking = [each for each, delivery in compared if delivery is None]
    partial = bool(absent or not_kept) or any(each.undecided for each in results)
    left = (
        _left(listed) if listed is not None and chosen.consent else []
    )  # or not all logs are known
    shown = min((each.looked for each in results if each.origin in growing), default=MAX_LISTED)
    gone = [] if partial else [each for each in left if each["entry"] < shown]
    return {
        "absent": absent,
        "empty": sorted(logs.keys() - wanted - given) if chosen.consent else [],
        "incomplete": partial or len(gone) < len(left),
        "logs": [asdict(each) | {"own": len(each.own)} for each in results],
        "not_kept": [{"closed": f"{at:%Y-%m-%d}", "origin": name} for at, name in not_kept],
        "not_found": [] if partial else [each for each in left if each not in gone],
        "not_listed": [each.place for each in lacking],
        "not_logged": gone,
        "own": [asdict(each) | {"delivery": noted or UNKNOWN} for each, noted in compared],
    }


def _log(
    source: LogSource, logs: Mapping[str, AnnouncedLog], mine: ReadKeys, named: NamedFiles
) -> Searched | None:
    """Verify and search one log; None: its entries were removed, as the consent log says.

    Raises UnsoundLogError, UnreadableError.
    """
    shown = signed_note.parse(source.read("checkpoint").decode())
    origin = checkpoint.parse(shown.text).origin
    if origin not in logs:
        raise UnsoundLogError(f"no key is known of the log {origin}: give it, or the consent log")
    if origin not in mine.logs:
        raise UnsoundLogError(f"{origin} is not in the file of read keys: download a newer one")
    trust = KeyDemand([policy.log_key(logs[origin].key)])
    announced = logs[origin]
    try:
        result = search(source, trust, announced.anchors, mine.number, mine.of(origin), named)
    except UnreadableError:
        if announced.removed is None:
            raise
        return None
    if announced.closed is not None and result.looked != announced.closed:
        raise UnsoundLogError(
            f"{origin} shows {result.looked} entries, the consent log closed it with"
            f" {announced.closed}"
        )
    return result


def _listed(path: Path) -> dict[tuple[Any, ...], list[str]]:
    """What became of each read in a list, by what the list says of it.

    The list does not name logs, so that several may be equal.
    """
    listed = defaultdict[tuple[Any, ...], list[str]](list)
    try:
        for each in json.loads(read(path, MAX_LISTED).decode()):
            noted = each.get("delivery", UNKNOWN)  # lists of earlier versions do not say
            listed[_row(each["entry"], each)].append(DELIVERIES[DELIVERIES.index(noted)])
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise ListedReadsError(f"{path.name} is not the list of an archive: {error}") from error
    return listed


def _taken(listed: Mapping[tuple[Any, ...], list[str]], own: OwnRead) -> str | None:
    """What became of a read, which leaves the list; None if the list lacks it or says otherwise.

    Of equal reads of several logs that ended differently, nobody can say which was which.
    """
    rows = listed.get(_row(own.index, asdict(own)))
    if not rows:
        return None
    same = len({*rows}) == 1
    last = rows.pop()
    if not same:
        rows[:] = [UNKNOWN] * len(rows)
    return last if same else UNKNOWN


def _left(listed: Mapping[tuple[Any, ...], list[str]]) -> list[dict[str, Any]]:
    """The reads of a list that no given log has."""
    shown = [
        dict(zip(("entry", *_NAMED), row, strict=False)) for row, n in listed.items() for _ in n
    ]
    return sorted(shown, key=lambda each: (each["at"], each["entry"]))


_NAMED = ("action", "at", "scene", "service", "subject")


def _row(index: int, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    views = {} if entry["action"] == STATISTICS else entry["views"]
    return (index, *(entry[name] for name in _NAMED), *sorted(views.items()))


def _json(result: Mapping[str, Any]) -> str:
    return f"{json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False)}\n"


def _text(result: Mapping[str, Any]) -> str:
    lines = [line for each in result["logs"] for line in _log_lines(each)]
    lines += [_read_line(each) for each in result["own"]]
    lines += [f"  NOT GIVEN   the log {each}" for each in result["absent"]]
    lines += [
        f"  NOT KEPT    the log {each['origin']}, closed {each['closed']}: removed as declared"
        for each in result["not_kept"]
    ]
    lines += [f"  NO ENTRY    the log {each} was closed without one" for each in result["empty"]]
    lines += [
        f"  NOT LOGGED  {_listed_line(each)}: listed, and in no log"
        for each in result["not_logged"]
    ]
    lines += [
        f"  NOT FOUND   {_listed_line(each)}: listed, and perhaps not published yet"
        for each in result["not_found"]
    ]
    lines += [f"  NOT LISTED  {each}" for each in result["not_listed"]]
    looked = sum(each["looked"] for each in result["logs"])
    complete = "some could not be decided" if result["incomplete"] else "each was decided"
    lines.append(f"{len(result['own'])} of {looked} entries are yours; {complete}")
    return "".join(f"{printable(line)}\n" for line in lines)


def _listed_line(read: Mapping[str, Any]) -> str:
    return f"entry {read['entry']}  {read['at']}  {asking(read)}"


def _log_lines(log: Mapping[str, Any]) -> Iterator[str]:
    yield f"VERIFIED      {log['origin']}, {log['looked']} entries, root {log['root']}"
    for reason, entries in log["undecided"].items():
        yield f"  NOT DECIDED {len(entries)} entries, {reason}: {', '.join(map(str, entries))}"


def _read_line(own: Mapping[str, Any]) -> str:
    views = ", ".join(f"{name} {view}" for name, view in own["views"].items()) or "nothing"
    asked = asking(own, _for_person(own["on_behalf_of"]))
    rests = _rests(own["determined_by"])
    return f"  {own['place']}  {own['at']}  {asked}: {views}{rests}; {own['delivery']}"


def _for_person(person: str | None) -> str:
    """On whose behalf a service asked, if it named somebody; masked without the key."""
    if person is None:
        return ""
    masked = masked_persons.is_masked_person(person)
    return f" on behalf of {'somebody' if masked else person}"


def _rests(determined_by: int | str | None) -> str:
    """What a read rests on, unless that is nothing, or masked and the file of keys an old one."""
    return f", by entry {determined_by}" if isinstance(determined_by, int) else ""


if __name__ == "__main__":
    sys.exit(main())
