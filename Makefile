# Two commands for a newcomer: `make demo` and `make test`. Everything else is for those who change the code.
# Needs Python >= 3.11 and make; uv is bootstrapped into .venv by the first target that runs.

PYTHON ?= python3
VENV   := .venv
UV     := $(VENV)/bin/uv
RUN    := $(VENV)/bin/
export UV_PROJECT_ENVIRONMENT := $(VENV)
# As pip does: behind a company's proxy only the system knows the authority that signs.
export UV_SYSTEM_CERTS := true

# Without compiled modules each of the hundreds of processes that the tests start takes a second more.
unexport PYTHONDONTWRITEBYTECODE

# Tests write much and keep nothing: where there is memory to spare they wait for no disk.
ROOMY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 8000000 { print "TMPDIR=/dev/shm" }')

# A module's tests run in one process: the servers and products that they share are made once.
SPREAD := -n 4 --dist loadscope --no-loadscope-reorder

.PHONY: demo crm test coverage test-ahead prove features check audit sbom fix bench peers wheels constraints setup clean

demo: $(VENV)/.product ## play the story, then serve the portal on http://localhost:8000
	$(RUN)sovereign demo

CUSTOMERS ?= 36
crm: $(VENV)/.development ## a short day of the telecom company and its CRM, and what can be claimed of it
	$(RUN)python -m examples.crm day --customers $(CUSTOMERS)

test: $(VENV)/.development ## the whole test suite: brings its own PostgreSQL, finds or installs a browser
	$(RUN)python tests/browser/find.py
	$(ROOMY) $(RUN)pytest $(SPREAD) $(ARGS)

coverage: $(VENV)/.development ## the same, and which lines it ran: a tracer takes half as long again
	$(RUN)python tests/browser/find.py
	$(RUN)coverage erase
	$(ROOMY) $(RUN)coverage run -m pytest $(SPREAD) $(ARGS)
	$(RUN)coverage combine -q
	$(RUN)coverage report

features: $(VENV)/.development ## each feature through the served product; renews docs/features.md
	$(RUN)python -m tests.features --write
	$(ROOMY) $(RUN)pytest -q tests/features

prove: $(VENV)/.development ## the campaigns at their full sizes: docs/testing.md
	$(RUN)python tests/browser/find.py
	$(ROOMY) $(RUN)pytest --prove $(SPREAD) $(ARGS)

DAYS ?= 400
test-ahead: $(VENV)/.development ## the tests with the clock DAYS ahead; needs libfaketime
	PYTHONPATH=$(CURDIR)/tests/ahead FAKETIME_DONT_FAKE_MONOTONIC=1 $(ROOMY) faketime -f +$(DAYS)d \
		$(RUN)pytest --without-servers -p no:cacheprovider $(SPREAD) $(ARGS)

check: $(VENV)/.development ## format, lint, types, import directions, then the tests and their coverage
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)deptry . --no-ansi
	$(MAKE) coverage

audit: $(VENV)/.development ## known vulnerabilities, and licences that the product may not depend on; `make sbom` lists it all
	$(UV) sync --frozen --inexact --group audit
	$(RUN)pip-audit --skip-editable
	$(RUN)python -m tests.licences

sbom: $(VENV)/.development ## what the product depends on, as CycloneDX JSON in dist/
	$(RUN)python -m tests.bill_of_materials dist/sbom.json

fix: $(VENV)/.development ## let the formatter and the linter mend what they can
	$(RUN)ruff check --fix .
	$(RUN)ruff format .

bench: $(VENV)/.development ## every benchmark, peers side by side in one run
	$(RUN)python -m benchmarks

peers: $(VENV)/.development ## what benchmarks compare with: engines here, synthesisers each in .peers/<name>
	$(UV) sync --frozen --inexact --group peers
	$(RUN)python -m benchmarks.peers_synthetic.environment $(ONLY)

wheels: $(VENV)/.development ## what is installed without a checkout: the product and its client, in dist/
	$(RUN)python -m hatchling build -t wheel -d $(CURDIR)/dist
	cd clients/python && $(CURDIR)/$(RUN)python -m hatchling build -t wheel -d $(CURDIR)/dist

constraints: $(VENV)/.development ## the locked versions of all that the wheels need, for pip: dist/constraints.txt
	$(UV) export --quiet --frozen --no-dev --no-hashes --no-emit-project --no-emit-package sovereign-client -o dist/constraints.txt

setup: $(VENV)/.development ## the development environment

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(RUN)python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.product: $(UV) pyproject.toml uv.lock
	$(UV) sync --frozen --no-dev --inexact
	touch $@

$(VENV)/.development: $(UV) pyproject.toml uv.lock
	$(UV) sync --frozen --inexact
	touch $@ $(VENV)/.product

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage* dist
