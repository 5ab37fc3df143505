"""What of an agreement still holds under the contracts in force. The gate's words decide.

A grant given before a contract was widened holds no longer, and a field added since is not part of
it (specs/gate.md, G15). The pages show what the gate would do, never more.
"""

from collections.abc import Iterator
from dataclasses import replace

from gate.contracts import versions
from gate.contracts.scene import Scene
from gate.reads.point import Gate
from gate.state import consent_bits
from ledger.events.reducer import ConsentState, SceneConsent, SceneWithdrawal
from portal.web.problems import ChangedWordsError


def in_force(gate: Gate, said: ConsentState | None) -> ConsentState | None:
    """What the customer said, without what the contracts of today no longer count."""
    if said is None:
        return None
    with gate.lock:
        now, _ = gate.current(0)
        words = {scene: now.bits(scene, said.subject) for scene in gate.scenes}
    scenes = {
        name: _kept(gate.scenes[name], each, words[name]) if name in words else each
        for name, each in said.scenes.items()
    }
    return replace(said, scenes=scenes)


def lapsed(gate: Gate, subject: str) -> set[str]:
    """The scenes whose grant was given before the contract was widened."""
    with gate.lock:
        now, _ = gate.current(0)
        return {scene for scene in gate.scenes if now.superseded(scene, subject)}


def require_current(gate: Gate, scene: Scene) -> None:
    """Raise ChangedWordsError if the log has published a later version than the page showed."""
    with gate.lock:
        now, _ = gate.current(0)
        published = now.published.get(scene.id, versions.NONE)
    if published > versions.parse(scene.version):
        raise ChangedWordsError(scene.id)


def _kept(
    scene: Scene, said: SceneConsent | SceneWithdrawal, held: int
) -> SceneConsent | SceneWithdrawal:
    if not isinstance(said, SceneConsent):
        return said
    fields = frozenset(_named(scene, held)) & said.fields
    ended = held >> consent_bits.EXPIRY_SHIFT == consent_bits.SUPERSEDED
    return replace(said, fields=fields, until=said.at if ended else said.until)


def _named(scene: Scene, held: int) -> Iterator[str]:
    return (name for place, name in enumerate(scene.fields) if held >> place & 1)
