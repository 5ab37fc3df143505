"""Starts the command `sovereign`.

`sovereign verify` calls the offline verifier before anything else is imported: the verifier runs on
the standard library and `cryptography` alone (tests/ledger/test_verifier.py blocks the rest).
"""

import sys


def main() -> None:
    if sys.argv[1:2] == ["verify"]:
        from ledger.verify.cli import main as verify

        sys.exit(verify(sys.argv[2:]))
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a text stream
    from ledger.storage.writer_lock import WriterBusyError
    from portal.commands import app, forwarding

    try:
        app()
    except WriterBusyError as busy:
        sys.exit(forwarding.elsewhere(app, sys.argv[1:], busy))


if __name__ == "__main__":
    main()
