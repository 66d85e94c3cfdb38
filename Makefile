# Targets a person types; each says what it does. Everything they need is installed into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help run up test check torture stack bench soak screenshots format lock install install-dev

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: install  ## start everything in one process, with demo accounts, on http://127.0.0.1:8000
	$(BIN)/python manage.py serve --demo --port $(PORT)

test: install-dev  ## the whole suite
	$(BIN)/python -m pytest

check: install-dev  ## format, lint, types, import rules, migrations, dead code, then the suite
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/vulture
	FONPROXY_DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run
	$(MAKE) test

torture: install-dev  ## crash points and kill matrices (long)
	$(BIN)/python -m pytest -m torture

up:  ## the production processes in containers (compose.yaml; needs .env)
	docker compose up --build --detach --wait

stack: install-dev  ## the production processes on private PostgreSQL, Redis and ClickHouse
	$(BIN)/python -m pytest -n 0 -m stack tests/stack

bench: install-dev  ## every benchmark; each prints ratios measured in one run
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.reads
	$(BIN)/python -m bench.geo
	$(BIN)/python -m bench.alerts
	$(BIN)/python -m bench.logs
	$(BIN)/python -m bench.events
	$(BIN)/python -m bench.admin
	$(BIN)/python -m bench.pages
	$(BIN)/python -m bench.storage

screenshots: install-dev  ## the pages' pictures in docs/screenshots, from the demo
	$(BIN)/python -m bench.screenshots

soak: install-dev  ## ten minutes of mixed traffic at 80 % of the most, on the production processes
	$(BIN)/python -m bench.soak

format: install-dev  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: install-dev  ## pin again what requirements*.in ask for
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade requirements-dev.in -o requirements-dev.txt

install: .venv/runtime
install-dev: .venv/development

.venv/runtime: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/development: .venv/runtime requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@touch $@
