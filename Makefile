# Everything runs in .venv, made on first use; Python 3.11 or newer is all that has to be there.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed
OLDEST := .venv-oldest
DATA := .venv-data

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types contracts check test-oldest test-data clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("found Python %d.%d, expected 3.11 or newer: set PYTHON=" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar on --constraint constraints.txt --editable '.[download,dicom,train,dev]'
	touch $@

install: $(READY) ## make .venv and install the package with all it needs

demo: $(READY) ## the whole workflow on synthetic CTs, results in demo/
	$(VENV)/bin/saros demo --out demo

test: $(READY) ## the whole test suite, in two processes
	$(VENV)/bin/python -m pytest -n 2

lint: $(READY) ## formatting and lint
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: $(READY) ## mypy, strict
	$(VENV)/bin/mypy

contracts: $(READY) ## which folder may import which
	$(VENV)/bin/lint-imports

check: lint types contracts test ## all of the above

test-oldest: $(READY) ## the fast tests with the oldest supported versions, in .venv-oldest
	$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(OLDEST)
	$(VENV)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct --editable '.[download,dicom,train,dev]'
	$(OLDEST)/bin/python .ci/floors.py
	$(OLDEST)/bin/python -m pytest -n 2 -m 'not slow'

test-data: $(READY) ## the fast tests of saros_hf without torch, in .venv-data
	$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(DATA)
	$(VENV)/bin/uv pip install --quiet --python $(DATA)/bin/python --constraint constraints.txt --editable '.[download,dicom,dev]' blosc2
	$(DATA)/bin/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is not None)'
	$(DATA)/bin/python -m pytest -n 2 -m 'not slow' tests saros_hf

clean: ## remove the environments and the demo
	rm -rf $(VENV) $(OLDEST) $(DATA) demo
