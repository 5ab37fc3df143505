"""Run benchmarks, keep what they print, and make docs/performance.md from it.

    python -m benchmarks.record ledger_root gate_socket     run these, then renew the document
    python -m benchmarks.record                             renew the document alone

docs/performance/<name>.txt    a line about the run, then the benchmark's output as it was printed
docs/performance/earlier.md    tables of runs that were not repeated since, with their dates
"""

import os
import platform
import subprocess
import sys
from ast import get_docstring, parse
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "performance"
DOCUMENT = ROOT / "docs" / "performance.md"
IN_PROCESS = "in process: no server, no sockets"
KINDS = {  # how a benchmark reaches the product, unless it calls it in process
    "gate_http": "the ASGI application, without a server and without sockets",
    "gate_metrics": "the ASGI application, without a server and without sockets",
    "gate_socket": "served: a server and real sockets on one machine",
    "portal_pages": "the ASGI application, without a server and without sockets",
    "served": "served: a server and real sockets on one machine",
    "portal_paint": "served: a real browser over loopback",
}
HEAD = """# Performance

Made by `python -m benchmarks.record`; each block is what one command printed. Absolute figures
drift with the machine, so each benchmark prints ratios to a peer measured in the same run. Read
*what was measured*: a decision in process, an ASGI application without sockets and a served
product differ by a factor of 25.
"""


def record(name: str) -> None:
    """Run one benchmark and keep its output. Raises CalledProcessError if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    load = os.getloadavg()[0]
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores {platform.machine()},"
        f" Python {platform.python_version()}, load {load:.1f} at the end"
    )
    (FOLDER / f"{name}.txt").write_text(f"{head}\n{done.stdout.rstrip()}\n", "utf-8")


def document() -> str:
    """The text of docs/performance.md."""
    parts = [HEAD]
    for path in sorted(FOLDER.glob("*.txt")):
        name = path.stem
        run, _, output = path.read_text("utf-8").partition("\n")
        source = (ROOT / "benchmarks" / f"{name}.py").read_text("utf-8")
        about = (get_docstring(parse(source)) or "").partition("\n")[0]
        how = f"*What was measured:* {KINDS.get(name, IN_PROCESS)}. *When:* {run}."
        parts += [
            f"## {name}\n",
            f"{about}\n",
            f"{how} *Command:* `python -m benchmarks {name}`\n",
            f"```text\n{output.strip(chr(10))}\n```\n",
        ]
    return "\n".join([*parts, (FOLDER / "earlier.md").read_text("utf-8")])


def main() -> None:
    for name in sys.argv[1:]:
        record(name)
    DOCUMENT.write_text(document(), "utf-8")


if __name__ == "__main__":
    main()
