"""Where the product finds the specifications that it reads."""

from pathlib import Path


def specs_folder() -> Path:
    """The folder of the specifications that the product reads, in a checkout or a wheel."""
    package = Path(__file__).parents[1]
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"
