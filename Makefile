# Skep: the verbs of a checkout. `make` alone lists them.

PYTHON ?=
ARGS   ?=
# How many tests run side by side; those that kill processes run alone, after them.
JOBS   ?= 2
export PYTHON

VENV := .venv
BIN  := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup dev verify up down fmt lint test test-all coverage bench docs clean

help: ## list the verbs
	@printf '\n  \033[1mSkep\033[0m builds AI agents from source, runs each in its own sandbox, keeps all their work.\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\n  ARGS="..." is handed on: make up ARGS="--port 9000", make test ARGS="-k launcher"\n\n'

setup: ## install what is missing: system packages, .venv from the lock
	@sh scripts/setup.sh run

dev: ## the same, with what tests and checks need
	@sh scripts/setup.sh dev

verify: setup ## say whether this machine and the running server are all right
	@sh scripts/verify.sh

up: setup ## start the server, then deploy and run the example agent
	@sh scripts/up.sh $(ARGS)

down: ## stop the server; sandboxes go on and are followed again
	@if [ -x $(BIN)/skep ]; then $(BIN)/skep down $(ARGS); else echo "Skep was never set up here."; fi

fmt: dev ## format the code and mend what can be mended
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

lint: dev ## ruff, formatting, pyright, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

test: dev ## everything the tests need, then the tests
	$(BIN)/pytest -m "not slow and not alone" -n $(JOBS) --dist loadscope $(ARGS)
	$(BIN)/pytest -m "not slow and alone" $(ARGS)

test-all: dev ## the long form of the tests, too
	$(BIN)/pytest -m "not alone" -n $(JOBS) --dist loadscope $(ARGS)
	$(BIN)/pytest -m "alone" $(ARGS)

coverage: dev ## the tests in this process, with the lines and branches that none of them runs
	$(BIN)/pytest -m "not slow and not alone" -n $(JOBS) --dist loadscope --cov --cov-report=term $(ARGS)

bench: dev ## measure against the bars; writes benchmarks/results/
	$(BIN)/python -m benchmarks $(ARGS)

docs: dev ## make the generated pages again; ARGS=--check only compares
	$(BIN)/python scripts/docs.py $(ARGS)

clean: ## remove caches and .venv; the data folder is left alone
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
