"""A regulator audits a period with files and keys alone; every tampering is named (Q1 to Q6)."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.tlog import signed_note
from ledger.verify.period.__main__ import main
from ledger.witness import own_witnesses
from tests.campaign import sized
from tests.features.catalogue import feature
from tests.features.period_world import (
    ZERO,
    Period,
    bundle,
    changed,
    colluding,
    cosigned,
    days,
    dropped,
    flip,
    newest_reads,
    play,
    repeated,
    rewrite,
    size_of,
    tile,
    without,
)

WITNESSES = tuple(f"demonstration.invalid/{name}" for name in own_witnesses.NAMES)
READS = sized(0, 100_000)  # beside the few that each tampering is about
LATE, EARLY = "2099-01-01T00:00:00Z", "2019-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def period(unserved: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Period]:
    yield play(unserved, tmp_path_factory.mktemp("period"), READS)
    own_witnesses.stop()


def consent(home: Path) -> Path:
    return home / "log" / "consent"


def state(home: Path) -> Path:
    return home / "log" / "state"


def checkpoint(folder: Path, edit: Callable[[list[str]], list[str]]) -> None:
    path = folder / "checkpoint"
    path.write_text("\n".join(edit(path.read_text("utf-8").split("\n"))), "utf-8")


def lines(home: Path, edit: Callable[[list[str]], list[str]]) -> None:
    """Edit the lines of what witnesses cosigned."""
    path = days(home)[-1]
    path.write_text("".join(edit(path.read_text("utf-8").splitlines(keepends=True))), "utf-8")


def another_root(line: str) -> str:
    text = json.loads(line)
    origin, size, _, rest = text.split("\n", 3)
    return json.dumps(f"{origin}\n{size}\n{ZERO}\n{rest}", ensure_ascii=False) + "\n"


def unsigned(line: str) -> str:
    text = json.loads(line)
    kept = [each for each in text.splitlines(keepends=True) if "demonstration" not in each]
    return json.dumps("".join(kept), ensure_ascii=False) + "\n"


def larger(home: Path) -> str:
    """Two witnesses cosign a checkpoint of more entries, that the company signed and hides."""
    origin, size, _ = (consent(home) / "checkpoint").read_text().split("\n", 2)
    from ledger.keys import log_keys

    signers = log_keys.read(home / "keys" / "consent.key")
    note = signed_note.sign(f"{origin}\n{int(size) + 9}\n{ZERO}\n", signers[:1])
    return json.dumps(str(cosigned(home, str(note))), ensure_ascii=False) + "\n"


def token(home: Path, number: int = -1) -> Path:
    found = (consent(home) / "timestamps").glob("*.tsr")
    return sorted(found, key=lambda each: int(each.stem))[number]


def unattested(folder: Path) -> None:
    for each in ("witnessed", "timestamps"):
        shutil.rmtree(folder / each)


def unannounced(home: Path) -> None:
    """A read log that the consent log never opened, rightly signed by a key of its own."""
    from ledger.tlog.writer import Log

    key = signed_note.generate("demo.sovereign.example/reads-0badcafe")
    log = Log.open(home / "hidden.sqlite", key.name, key)
    log.append([b"{}"])
    log.export(home / "log" / "reads-0badcafe")
    log.close()


def resigned(folder: Path) -> None:
    """The checkpoint of a read log, signed by another key."""
    note = signed_note.parse((folder / "checkpoint").read_text())
    key = signed_note.generate(note.text.split("\n")[0])
    (folder / "checkpoint").write_text(str(signed_note.sign(note.text, [key])))


def earlier_reads(home: Path) -> None:
    """The read log as it was after its first entries: what it had anchored since is gone."""
    shutil.copy(home.parent / "earlier-reads", newest_reads(home) / "checkpoint")


Tampering = tuple[Callable[[Path], object], str]
TAMPERINGS: dict[str, Tampering] = {
    # the consent log
    "an entry changed": (lambda h: flip(bundle(consent(h))), "log/consent: wrong-root"),
    "a tile changed": (lambda h: flip(tile(consent(h))), "log/consent: wrong-tile"),
    "a bundle cut": (
        lambda h: bundle(consent(h)).write_bytes(bundle(consent(h)).read_bytes()[:-3]),
        "COULD NOT READ  log/consent: unreadable",
    ),
    "a bundle removed": (
        lambda h: bundle(consent(h)).unlink(),
        "COULD NOT READ  log/consent: unreadable",
    ),
    "no checkpoint": (
        lambda h: (consent(h) / "checkpoint").unlink(),
        "COULD NOT READ  log/consent: unreadable",
    ),
    "another size": (
        lambda h: checkpoint(consent(h), lambda it: [it[0], f"{int(it[1]) - 1}", *it[2:]]),
        "log/consent: untrusted",
    ),
    "another root": (
        lambda h: checkpoint(consent(h), lambda it: [*it[:2], ZERO, *it[3:]]),
        "log/consent: untrusted",
    ),
    "no cosignatures": (
        lambda h: without(consent(h) / "checkpoint", *WITNESSES),
        "log/consent: untrusted",
    ),
    "one cosignature, of a quorum of two": (
        lambda h: without(consent(h) / "checkpoint", *WITNESSES[:2]),
        "log/consent: untrusted",
    ),
    "not signed by the log": (
        lambda h: without(consent(h) / "checkpoint", "demo.sovereign.example/consent"),
        "log/consent: untrusted",
    ),
    "rolled back, and signed anew": (
        lambda h: rewrite(h, lambda entries: entries[:-1]),
        "log/consent/witnessed: rolled-back",
    ),
    "an instruction exchanged, and signed anew": (
        lambda h: rewrite(h, lambda it: [it[1], it[0], *it[2:]]),
        "log/consent/witnessed: split-view",
    ),
    "an entry that is neither": (
        lambda h: colluding(h, lambda it: [*it, b"\x03hello"]),
        "neither a commitment nor a public act",
    ),
    # the state log
    "an entry of the state log changed": (lambda h: flip(bundle(state(h))), "log/state: wrong"),
    "a tile of the state log changed": (lambda h: flip(tile(state(h)), 5), "log/state: wrong-tile"),
    "the state log not cosigned": (
        lambda h: without(state(h) / "checkpoint", *WITNESSES),
        "log/state: untrusted",
    ),
    "no state log": (lambda h: shutil.rmtree(state(h)), "COULD NOT READ  log/state: unreadable"),
    "a state log of another consent log": (
        lambda h: colluding(h, lambda it: [it[1], it[0], *it[2:]]),
        "log/state: malformed-entry",
    ),
    # read logs, and what the consent log says of them
    "an entry of a read log changed": (
        lambda h: flip(bundle(newest_reads(h))),
        "log/reads-",
    ),
    "a tile of a read log changed": (lambda h: flip(tile(newest_reads(h)), 5), "wrong-tile"),
    "no checkpoint of a read log": (
        lambda h: (newest_reads(h) / "checkpoint").unlink(),
        "is not in the directory",
    ),
    "a read log deleted": (lambda h: shutil.rmtree(newest_reads(h)), "is not in the directory"),
    "a read log cut after its anchor": (earlier_reads, ": cut: it shows"),
    "a read log signed by another key": (lambda h: resigned(newest_reads(h)), ": untrusted:"),
    "a read log that was never opened": (unannounced, "the consent log never opened it"),
    "an anchor of another root": (
        lambda h: colluding(h, changed("read-log-closed", root=ZERO)),
        "two roots at size",
    ),
    "an anchor of more entries than are shown": (
        lambda h: colluding(h, changed("read-log-closed", size=1 << 20)),
        ": cut: it shows",
    ),
    "an anchor without an opening": (
        lambda h: colluding(h, dropped("read-log-opened")),
        "is anchored without having been opened",
    ),
    "a log opened again with another key": (
        lambda h: colluding(h, repeated("read-log-opened", key="x+00000000+AAAA")),
        "is opened again",
    ),
    "an anchor after the end": (
        lambda h: colluding(h, repeated("read-log-closed")),
        "no act may follow",
    ),
    "no anchors": (
        lambda h: colluding(
            h, lambda it: dropped("read-log-closed")(dropped("read-log-anchored")(it))
        ),
        "are not anchored yet",
    ),
    # times
    "a line cut": (lambda h: lines(h, lambda it: [*it[:-1], it[-1][:-9]]), "witnessed: malformed"),
    "a line with another root": (
        lambda h: lines(h, lambda it: [another_root(it[0]), *it[1:]]),
        "witnessed: untrusted",
    ),
    "a line without cosignatures": (
        lambda h: lines(h, lambda it: [unsigned(it[0]), *it[1:]]),
        "witnessed: untrusted",
    ),
    "lines in another order": (
        lambda h: lines(h, lambda it: [it[-1], *it[:-1]]),
        "witnessed: wrong-order",
    ),
    "a hidden larger log": (
        lambda h: lines(h, lambda it: [*it, larger(h)]),
        "witnessed: rolled-back",
    ),
    "nothing of witnesses or authorities": (
        lambda h: unattested(consent(h)),
        "COULD NOT READ  log/consent: unwitnessed",
    ),
    "an act dated 2099": (
        lambda h: colluding(h, changed("scene-published", at=LATE)),
        "(scene-published) states 2099-01-01T00:00:00Z, but",
    ),
    "an act dated 2019": (
        lambda h: rewrite(h, repeated("scene-published", at=EARLY)),
        "(scene-published) states 2019-01-01T00:00:00Z, but",
    ),
    "a token changed": (lambda h: flip(token(h), -20), "timestamps: wrong-time"),
    "a token of another size": (
        lambda h: token(h).rename(token(h).with_name(f"{int(token(h).stem) - 1}.tsr")),
        "timestamps: wrong-time",
    ),
    "a token of a larger log": (
        lambda h: token(h).rename(token(h).with_name(f"{size_of(consent(h)) + 9}.tsr")),
        "timestamps: rolled-back",
    ),
    "a token that is none": (lambda h: token(h).write_bytes(b"hello"), "timestamps: wrong-time"),
    "a token without a size": (
        lambda h: token(h).rename(token(h).with_name("newest.tsr")),
        "timestamps: malformed",
    ),
    # transitions
    "transitions cut off": (
        lambda h: (h / "transitions").write_bytes((h / "transitions").read_bytes()[:-9]),
        "transitions: ",
    ),
    "a transition changed": (lambda h: flip(h / "transitions", -40), "transitions: "),
    "no transitions": (lambda h: (h / "transitions").unlink(), "transitions: withheld"),
}


@pytest.mark.campaign
@feature("M8")
def test_q1_a_period_is_audited_with_files_and_keys_alone(
    period: Period, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = signed_note.generate("regulator.example/audits")
    (tmp_path / "key").write_text(f"{key.secret()}\n")
    out = [tmp_path / "report.json", tmp_path / "report.html"]
    more = ["--json", str(out[0]), "--html", str(out[1]), "--sign", str(tmp_path / "key")]
    status = main([*period.options(period.home), *more])
    printed = capsys.readouterr().out
    assert (status, "verdict   sound" in printed) == (0, True), printed
    assert "by the authority CN=Test authority, witnesses" in printed
    note = signed_note.parse(out[0].read_text())
    signed_note.verify(note, [key.verifier])
    document = json.loads(note.text)
    assert (document["verdict"], document["findings"]) == ("sound", [])
    assert sum(row["entries"] for log in document["reads"] for row in log["period"]) >= READS + 3
    assert document["checkpoint"]["origin"] in out[1].read_text()


def test_q2_forty_tamperings_are_in_the_list() -> None:
    assert len(TAMPERINGS) >= 40


@pytest.mark.campaign
@pytest.mark.parametrize("what", TAMPERINGS)
def test_q2_a_tampering_is_named(
    period: Period, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    home = tmp_path / "data"
    for part in ("log", "keys", "witnesses"):
        shutil.copytree(period.home / part, home / part)
    for file in ("consent.policy", "state.policy", "transitions"):
        shutil.copy(period.home / file, home / file)
    shutil.copy(period.home.parent / "earlier-reads", tmp_path / "earlier-reads")
    tamper, named = TAMPERINGS[what]
    tamper(home)
    status = main(period.options(home))
    printed = capsys.readouterr().out
    found = [line for line in printed.splitlines() if line.startswith(("WRONG", "COULD NOT"))]
    assert any(named in line for line in found), printed
    wrong = any(line.startswith("WRONG") for line in found)
    assert status == (1 if wrong else 3)


def test_q3_a_period_that_nobody_saw_end_is_not_covered(
    period: Period, capsys: pytest.CaptureFixture[str]
) -> None:
    options = period.options(period.home)
    later = f"{datetime.now(UTC).year + 1}-01-01T00:00:00Z"
    options[options.index("--to") + 1] = later
    assert main(options) == 3
    assert "COULD NOT READ  log/consent: not-covered" in capsys.readouterr().out


def test_q4_what_cannot_be_used_is_told_apart_from_findings(
    period: Period, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = period.options(period.home)
    nowhere = [str(tmp_path), *options[1:]]
    assert main(nowhere) == 2
    assert "COULD NOT READ" in capsys.readouterr().err
    backwards = [*options]
    backwards[options.index("--to") + 1] = period.since
    assert main(backwards) == 2
    assert "NOT AUDITED: the period ends at" in capsys.readouterr().err
    place = options.index(str(period.home / "state.policy"))
    one = [*options[: place - 1], *options[place + 1 :]]
    assert main(one) == 2
    assert "no given policy is of the state log" in capsys.readouterr().err


MISTAKEN = {
    "a day without a time": ("--from", "2026-11-30", "--from is '2026-11-30', want a time in UTC"),
    "roots that are none": ("--timestamp-roots", "{home}/consent.policy", "want a PEM file with"),
    "a folder that is missing": ("--json", "/nonexist/x.json", "/nonexist: no such folder"),
    "a report over a file of the log": (
        "--html",
        "{home}/log/consent/checkpoint",
        "which is in the audited directory",
    ),
    "a report in the directory": ("--json", "{home}/x.json", "which is in the audited directory"),
}


@pytest.mark.parametrize("why", MISTAKEN)
def test_q8_a_mistaken_argument_is_named_with_what_is_wanted(
    why: str, period: Period, capsys: pytest.CaptureFixture[str]
) -> None:
    option, value, wanted = MISTAKEN[why]
    before = (consent(period.home) / "checkpoint").read_bytes()
    named = value.format(home=period.home)
    assert main([*period.options(period.home), option, named]) == 2
    assert wanted in capsys.readouterr().err
    assert (consent(period.home) / "checkpoint").read_bytes() == before
    assert not (period.home / "x.json").exists()


def test_a16_withheld_checkpoints_widen_the_bounds_that_the_verdict_states(
    period: Period, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = shutil.copytree(period.home, tmp_path / "data")
    widest = list[int]()
    for _ in range(2):
        main(period.options(home))
        found = re.search(r"at most ([0-9]+) s apart", capsys.readouterr().out)
        assert found is not None
        widest.append(int(found[1]))
        lines(home, lambda it: [it[0], it[-1]])
        shutil.rmtree(consent(home) / "timestamps", ignore_errors=True)
    assert widest[1] > widest[0]
