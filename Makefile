# Every target does its own set-up: a clean clone and Python 3.11+ are all it takes.
PYTHON ?= python3
VENV := .venv
BIN = $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-surrogate test test-slow lint bench docs docs-reference docs-pictures docs-site docs-serve wheel bare schemas soak live live-s3 live-slurm clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## make .venv and install scythe with everything its tests need

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scythe needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable ".[design,energy,pandas,report]"
	@touch $@

demo: $(STAMP)  ## simulate an office building in three climates, from experiment.yml to a table
	@BIN="$(CURDIR)/$(BIN)" sh examples/demo.sh

demo-surrogate: $(STAMP)  ## fit a surrogate of EnergyPlus and grow its design until it is good (ten minutes)
	@BIN="$(CURDIR)/$(BIN)" sh examples/demo-surrogate.sh

test: PROCESSES ?= 3
test: MARKS ?= not soak and not slow
test: $(STAMP)  ## run the tests, in less than six minutes on two cores; a third process works while others wait
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile -m "$(MARKS)" $(TESTS)

test-slow: PROCESSES ?= 2
test-slow: $(STAMP)  ## run the tests that take longer: engines, kills, whole examples
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile -m "slow and not soak" $(TESTS)

lint: $(STAMP)  ## format check, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

schemas: $(STAMP)  ## write schemas/ again from the models
	$(BIN)/python -m scythe_cli.cli.schemas

bench: $(STAMP)  ## measure against named peers; prints a table, writes bench/results/
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	$(BIN)/python -m bench

docs: $(STAMP)  ## run what the documentation shows
	$(BIN)/python -m pytest -m "not soak" tests/docs

docs-reference: $(STAMP)  ## write the tables of commands and settings again from the code
	$(BIN)/python docs/_tools/reference.py

docs-pictures: $(STAMP)  ## draw docs/images again from real runs
	$(BIN)/python docs/_tools/pictures.py

docs-site: docs-reference  ## build the site into site/; a broken link or a missing file is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet --builder html docs site
	@echo "open site/index.html"

docs-serve: docs-site  ## show the site at http://localhost:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8000

wheel: $(STAMP)  ## build dist/*.whl, to install elsewhere with pip
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

bare: wheel  ## install the wheel as a user does, without what tests need, and run an experiment
	$(PYTHON) -m venv --clear $(VENV)-bare
	$(VENV)-bare/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	cd $(VENV)-bare && bin/scythe init example && cd example && ../bin/scythe allocate && ../bin/scythe allocate --reuse latest
	cd $(VENV)-bare/example && ../bin/scythe status && ../bin/scythe show --head 3 && ../bin/scythe download

soak: $(STAMP)  ## the long version of the fault tests
	$(BIN)/python -m pytest -m soak --timeout 3600 tests/live

live: $(STAMP)  ## the engine tests against a real Hatchet (HATCHET_CLIENT_TOKEN must be set)
	@test -n "$$HATCHET_CLIENT_TOKEN" || { echo "set HATCHET_CLIENT_TOKEN, see docs/how-to/hatchet.md" >&2; exit 2; }
	$(BIN)/python -m pytest -m "not soak" --timeout 600 tests/live -k hatchet

live-s3: $(STAMP)  ## the store tests against versitygw (needs Go)
	$(BIN)/python tests/live_s3.py

live-slurm: $(STAMP)  ## the Slurm tests against a real slurmctld and slurmd (as root on Debian, or Slurm is there)
	$(BIN)/python tests/live_slurm.py

clean:  ## remove what the targets made
	rm -rf $(VENV) $(VENV)-bare .mypy_cache .ruff_cache .pytest_cache demo site dist bench/results/*.tmp
