"""The map of a period: the state log against the consent log, and each change of the map."""

from pathlib import Path

from ledger.statemap import map_auditor, transition_auditor
from ledger.statemap.map_auditor import Consent
from ledger.tlog.auditor import PolicyDemand
from ledger.tlog.fetcher import DirectorySource
from ledger.tlog.policy import LogPolicy
from ledger.verify.period.finding import PeriodFinding

PLACE = "log/state"


def audit(
    home: Path, trust: LogPolicy, consent: LogPolicy, transitions: Path | None
) -> tuple[int, str, list[PeriodFinding]]:
    """Number of entries, what was checked of the changes, and the findings."""
    states = DirectorySource(home / "log" / "state")
    beside = Consent(DirectorySource(home / "log" / "consent"), PolicyDemand(consent))
    key = next(iter(trust.maps.values()), None)
    report = map_auditor.audit_states(states, PolicyDemand(trust), beside, trusted=key)
    findings = [PeriodFinding.of(PLACE, each) for each in report.findings]
    if report.head is None:
        return 0, "not checked", findings
    if transitions is None:
        what = (
            "no transitions were given: whether the map changed by instructions only is not shown"
        )
        findings.append(PeriodFinding(PLACE, "withheld", what, unread=True))
        return report.head.size, "not checked", findings
    try:
        changes = transition_auditor.audit_transitions(
            states, report.head, beside, str(transitions)
        )
    except ValueError as error:  # the consent log is not trusted, which is a finding of its own
        what = f"the changes of the map cannot be compared with the consent log: {error}"
        findings.append(PeriodFinding("transitions", "not-compared", what, unread=True))
        return report.head.size, "not checked", findings
    findings += [PeriodFinding.of("transitions", each) for each in changes.findings]
    return report.head.size, str(changes), findings
