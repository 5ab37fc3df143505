"""Starts the command `sovereign`.

`sovereign verify` and `own-reads` call the offline verifiers before anything else is imported: they
run on the standard library and `cryptography` alone (tests/ledger/test_verifier.py blocks the
rest).
"""

import sys


def main() -> None:
    if sys.argv[1:2] == ["verify"]:
        from ledger.verify.cli import main as verify

        sys.exit(verify(sys.argv[2:]))
    if sys.argv[1:2] == ["own-reads"]:
        from ledger.verify.own_reads import main as own_reads

        sys.exit(own_reads(sys.argv[2:]))
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a text stream
    from ledger.storage.writer_lock import WriterBusyError
    from portal.commands import app, forwarding

    _require_text(sys.argv)
    try:
        app()
    except WriterBusyError as busy:
        sys.exit(forwarding.elsewhere(app, sys.argv[1:], busy))


def _require_text(argv: list[str]) -> None:
    """Refuse an argument with bytes that are no text, before anything is looked up by it."""
    for number, argument in enumerate(argv):
        try:
            argument.encode()
        except UnicodeEncodeError:
            sys.stderr.write(f"argument {number} is no text in UTF-8: correct it\n")
            sys.exit(2)


if __name__ == "__main__":
    main()
