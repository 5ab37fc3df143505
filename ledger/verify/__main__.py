"""`python -m ledger.verify RECEIPT --key VKEY`."""

import sys

from ledger.verify.cli import main

sys.exit(main())
