"""The report of a period: one document for programs, and a page to print.

    {"checkpoint":{"origin":"…","root":"…","size":70000},"findings":[…],"format":"sovereign-period/v1",
     "from":"2026-11-01T00:00:00Z","to":"2026-12-01T00:00:00Z","verdict":"sound", …}

Signed, it is a C2SP signed note: the document on one line, and a signature of the auditor's key.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from cryptography import x509

from ledger.tlog import signed_note
from ledger.tlog.fetcher import DirectorySource
from ledger.tlog.policy import LogPolicy, LogPolicyError
from ledger.tlog.signed_note import Signer
from ledger.vault import commitments
from ledger.verify.period import consent, reads, states
from ledger.verify.period.consent import ConsentWalk
from ledger.verify.period.finding import PeriodFinding, verdict
from ledger.verify.period.reads import PeriodReads
from ledger.verify.period.times import PeriodTimes
from ledger.verify.times.attested import FORMAT

TYPE = "sovereign-period/v1"


@dataclass(frozen=True, slots=True)
class PeriodRequest:
    """What to audit: a directory, by policies, from one time to before another."""

    home: Path
    policies: tuple[LogPolicy, ...]
    since: datetime
    until: datetime
    transitions: Path | None = None
    roots: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class PeriodReport:
    """What the audit found. `reads`: of each read log."""

    request: PeriodRequest
    walk: ConsentWalk
    times: PeriodTimes
    states: int
    changes: str
    reads: list[PeriodReads]
    findings: list[PeriodFinding] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        asked, head = self.request, self.walk.head
        acts = consent.in_period(self.walk, asked.since, asked.until)
        kinds = [kind for _, kind, _ in acts]
        shown = (
            {"origin": head.origin, "root": head.root.hex(), "size": head.size} if head else None
        )
        witnesses = sorted({each.who for each in self.times.attested})
        return {
            "acts": {kind: kinds.count(kind) for kind in sorted({*kinds})},
            "changes": self.changes,
            "checkpoint": shown,
            "findings": [asdict(each) for each in self.findings],
            "format": TYPE,
            "from": f"{asked.since:{FORMAT}}",
            "gap_s": self.times.widest(asked.since, asked.until),
            "instructions": self.walk.instructions,
            "newest": self._newest(),
            "reads": [
                {"entries": each.entries, "log": each.origin, "period": _counted(each)}
                for each in self.reads
            ],
            "states": self.states,
            "to": f"{asked.until:{FORMAT}}",
            "verdict": str(verdict(self.findings)),
            "vouching": witnesses,
        }

    def _newest(self) -> str | None:
        """When others saw the newest checkpoint that they attest."""
        seen = [each.at for each in self.times.attested]
        return f"{max(seen):{FORMAT}}" if seen else None


def audit(request: PeriodRequest) -> PeriodReport:
    """Audit all of it. Raises LogPolicyError if the policies lack one of the two logs."""
    home = request.home
    of_consent, of_states = _policy(request, ""), _policy(request, "/state")
    times = PeriodTimes(home / consent.PLACE, of_consent, request.roots)
    walk = ConsentWalk(times.read())
    findings = walk.read(DirectorySource(home / consent.PLACE), of_consent)
    times.check(walk)
    size = walk.head.size if walk.head else 0
    entries, changes, about_states = states.audit(home, of_states, of_consent, request.transitions)
    period = (request.since, request.until)
    found, about_reads = reads.audit(home, walk.logs, walk.opened_at, size, period)
    findings += [*times.findings, *times.covers(request.since, request.until)]
    findings += [*about_states, *about_reads]
    return PeriodReport(request, walk, times, entries, changes, found, findings)


def text(report: PeriodReport, signer: Signer | None = None) -> str:
    """The document on one line; with a signer, as a signed note."""
    line = commitments.canonical(report.document()).decode() + "\n"
    return str(signed_note.sign(line, [signer])) if signer else line


def page(report: PeriodReport) -> str:
    """The report as an HTML page to print, without scripts."""
    document = report.document()
    rows = [("verdict", document["verdict"]), ("from", document["from"]), ("to", document["to"])]
    if head := document["checkpoint"]:
        rows += [("log", head["origin"]), ("entries", head["size"]), ("root", head["root"])]
    rows += [
        ("last seen by others", document["newest"] or "never: only the log says when"),
        ("who attests times", ", ".join(document["vouching"]) or "nobody"),
        (
            "seconds between two checkpoints around an act, at most",
            "none" if document["gap_s"] is None else document["gap_s"],
        ),
        ("instructions", document["instructions"]),
        ("changes of the map", document["changes"]),
    ]
    rows += [(f"public acts: {kind}", count) for kind, count in document["acts"].items()]
    found = [
        (
            each["place"],
            each["kind"],
            "could not be read" if each["unread"] else "is wrong",
            each["message"],
        )
        for each in document["findings"]
    ]
    counted = [
        (each["log"], *(row[name] for name in ("service", "scene", "action", "reason", "entries")))
        for each in document["reads"]
        for row in each["period"]
    ]
    heads = (
        ("place", "kind", "how", "finding"),
        ("read log", "service", "scene", "action", "reason", "entries"),
    )
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Audit of a period',
            "</title>\n<h1>Audit of a period</h1>\n",
            _table(("what", "value"), rows),
            f"<h2>Findings: {len(found)}</h2>\n",
            _table(heads[0], found),
            "<h2>Reads in the period</h2>\n",
            _table(heads[1], counted),
            "</html>\n",
        )
    )


def _counted(log: PeriodReads) -> list[dict[str, Any]]:
    names = ("service", "scene", "action", "reason")
    return [
        dict(zip(names, key, strict=True)) | {"entries": count}
        for key, count in sorted(log.reads.items())
    ]


def _table(names: tuple[str, ...], rows: list[Any]) -> str:
    head = "".join(f"<th>{escape(each)}" for each in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in row) + "\n" for row in rows
    )
    return f"<table border=1>\n<tr>{head}\n{body}</table>\n"


def _policy(request: PeriodRequest, ending: str) -> LogPolicy:
    """The policy of the consent log (""), or of its state log ("/state")."""
    for each in request.policies:
        names = {key.name for key in each.logs}
        if any(name.endswith("/state") == bool(ending) for name in names):
            return each
    which = "state log" if ending else "consent log"
    raise LogPolicyError(f"no given policy is of the {which}: give both with --policy")
