"""Draw docs/figures/architecture.svg from the layers in pyproject.toml.

python -m tests.architecture.picture
"""

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "figures" / "architecture.svg"
WIDTH, MARGIN, GAP, BOX, LINE = 1040, 20, 26, 30, 8
COLOURS = {
    "portal": "#dbe9f6",
    "steward": "#e4f0dc",
    "gate": "#fbe9cf",
    "ledger": "#eadcf0",
    "synthetic": "#f6dddd",
}
QUESTIONS = {
    "portal": "How do people and programs reach the product?",
    "steward": "What must the company do about a change?",
    "gate": "What may be read?",
    "ledger": "What did customers authorise, and how is it checked?",
    "synthetic": "What is answered instead of personal data?",
}
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1d2733} .name{font-weight:600;font-size:17px}"
    " .small{font-size:12.5px;fill:#44505c} .folder{fill:#fff;stroke:#8a97a5}"
    " .arrow{stroke:#44505c;stroke-width:1.6;marker-end:url(#head)}"
)


def layers() -> dict[str, list[list[str]]]:
    """Package -> its layers from the top, each a list of folders and modules."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return {
        each["containers"][0]: [[part.strip() for part in row.split("|")] for row in each["layers"]]
        for each in contracts
        if "containers" in each
    }


def draw() -> str:
    found = {package: _folders(package, rows) for package, rows in layers().items()}
    parts: list[str] = []
    top = MARGIN
    for package in ("portal", "steward", "gate"):
        height = _height(found[package])
        parts += _package(package, found[package], MARGIN, top, WIDTH - 2 * MARGIN)
        parts.append(_arrow(WIDTH // 2, top + height, top + height + GAP))
        top += height + GAP
    half = (WIDTH - 3 * MARGIN) // 2
    parts += _package("ledger", found["ledger"], MARGIN, top, half)
    parts += _package("synthetic", found["synthetic"], 2 * MARGIN + half, top, half)
    bottom = top + max(_height(found["ledger"]), _height(found["synthetic"])) + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" role="img">'
        "<title>Five packages and their folders; each imports only what is below it</title>"
        f"<style>{STYLE}</style>"
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#44505c"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{bottom}" fill="#fff"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def _folders(package: str, rows: list[list[str]]) -> list[list[str]]:
    """The layers that are folders; single modules are left to the text."""
    kept = [[part for part in row if (ROOT / package / part).is_dir()] for row in rows]
    return [row for row in kept if row]


def _height(rows: list[list[str]]) -> int:
    return 40 + len(rows) * (BOX + LINE)


def _package(name: str, rows: list[list[str]], left: int, top: int, width: int) -> list[str]:
    height, fill = _height(rows), COLOURS[name]
    parts = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="8" fill="{fill}"/>',
        f'<text class="name" x="{left + 12}" y="{top + 24}">{name}</text>',
        f'<text class="small" x="{left + 100}" y="{top + 24}">{escape(QUESTIONS[name])}</text>',
    ]
    for number, row in enumerate(rows):
        each = (width - 24 - LINE * (len(row) - 1)) // len(row)
        for place, folder in enumerate(row):
            x, y = left + 12 + place * (each + LINE), top + 34 + number * (BOX + LINE)
            parts.append(
                f'<rect class="folder" x="{x}" y="{y}" width="{each}" height="{BOX}" rx="5"/>'
                f'<text x="{x + each / 2:g}" y="{y + 20}" text-anchor="middle">{folder}</text>'
            )
    return parts


def _arrow(x: int, top: int, bottom: int) -> str:
    return f'<line class="arrow" x1="{x}" y1="{top + 3}" x2="{x}" y2="{bottom - 2}"/>'


if __name__ == "__main__":
    TARGET.write_text(draw(), "utf-8")
