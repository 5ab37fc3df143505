"""Reduces an agreement to what is active under the present contracts, by the gate's consent bits.

A grant given before a contract was widened is no longer active, and a field added since is not part
of it (specs/gate.md, G15). The pages show what the gate would do, never more.
"""

from collections.abc import Iterator
from dataclasses import replace

from gate.contracts import versions
from gate.contracts.scene import Scene
from gate.reads.point import Gate
from gate.state import consent_bits
from ledger.events.reducer import ConsentState, SceneConsent, SceneWithdrawal
from portal.web.problems import ChangedWordsError


def active(gate: Gate, subject: str, state: ConsentState | None) -> ConsentState:
    """The customer's state without grants that are inactive under the present contracts.

    And with what only the gate knows: whether they were erased before.
    """
    with gate.lock:
        now, _ = gate.current(0)
        bits = {scene: now.bits(scene, subject) for scene in gate.scenes}
        returned = now.returned(subject)
    state = state or ConsentState(subject)
    scenes = {
        name: _reduced(gate.scenes[name], each, bits[name]) if name in bits else each
        for name, each in state.scenes.items()
    }
    return replace(state, scenes=scenes, returned=returned)


def superseded(gate: Gate, subject: str) -> set[str]:
    """Scenes whose grant is superseded, because the contract was widened after it."""
    with gate.lock:
        now, _ = gate.current(0)
        return {scene for scene in gate.scenes if now.superseded(scene, subject)}


def require_current(gate: Gate, scene: Scene) -> None:
    """Raise ChangedWordsError if the log has a later contract version than the page showed."""
    with gate.lock:
        now, _ = gate.current(0)
        published = now.published.get(scene.id, versions.NONE)
    if published > versions.parse(scene.version):
        raise ChangedWordsError(scene.id)


def _reduced(
    scene: Scene, consent: SceneConsent | SceneWithdrawal, bits: int
) -> SceneConsent | SceneWithdrawal:
    if not isinstance(consent, SceneConsent):
        return consent
    fields = frozenset(_named(scene, bits)) & consent.fields
    ended = consent_bits.expiry(bits) == consent_bits.SUPERSEDED
    return replace(consent, fields=fields, until=consent.at if ended else consent.until)


def _named(scene: Scene, bits: int) -> Iterator[str]:
    return (name for place, name in enumerate(scene.fields) if bits & consent_bits.field(place))
