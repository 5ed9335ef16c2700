# Four words: demo, test, lint, bench (and bench-profile, to look closer). Everything is installed into .venv; remove that folder to begin again.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SIDE_BY_SIDE ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-profile

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.core ## watch users move, embedded: nothing but Python is needed
	$(BIN)/migrator demo

test: $(VENV)/.dev ## run every test; no server is needed (quick ones: make test TESTS='-m "not slow"')
	$(BIN)/python -m pytest -q -n $(SIDE_BY_SIDE) --dist loadgroup --no-loadscope-reorder $(TESTS)

lint: $(VENV)/.dev ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.bench ## measure beside plain SQL and other tools; a part: make bench BENCH='--only P1 --users 20000'
	$(BIN)/python -m tests.benchmarks.bench $(BENCH)

bench-profile: $(VENV)/.dev ## where the time of one batch goes (PROFILE='--legacy sqlite --target sqlite')
	POLARS_MAX_THREADS=1 $(BIN)/python -m tests.benchmarks.batch_profile $(PROFILE)

# A stamp per kind of installation, so that a second call starts at once; newer dependencies install again.
$(VENV)/.core: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; say which: make PYTHON=python3.11 demo")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# What others bring is not needed to measure ourselves: without the extra their lines say "not installed".
$(VENV)/.bench: $(VENV)/.dev
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@
