# Everything runs in .venv, made on first use; Python 3.11 or newer is all that has to be there.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types contracts check clean

help: ## list the commands
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("found Python %d.%d, expected 3.11 or newer: set PYTHON=" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar on --constraint constraints.txt --editable '.[download,train,dev]'
	touch $@

install: $(READY) ## make .venv and install the package with all it needs

demo: $(READY) ## the whole job on synthetic cases, results in demo/
	$(VENV)/bin/saros demo --out demo

test: $(READY) ## the whole test suite
	$(VENV)/bin/python -m pytest

lint: $(READY) ## formatting and lint
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: $(READY) ## mypy, strict
	$(VENV)/bin/mypy

contracts: $(READY) ## which module may import which
	$(VENV)/bin/lint-imports

check: lint types contracts test ## all of it

clean: ## remove the environment and the demo
	rm -rf $(VENV) demo
