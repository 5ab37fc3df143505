"""Builds a gate; used by every process, test and benchmark that needs one.

    options = GateOptions(known_by=("name",))
    gate = build(ledger, source, scenes, journal, policy, key, options=options)

A gate is complete when it is returned: its crosscheck is running and the given releases are served.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gate.contracts.scene import Scene
from gate.policy.cedar import CedarPolicy
from gate.readlog.writer import Journal
from gate.reads.crosscheck import Crosscheck
from gate.reads.point import Gate, GateOptions, LedgerView
from gate.reads.releases import Synthesiser
from gate.reads.sources.interface import RowSource
from gate.state.consent_index import ConsentIndex

Releases = Mapping[str, Iterable[Synthesiser]]  # scene -> its releases in log order
NO_RELEASES: Releases = MappingProxyType({})


def build(  # noqa: PLR0913 - the parts of a gate, each given once
    ledger: LedgerView,
    source: RowSource,
    scenes: Mapping[str, Scene],
    journal: Journal,
    policy: CedarPolicy,
    key: bytes,
    *,
    state: ConsentIndex | None = None,
    releases: Releases = NO_RELEASES,
    options: GateOptions | None = None,
) -> Gate:
    """A gate over `ledger` and `source` that writes its read-log entries to `journal`.

    `key`: a secret of the gate that keeps synthetic values stable per customer and release.
    `state`: a consent state to start from, e.g. from gate.state.snapshot.
    """
    options = options or GateOptions()
    gate = Gate(ledger, source, scenes, journal, policy, key, state=state, options=options)
    journal.subscribe(Crosscheck(gate, options.crosscheck_every).see)
    for scene, known in releases.items():
        gate.serve(scene, *known)
    return gate
