"""`python -m ledger.verifier RECEIPT --key VKEY`."""

import sys

from ledger.verifier import main

sys.exit(main())
