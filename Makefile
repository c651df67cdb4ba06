# The commands that the README names. Everything lands in .venv/ and .demo/; `make clean` takes both away.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Everything that a test, a demo or a gate keeps on this machine goes here unless a caller says otherwise.
export INTERLOCK_HOME ?= $(CURDIR)/.demo/interlock
# Great Expectations and torch take twice as long to import where Python may not keep bytecode.
unexport PYTHONDONTWRITEBYTECODE
# Two test processes have two processors: threads of BLAS and OpenMP beyond that wait for each other by spinning.
ONE_THREAD := OMP_NUM_THREADS=1

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

install: $(INSTALLED) ## make .venv with the locked versions and the policy engine

# uv comes by pip and lives in a small environment of its own, so that the lock decides all that .venv holds.
$(INSTALLED): requirements/lock.txt setup.cfg pyproject.toml core/interlock/policy/engines/engine_requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Interlock needs Python 3.11 or later; this is $$($(PYTHON) --version). Next: make PYTHON=/path/to/python3.11 $@" >&2; exit 2; }
	@test -x .tools/uv/bin/uv || { $(PYTHON) -m venv .tools/uv && .tools/uv/bin/pip install --quiet --require-hashes --requirement requirements/uv.txt; }
	@test -x $(BIN)/python || .tools/uv/bin/uv venv --quiet --seed --python "$$(command -v $(PYTHON))" .venv
	.tools/uv/bin/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/lock.txt
	.tools/uv/bin/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/interlock policy install-engine
	@touch $@

demo: install ## three runs of the example DAG on a real Airflow: clean, poisoned, tampered
	$(BIN)/interlock demo --home .demo --dags dags_examples/airflow

demo-kubeflow: install ## the same three runs as a Kubeflow pipeline, offline under kfp.local
	$(BIN)/interlock demo --kubeflow --home .demo/kubeflow --dags dags_examples/kubeflow

airflow: install ## a real Airflow on 127.0.0.1 with the examples loaded; Ctrl-C stops it
	INTERLOCK_PROFILE=dev INTERLOCK_EXAMPLE_LAKE=$(CURDIR)/.demo/lake OMP_NUM_THREADS=1 $(BIN)/python -m interlock.airflow.stack --home .demo/airflow-ui --dags dags_examples/airflow

# Each type checker keeps one processor busy for minutes. Every failure is shown, and any one fails the whole.
check: install ## linters and type checkers, side by side
	$(MAKE) --no-print-directory --jobs 3 --keep-going --output-sync=target check-ruff check-mypy check-pyright

check-ruff: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-mypy: install
	$(BIN)/mypy

check-pyright: install
	$(BIN)/pyright

# OPA's report of what its run of the tests covered, for whoever asks for it (see .ci/run).
OPA_COVERAGE ?= /dev/null

policy: install ## the rules, by the real opa and regal (go install both; see .ci/run)
	@test -z "$$(opa fmt --list policies policies_examples)" || { opa fmt --diff policies policies_examples; exit 1; }
	opa check --strict --schema policies/schemas policies
	regal lint policies policies_examples
	cd policies && opa test --bundle --timeout 60s --threshold 100 . >$(OPA_COVERAGE)
	$(BIN)/interlock policy test --threshold 100
	$(BIN)/interlock policy check

test: install ## the fast tests, on two processors
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow and not gpu" --numprocesses 2 --dist loadfile $(PYTEST_ARGS)

coverage: install ## the fast tests once more, with branch coverage
	$(BIN)/python -m pytest -m "not slow and not gpu" --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

# An Airflow that runs waits for something half of the time, so two of them go side by side. Only their files are read:
# the imports of all others would take each process a third of a minute.
test-slow: install ## the heavy ones: large inputs on two processors, then real Airflow processes and the whole demo
	$(ONE_THREAD) $(BIN)/python -m pytest -m "slow and not stack and not gpu" --numprocesses 2 --dist loadfile $(PYTEST_ARGS)
	$(BIN)/python -m pytest -m "stack and not gpu" --numprocesses 2 --dist loadfile $(PYTEST_ARGS) \
	  $$(grep --recursive --files-with-matches --include='test_*.py' 'mark\.stack' tests)

fuzz: install ## 200,000 mutants of the model files against what loaders would do, for the night (FUZZ_ARGS="--seed 7")
	$(ONE_THREAD) $(BIN)/python -m tests.artifacts.fuzz --mutants 200000 --jobs 2 $(FUZZ_ARGS)

test-airflow-versions: install ## the fast tests of the enforcement on the older Airflows that are supported
	.ci/airflow-versions

image: ## the image of Kubeflow steps, with podman or buildah (BASE=, EXTRAS=, NAME=, PUSH=; see docs/kubeflow-image.md)
	image/build

image-test: install ## a small image built from Debian's packages, smoke-tested, and a pipeline in it under DockerRunner
	image/test $(PYTEST_ARGS)

lock: ## resolve the lock again (a reviewed change, never a side effect)
	.tools/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra all --extra dev \
	  --constraint requirements/constraints.txt --output-file requirements/lock.txt setup.cfg
	printf 'cyclonedx-bom\nsetuptools\n' | .tools/uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --constraint requirements/lock.txt --custom-compile-command "make lock" \
	  --output-file requirements/image-tools.txt -
	for version in 3.1 3.2; do \
	  printf 'apache-airflow==%s.*\nhypothesis>=6.112\npytest>=8.3\nsetuptools>=80\n' "$$version" | \
	    .tools/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra airflow \
	      --custom-compile-command "make lock" --output-file "requirements/airflow-$$version.txt" setup.cfg -; \
	done

clean: ## take away .venv and everything that a demo made
	rm -rf .venv .tools .demo .coverage .coverage.xml

.PHONY: help install demo demo-kubeflow airflow check check-ruff check-mypy check-pyright policy test coverage test-slow fuzz test-airflow-versions image image-test lock clean
