"""Print docs/features.md: `python -m tests.features`, or write it with `--write`."""

import argparse
import sys

from tests.features import catalogue

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.features", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {catalogue.DOCUMENT.name}")
    if parser.parse_args().write:
        catalogue.DOCUMENT.write_text(catalogue.document(), encoding="utf-8")
    else:
        sys.stdout.write(catalogue.document())
