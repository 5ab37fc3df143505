"""Write the vectors, all or those named: `python -m specs.vectors [note …]`."""

import sys
from pathlib import Path

from specs.vectors.every import EVERY
from specs.vectors.vector import text

for name in sys.argv[1:] or EVERY:
    file = Path(__file__).parent / f"{name}.json"
    file.write_text(text(EVERY[name]()), encoding="ascii")
