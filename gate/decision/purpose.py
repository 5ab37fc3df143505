"""Compares the purpose that a caller states with the contract's (W3C DPV terms)."""

from gate.contracts.scene import Scene

DPV = ("", "dpv:", "https://w3id.org/dpv#")  # ways to write a term of the vocabulary


def agrees(stated: str | None, scene: Scene) -> bool:
    """Whether the stated purpose is the scene's, or the caller stated none."""
    return stated is None or stated in {f"{prefix}{scene.purpose}" for prefix in DPV}
