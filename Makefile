# Six words: demo, test, lint, bench (and bench-profile, to look closer), faults, soak. Everything is installed into .venv; remove that folder to begin again.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# More than the cores of a small machine: half of what tests do is wait for processes, leases and disks.
SIDE_BY_SIDE ?= 3
SOAK_MINUTES ?= 30
SOAK_USERS ?= 200000

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-profile faults soak

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.core ## watch users move, embedded: nothing but Python is needed
	$(BIN)/migrator demo

test: $(VENV)/.dev ## run every test; no server is needed (quick ones: make test TESTS='-m "not slow"')
	$(BIN)/python -m pytest -q -n $(SIDE_BY_SIDE) --dist loadgroup --no-loadscope-reorder --max-worker-restart 1 $(TESTS)

lint: $(VENV)/.dev ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.bench ## measure beside plain SQL and other tools; a part: make bench BENCH='--only P1 --users 20000'
	$(BIN)/python -m tests.benchmarks.bench $(BENCH)

bench-profile: $(VENV)/.dev ## where the time of one batch goes (PROFILE='--legacy sqlite --target sqlite')
	POLARS_MAX_THREADS=1 $(BIN)/python -m tests.benchmarks.batch_profile $(PROFILE)

faults: $(VENV)/.dev ## harm it in every way we know, an hour and a half on two cores; a part: make faults FAULTS='--only T1 --share 0.05 --seed 7'
	$(BIN)/python -m tests.faults.everything --json faults.json $(FAULTS)

soak: $(VENV)/.dev ## all faults at once for half an hour (shorter: make soak SOAK_MINUTES=2 SOAK_USERS=2000)
	$(BIN)/python -m tests.faults.works --what everything --minutes $(SOAK_MINUTES) --users $(SOAK_USERS) --batch 500 --every 15 $(SOAK)

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
