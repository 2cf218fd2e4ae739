# Two commands for a new user: `make demo` and `make test`. Both set up what they need.
SHELL := /bin/bash
PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV := .venv
STAMP := $(VENV)/.installed
INFRA := $(VENV)/.installed-infra
# What is installed beside Lethe itself; dev,infra at once is quicker than one after the other.
EXTRAS ?= dev
BIN := $(VENV)/bin
# Tools find each other without an activated environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install demo benchmark test test-exhaustive lint format unit integration stack stack-demo stack-check \
	stack-test stack-status stack-stop infra-check audit ui clean
.DEFAULT_GOAL := help

help: ## Show this text
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Create the environment from constraints.txt

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] != (3, 11))" || { echo "Lethe needs Python 3.11: install it, or name it with make PYTHON=/path/to/python3.11"; exit 1; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages (about two minutes the first time)"
	@PIP_CONSTRAINT= $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@ $(if $(findstring infra,$(EXTRAS)),$(INFRA))

$(INFRA): $(STAMP)
	@PIP_CONSTRAINT= $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[infra]'
	@touch $@

demo: $(STAMP) ## Train, register, forget class 3 of digits, and show what it cost
	@$(BIN)/lethe demo

test: lint unit integration ## Lint, types, import contracts and all tests

lint: $(STAMP) ## Lint, formatting, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: $(STAMP) ## Unit tests, in seconds
	$(BIN)/pytest --numprocesses 2 tests/unit

integration: $(STAMP) ## Tests against real MLflow, Prefect, DVC and S3
	$(BIN)/pytest --numprocesses 2 --dist worksteal tests/end_to_end tests/integration

test-exhaustive: $(STAMP) ## All tests with nothing left out: an hour or more
	$(BIN)/pytest --numprocesses 2 --dist loadfile --exhaustive tests

infra-check: $(INFRA) ## Check images, compose, Kubernetes, AWS and alert files
	$(BIN)/pytest --numprocesses 2 --dist loadfile tests/infra

audit: $(INFRA) ## Ask a database of vulnerabilities about the pinned versions
	@$(BIN)/python infra/audit.py $(if $(CI),--unreached-ok)

format: $(STAMP) ## Mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

stack: $(STAMP) ## Start the real stack here: PostgreSQL, S3, MLflow, Prefect, workers, intake
	@$(BIN)/python -m infra.stack up

stack-demo: $(STAMP) ## A signed ticket through the stack, to the version and the answer
	@$(BIN)/python -m infra.stack up
	@$(BIN)/python -m infra.stack demo

stack-check: $(STAMP) ## The stack's demo and every route without credentials; CI runs it
	$(BIN)/pytest tests/stack/test_demo.py tests/stack/test_routes.py

stack-test: $(STAMP) ## All tests of the stack: also backup, automations, and faults, which take long
	$(BIN)/pytest --exhaustive tests/stack

stack-status: $(STAMP) ## What of the stack runs, and whether it is healthy
	@$(BIN)/python -m infra.stack status

stack-stop: $(STAMP) ## Stop the stack in order; data stay
	@$(BIN)/python -m infra.stack down

benchmark: $(STAMP) ## Compare all methods anew and write docs/benchmark.md (hours)
	$(BIN)/lethe benchmark --data digits --methods retrain,pte,delete,boundary_shrink,boundary_expand,class_direction,nearest_mean,gradient_ascent,imu,jit,l2ul,random_labels,salun_forget_only,ssd,fine_tune,neggrad_plus,scrub,salun,bad_teacher,l1_sparse --out benchmarks/results
	$(BIN)/lethe benchmark --data digits --budget 8 --methods pte,delete,boundary_shrink,class_direction,nearest_mean,gradient_ascent,imu,random_labels,salun_forget_only,ssd --out benchmarks/results
	$(BIN)/lethe benchmark --data cwru --methods retrain,pte,delete,boundary_shrink,class_direction,nearest_mean,gradient_ascent,imu,random_labels,salun_forget_only,ssd,fine_tune,neggrad_plus,scrub,salun,bad_teacher,l1_sparse --out benchmarks/results
	$(BIN)/lethe benchmark --data cwru --budget 8 --methods pte,delete,boundary_shrink,class_direction,nearest_mean,gradient_ascent,imu,random_labels,salun_forget_only,ssd --out benchmarks/results
	$(BIN)/lethe benchmark --data fashion_mnist --no-feature-level --methods pte,delete,boundary_shrink,random_labels,gradient_ascent,salun_forget_only,imu --out benchmarks/results
	$(BIN)/lethe benchmark --data cifar10 --rows-per-class 2500 --recipe network=lethe.models.networks:cifar_cnn --recipe epochs=10 --no-feature-level --methods pte,delete,boundary_shrink,class_direction,gradient_ascent,imu,random_labels,salun_forget_only --out benchmarks/results
	$(BIN)/lethe benchmark --data watch --subjects all --no-feature-level --methods retrain,calibrated,gradient_ascent,random_labels,salun_forget_only,imu,ssd,fine_tune,neggrad_plus,scrub,salun --out benchmarks/results
	$(BIN)/python benchmarks/person_forgetting.py --data watch --people 0,1,2,3,4,5,6,7,8,9 --seeds 3
	$(BIN)/python benchmarks/comparison_tables.py --write

ui: $(STAMP) ## Open the MLflow UI
	@$(BIN)/lethe ui

clean: ## Remove local state: registry, DVC cache and remote, prepared data
	rm -rf .lethe .dvc/cache .dvc/tmp data/digits data/watch data/cwru data/fashion_mnist data/cifar10
