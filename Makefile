# `make` prints this help. Everything is set up inside this folder; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= auto
JOBS ?= 600
UV = $(BIN)/uv
export UV_LINK_MODE ?= copy

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-restore demo-stop test lint check bench faults adversity tools object-store lock clean

help: ## this help
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## install everything into .venv (asked for by the others)

$(VENV)/.ready: requirements.txt requirements-dev.txt requirements-ministack.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: apt-get install python3, or make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --python $(BIN)/python -r requirements.txt -r requirements-dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	$(UV) venv --quiet --clear --python $(BIN)/python .venv-ministack
	$(UV) pip install --quiet --python .venv-ministack/bin/python -r requirements-ministack.txt
	@touch $@

demo: setup ## a real Airflow cleans a real bucket, temp folder and PostgreSQL (STORE=minio for the real MinIO)
	$(BIN)/python -m devstack.demo --store $(STORE) --jobs $(JOBS)

demo-restore: setup ## delete the demo's whole database server, and bring it back from the bucket
	$(BIN)/python -m devstack.demo_restore

demo-stop: ## end what the demo left running
	@test ! -x $(BIN)/python || $(BIN)/python -m devstack down

test: setup ## every test, on real servers
	$(BIN)/pytest -n auto --dist loadgroup

lint: setup ## format, lint, types, layers
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

check: lint ## lint and unit tests: about a minute
	$(BIN)/pytest -n auto tests/unit tests/architecture --ignore tests/architecture/test_adding_a_capability.py

bench: setup ## list, delete, backups and cold data, side by side with s5cmd and others
	$(BIN)/python -m tests.benchmarks

faults: setup tools ## every crash point, fault, race and seeded bug, on the real MinIO (an hour and a half)
	$(BIN)/python -m tests.faults
	FAULT_WHOLE=1 $(BIN)/pytest tests/integration/backup/test_swap_killed.py

adversity: setup tools ## every test that docs/adversity.md names, row by row (at most 20 minutes)
	$(BIN)/python -m tests.support.adversity

tools: setup ## find, build or fetch the programs that tests need beyond Python (once, some minutes)
	$(BIN)/python -m devstack tools $(TOOLS)

object-store: setup ## build the real MinIO from source (two to four minutes, once)
	$(BIN)/python -m devstack object-store

lock: setup ## resolve requirements*.in anew
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate requirements.in -o requirements.txt
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate requirements-dev.in -c requirements.txt -o requirements-dev.txt
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate requirements-ministack.in -o requirements-ministack.txt

clean: demo-stop ## remove the environment, caches and local state
	rm -rf $(VENV) .venv-ministack .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .state build
