"""Writes docs/words.md, or prints it: `python -m tests.words [--write]`."""

import sys

from tests import words

if "--write" in sys.argv[1:]:
    words.DOCUMENT.write_text(words.document(), "utf-8")
else:
    sys.stdout.write(words.document())
