"""What the process that commands are forked from has loaded: see process.py.

It starts no thread: a fork would leave it behind.
"""

import gc
import pkgutil
import signal
from functools import cache
from importlib import import_module
from typing import cast

import ibis
from typer import main

import gate
import ledger
import portal
import steward
import synthetic
from gate.contracts import company
from gate.policy import cedar
from portal import commands
from portal.configuration.privacy_limits import PrivacyLimits
from portal.operations.company_folder import example
from portal.operations.wiring import Product
from portal.web import i18n, pages
from synthetic.fitting import provenance
from tests import read_once

# Imported by the functions that use them.
LAZY = (
    "cryptography.hazmat.backends.openssl.backend",
    "diffprivlib.models",
    "dp_accounting.pld.privacy_loss_distribution",
    "duckdb",
    "ibis.backends.duckdb",
    "ibis.backends.duckdb.converter",
    "ibis.formats.pandas",
    "nacl.bindings",
    "opendp.prelude",
    "opt_einsum",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "rich._emoji_codes",
    "rich.progress",
    "scipy.signal",
    "sqlalchemy.dialects.sqlite",
    "typer._adapters",
    "typer._click.decorators",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
)


def _load() -> None:
    for package in (ledger, gate, synthetic, steward, portal):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    for name in LAZY:
        import_module(name)
    ibis.duckdb  # noqa: B018 - looks for the backend among all installed packages, once
    read_once.install()
    cedar.load(cedar.law_folder(), example() / "policy")
    company.load(example())
    i18n.load()
    _load_pages()
    PrivacyLimits().release  # noqa: B018 - computed once
    provenance.code()
    provenance.lock()
    main.get_command = cache(main.get_command)  # builds 60 commands
    main.get_command(commands.app)


def _load_pages() -> None:
    """Compile the templates and files of pages, which read_once.py keeps for each application."""
    templates = pages.PortalContext(cast("Product", None)).templates
    for name in templates.list_templates():
        if name.endswith(".html"):
            templates.get_template(name)
    for path in pages.STATIC.iterdir():
        if path.suffix in pages.TYPES:
            pages.static_file(path)


_load()
gc.collect()
gc.freeze()  # a collection in a forked process leaves out what is loaded here
# A tracer in a forked process saves what it saw when the process is terminated, and then calls the
# handler that was there before: not the one of the tracer in this process.
signal.signal(signal.SIGTERM, signal.SIG_DFL)
