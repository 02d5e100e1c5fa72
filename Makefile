# Everything that people and CI do here. `make` alone lists it.
# A second run does no work twice: what is done is noted by the stamp files in .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
OLDEST_PYTHON := 3.11
SOURCES := iamrange infra scenarios tests bench
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && { command -v "$$name"; break; }; done)
# pip asks the registry that this machine is set up for; hashes say what it may answer.
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' \
	| awk -F'|' '{ printf "  %-16s %s\n", $$1, $$2 }'

.PHONY: setup
setup: $(VENV)/.installed ## Install what the range needs: Python packages, the Pulumi engine
	@$(BIN)/python -m iamrange.engine.prepare

.PHONY: run
run: setup ## Run every scenario and prove every control (ARGS="..." for `iamrange run`)
	@$(BIN)/iamrange run $(ARGS)

.PHONY: test
test: setup ## Run the tests (ARGS="..." for pytest)
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: test-localstack
test-localstack: setup ## Run the AWS tests and the range on LocalStack, from an environment of its own
	@IAMRANGE_AWS_UPSTREAM=localstack $(BIN)/python -m pytest tests/conformance/aws tests/localstack $(ARGS)

.PHONY: fmt
fmt: $(VENV)/.installed ## Format the code
	@$(BIN)/ruff check --quiet --fix --select I,UP,F401 $(SOURCES) requirements
	@$(BIN)/ruff format $(SOURCES) requirements

.PHONY: lint
lint: $(VENV)/.installed ## Check style, format and the direction of imports
	@$(BIN)/ruff check $(SOURCES) requirements
	@$(BIN)/ruff format --check $(SOURCES) requirements
	@$(BIN)/lint-imports

.PHONY: types
types: $(VENV)/.installed ## Check types
	@$(BIN)/mypy $(SOURCES)

.PHONY: docs
docs: $(VENV)/.installed ## Generate the documents that come from declarations
	@$(BIN)/iamrange docs

.PHONY: check
check: lint types ## Check everything that needs no range: lint, types, imports, generated docs
	@$(BIN)/iamrange docs --check

.PHONY: bench
bench: setup ## Run the benchmarks one after another
	@found=0; for script in $$(grep -l __main__ bench/*.py); do \
		name="$$(basename "$$script" .py)"; \
		found=1; echo "== $$name"; $(BIN)/python -m "bench.$$name" || exit 1; \
	done; [ "$$found" = 1 ] || { echo "error: no benchmark in bench/" >&2; exit 1; }

.PHONY: up
up: setup ## Leave a hardened range running
	@$(BIN)/iamrange up $(ARGS)

.PHONY: down
down: $(VENV)/.installed ## Take the running range down
	@$(BIN)/iamrange down $(ARGS)

.PHONY: lock
lock: $(VENV)/.python ## Lock the dependencies anew, by version and hash
	@folder="$$(mktemp -d)" && trap 'rm -rf "$$folder"' EXIT \
	&& $(BIN)/python -m venv "$$folder" && "$$folder/bin/python" -m pip install --quiet uv \
	&& "$$folder/bin/python" requirements/lock.py

.PHONY: clean
clean: ## Remove what was made here; the engine in the cache stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
		build reports ./*.egg-info

$(VENV)/.python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: find Python: expected $(OLDEST_PYTHON) or later with its venv module, got none" >&2; \
		echo "  way out: install it (Debian: python3 python3-venv), or: make PYTHON=/path/to/python" >&2; \
		exit 3; fi
	@echo "create $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON): expected Python $(OLDEST_PYTHON) or later" >&2; exit 3; }
	@"$(PYTHON)" -m venv --clear $(VENV) || { \
		echo "error: create $(VENV): '$(PYTHON) -m venv $(VENV)' failed" >&2; \
		echo "  way out: install Python's venv module (Debian: python3-venv); free disk space" >&2; \
		rm -rf $(VENV); exit 3; }
	@touch $@

$(VENV)/.locked: requirements/lock.txt $(VENV)/.python
	@echo "install the locked Python packages into $(VENV) (about 1 GB; once)"
	@$(PIP) install --quiet --require-hashes --requirement requirements/lock.txt || { \
		echo "error: install packages: 'pip install --require-hashes -r requirements/lock.txt' failed" >&2; \
		echo "  way out: see pip's message above; check the network and the disk, then run the same again" >&2; \
		exit 3; }
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.locked
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable . || { \
		echo "error: install iamrange itself: 'pip install --no-deps --editable .' failed" >&2; \
		echo "  way out: make clean, then run the same again" >&2; exit 3; }
	@touch $@
