"""What the product publishes and gives to customers and auditors, read by JavaScript."""

import io
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ledger.service import Ledger
from ledger.statemap import transition
from ledger.tlog import policy
from ledger.tlog.policy import LogPolicy, WitnessGroup
from tests.interop.opinions import ACCEPTS, REFUSES, answers, has_node
from tests.ledger.events import NOON
from tests.ledger.test_evidence import CHANGED, archive, changed
from tests.ledger.worlds import AGE, entries, opened, say

pytestmark = pytest.mark.skipif(not has_node(), reason="needs Node.js with Ed25519")


def text_of(trusted: LogPolicy) -> str:
    lines = [f"witness {name} {key}\n" for name, key in trusted.witnesses.items()]
    lines += [_group(name, each) for name, each in trusted.groups.items()]
    watched = f"{''.join(lines)}quorum {trusted.quorum}\n"
    return policy.text(trusted.logs, watched, [*trusted.maps.values()], trusted.ranges)


def _group(name: str, group: WitnessGroup) -> str:
    return f"group {name} {group.k} {' '.join(group.members)}\n"


def case(text: str, trusted: Sequence[LogPolicy]) -> dict[str, Any]:
    return {"evidence": text, "policies": [text_of(each) for each in trusted]}


def steps(seq: int) -> list[list[Any]]:
    """What Python says of how the key came to be the customer's."""
    return [
        [
            each.seq,
            each.index,
            each.at,
            each.key.hex() if each.key else None,
            int(each.seen.timestamp()) if each.seen else None,
        ]
        for each in archive().verified(seq).steps
    ]


def test_i71_i73_both_read_evidence_of_ten_years_and_say_the_same_of_the_keys() -> None:
    told = [seq for seq in archive().texts if seq]
    asked = [case(archive().texts[seq], archive().first) | {"steps": steps(seq)} for seq in told]
    assert answers(["steps", each] for each in asked) == [ACCEPTS] * len(told)
    wrong = asked[-1] | {"steps": asked[0]["steps"]}
    assert answers([["steps", wrong]]) == [REFUSES]


def test_i72_the_newest_policies_suffice_for_both() -> None:
    newest = case(archive().texts[2], archive().last)
    assert answers([["evidence", newest]]) == [ACCEPTS]


def test_i74_changed_evidence_is_refused_by_both() -> None:
    asked = [case(changed(change), archive().first) for change in CHANGED.values()]
    assert answers(["evidence", each] for each in asked) == [REFUSES] * len(CHANGED)


def audited(ledger: Ledger, home: Path) -> dict[str, Any]:
    """Both logs as they are published, and the file for auditors."""
    ledger.export(home / "log/consent")
    ledger.states.export(home / "log/state")
    file = io.BytesIO()
    transition.write(file, ledger._store.state_store().transitions())
    folders = {"consent": home / "log/consent", "states": home / "log/state"}
    notes = {f"{name}_note": (each / "checkpoint").read_text() for name, each in folders.items()}
    vkeys = [
        (home / "keys" / f"{name}.vkey").read_text().split()[0] for name in ("state", "consent")
    ]
    return {
        "states": [each.decode() for each in entries(folders["states"])],
        "consent": [each.hex() for each in entries(folders["consent"])],
        "keys": vkeys,
        "transitions": file.getvalue().hex(),
        **notes,
    }


def test_s35_the_browsers_verifier_audits_what_a_ledger_publishes(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        say(ledger, "c-1", AGE, AGE)
        say(ledger, "c-2", AGE)
        ledger.erase("c-1", NOON)
        say(ledger, "c-1", AGE)  # returns, as somebody new
        found = audited(ledger, tmp_path)
    less = found | {"transitions": found["transitions"][:-146]}  # the last change
    assert answers([["transition", found], ["transition", less]]) == [ACCEPTS, REFUSES]
