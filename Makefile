PYTHON ?= python3
VENV := .venv
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup test faults bench lint format demo up clean

help: ## Show this list
	@grep -hE '^[a-zA-Z_-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Install Millrace and its test tools into .venv

# The marker is made last: an installation cut short is done again.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Millrace needs Python 3.11 or later; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

test: lint ## Check style and types, then run every test (ARGS="-k name" to choose)
	$(VENV)/bin/python -m pytest $(ARGS)

faults: setup ## Run the fault suite, up to 20 rounds a scenario (ARGS="--fault-report docs/faults.md")
	$(VENV)/bin/python -m pytest tests -m faults --fault-rounds 20 $(ARGS)

lint: setup ## Check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: setup ## Format the code and apply safe fixes
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

demo: setup ## Run everything in one process and show a bill (ARGS=--exit to stop afterwards)
	$(VENV)/bin/millrace demo $(ARGS)

up: setup ## Start an empty instance in one process; its data stays in ./data (ARGS="--port 3001")
	$(VENV)/bin/millrace up $(ARGS)

bench: setup ## Measure speed beside what it is compared with (ARGS="--quick", "--only ingest_batches", "--json PATH")
	$(VENV)/bin/python -m tests.bench $(ARGS)

clean: ## Remove what was installed and built; the cache of Kafka's jars stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
