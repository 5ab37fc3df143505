"""Starts the command `sovereign`.

`sovereign verify` calls the offline verifier before anything else is imported: the verifier runs on
the standard library and `cryptography` alone (tests/ledger/test_verifier.py blocks the rest).
"""

import sys


def main() -> None:
    if sys.argv[1:2] == ["verify"]:
        from ledger.verify.cli import main as verify

        sys.exit(verify(sys.argv[2:]))
    from portal.commands import app

    app()


if __name__ == "__main__":
    main()
