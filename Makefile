# Every target sets up what it needs, once: a stamp in the environment remembers it
# until pyproject.toml changes.
#
#   make environment  set up for the tests and checks (each of them does so itself)
#   make demo         run the whole pipeline on a planted and on a learned circuit, and
#                     point to their reports
#   make test         the tests, without torch
#   make fast         the same, without the slow ones
#   make exhaustive   more cases of the same laws: all, or PART=2/5 of them; those
#                     against transformers too, once `make parity` has installed it
#   make parity       logits and tokens against PyTorch and transformers (installs them)
#   make real         the tests on published checkpoints, where their files are present
#   make benchmark    the timings
#   make peers        the timings beside PyTorch and other libraries (installs them)
#   make lint         format, lint, one-way imports, types
#   make format       rewrite the files as the formatter wants them, and tables in docs
#   make clean        remove the environment
#
# PYTHON=python3.12 chooses the interpreter, VENV=folder the environment,
# PYTEST_ARGS="-x -k word" goes to pytest, PEERS_ARGS="--gguf model.gguf" to the peers.

VENV ?= .venv
WORKERS ?= 2
PART ?= 1/1
PYTEST_ARGS ?=
PEERS_ARGS ?=

PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# A file's tests stay in one process: they share what they compile. Files in order, so
# that those with few but long tests are not left to the end.
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo environment test fast exhaustive parity-environment parity real \
    benchmark peers lint format clean
.DELETE_ON_ERROR:

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-demo
	@$(BIN)/mcq-jax run configs/demo.py
	@$(BIN)/mcq-jax run configs/learned.py
	@echo; echo "The reports:"
	@ls -1 runs/demo/report.html runs/demo-learned/report.html | sed "s|^|  $(CURDIR)/|"

environment: $(VENV)/.installed-dev

test: $(VENV)/.installed-dev
	$(PYTEST) $(PARALLEL) $(PYTEST_ARGS)

fast: $(VENV)/.installed-dev
	$(PYTEST) $(PARALLEL) \
	    -m "not parity and not real and not exhaustive and not slow" $(PYTEST_ARGS)

# The parts do not overlap: all of them are all there is.
exhaustive: $(VENV)/.installed-dev
	$(PYTEST) $(PARALLEL) -m exhaustive --part $(PART) $(PYTEST_ARGS)

parity-environment: $(VENV)/.installed-parity

parity: $(VENV)/.installed-parity
	$(PYTEST) -m "parity and not real and not exhaustive" $(PYTEST_ARGS)

# One process: two checkpoints at once would not fit into a laptop's memory.
real: $(VENV)/.installed-dev
	$(PYTEST) -m "real" $(PYTEST_ARGS)

benchmark: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.node_sweep

peers: $(VENV)/.installed-peers
	$(BIN)/python -m benchmarks.plain_forward
	$(BIN)/python -m benchmarks.peers $(PEERS_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.installed-dev
	$(BIN)/python -m docs.site_tables
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis .reports

$(BIN)/python:
	@set -e; for python in $(PYTHONS); do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	        >/dev/null 2>&1; then \
	        echo "Setting up $(VENV) with $$($$python --version)"; \
	        $$python -m venv $(VENV); exit 0; \
	    fi; \
	done; \
	echo "mcq_jax needs Python 3.11 or newer, with its venv module; tried:" \
	    "$(PYTHONS)."; \
	echo "Install one (Debian, Ubuntu: apt install python3-venv) or name it:" \
	    "make PYTHON=/path/to/python3.12 ..."; exit 1

# An environment is ready when its stamp is newer than pyproject.toml. The python of an
# environment links to the system's, whose age says nothing: hence order-only.
$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	@echo "Installing mcq_jax into $(VENV) (a minute or two, once)"
	@$(INSTALL) --editable ".[report,gguf]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing mcq_jax and its test tools into $(VENV) (a minute or two, once)"
	@$(INSTALL) --editable ".[dev]"
	@touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-parity: pyproject.toml | $(BIN)/python
	@echo "Installing PyTorch and transformers into $(VENV) (for the parity tests only)"
	@$(INSTALL) --editable ".[dev,parity]"
	@touch $@ $(VENV)/.installed-dev $(VENV)/.installed-demo

$(VENV)/.installed-peers: pyproject.toml | $(BIN)/python
	@echo "Installing PyTorch and other libraries into $(VENV) (for their timings only)"
	@$(INSTALL) --editable ".[peers]"
	@touch $@
