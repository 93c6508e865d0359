# Needs python3 (3.11 or newer) with venv, and make; nothing else, no root. `make help` lists what there is.
# Every path below is relative, so a checkout may lie under a directory with spaces in its name.

PYTHON ?= python3
VENV ?= .venv

RUN = $(VENV)/bin/python
PIP = $(RUN) -m pip --disable-pip-version-check
INSTALL = $(PIP) install --quiet --require-hashes --only-binary :all: --requirement
ITSELF = $(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .
COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --system-certs --upgrade
ARGS ?=

# Each worker takes one file of tests after the other. ARGS that name a single test need none, and `JOBS=1` has none.
JOBS ?= auto
WORKERS = $(if $(or $(filter 1,$(JOBS)),$(findstring ::,$(ARGS))),,-n $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder)

.DEFAULT_GOAL := help
.PHONY: help demo test lint check fix tour bench fuzz crash requirements clean

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | expand -t 16

demo: $(VENV)/.demo  ## tell the whole story on a real model, on this machine; ARGS="--keep DIR" keeps it
	@$(RUN) -m strongroom demo $(ARGS)

test: lint  ## every gate and every test, cheapest first; JOBS=1 in one process, else on up to 8 cores
	$(RUN) -m pytest -q tests/test_architecture.py
	$(RUN) -m pytest -q -rs $(WORKERS) $(ARGS)

lint: $(VENV)/.test  ## ruff, mypy --strict, import contracts
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -c 'from importlinter.cli import lint_imports_command as run; run()'

check: lint  ## the gates and the quick tests
	$(RUN) -m pytest -q -rs -m "not slow" $(WORKERS) $(ARGS)

fix: $(VENV)/.test  ## let ruff mend what it can
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

tour: $(VENV)/.test  ## run the story that docs/tour.md walks through
	$(RUN) -m pytest -v tests/flows

bench: $(VENV)/.bench  ## measure against read(), Tink and age, 12 minutes; ARGS=--docs writes docs/performance.md
	$(RUN) bench/all.py $(ARGS)

fuzz: $(VENV)/.test  ## look for inputs that break a parser, a minute each; ARGS="toc --runs 10000000" for longer
	@PYTHONHASHSEED=0 $(RUN) tests/fuzz/run.py --seconds 60 --seed 0 --corpus .fuzz/corpus --findings .fuzz/findings $(ARGS)

crash: $(VENV)/.test  ## kill and fail the device at every call that changes its directory, an hour; needs strace
	@$(RUN) tests/crash/run.py $(ARGS)

# One resolution for all: demo and device are subsets of test, so that one environment serves them.
requirements: $(VENV)/.lock  ## resolve pyproject.toml again and write requirements/*.txt
	$(COMPILE) pyproject.toml --extra demo --group dev -o requirements/test.txt > /dev/null
	$(COMPILE) pyproject.toml --extra demo --group build -c requirements/test.txt -o requirements/demo.txt > /dev/null
	$(COMPILE) pyproject.toml -c requirements/test.txt -o requirements/device.txt > /dev/null
	$(COMPILE) pyproject.toml --extra server --extra onnx --group bench --group build -c requirements/test.txt -o requirements/bench.txt > /dev/null
	$(COMPILE) --group lock -o requirements/lock.txt > /dev/null

clean:  ## remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache build dist

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: set PYTHON=, or install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "strongroom needs Python 3.11 or newer: set PYTHON="; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made requirements/demo.txt pyproject.toml
	@echo "installing requirements/demo.txt into $(VENV), once: about 300 MB, each file checked by its hash"
	@$(INSTALL) requirements/demo.txt
	@$(ITSELF)
	@touch $@

$(VENV)/.bench: $(VENV)/.made requirements/bench.txt pyproject.toml
	@echo "installing requirements/bench.txt into $(VENV), once: each file checked by its hash"
	@$(INSTALL) requirements/bench.txt
	@$(ITSELF)
	@touch $@

# The last line fetches what tests/edge_alone installs, so that the tests themselves need no network.
$(VENV)/.test: $(VENV)/.made requirements/test.txt requirements/device.txt pyproject.toml
	@echo "installing requirements/test.txt into $(VENV), once: about 400 MB, each file checked by its hash"
	@$(INSTALL) requirements/test.txt
	@$(ITSELF)
	@$(PIP) download --quiet --require-hashes --only-binary :all: --dest $(VENV)/device --requirement requirements/device.txt
	@touch $@

$(VENV)/.lock: $(VENV)/.made
	$(INSTALL) requirements/lock.txt
	@touch $@
