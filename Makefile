# `make help` lists the targets. The first use installs everything they need into .venv.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
SECONDS ?= 600

# The tests start the program dozens of times, which is slow without compiled modules.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run gateway up test test-postgres test-clickhouse-server test-schemathesis test-properties fuzz pin-images test-processes test-pages test-gateway test-wheel test-image test-replicated acceptance check wheels torture stack bench soak screenshots mutants format lock install install-dev

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 24

run: install  ## start everything in one process, with demo accounts, on http://127.0.0.1:8000
	$(BIN)/python manage.py serve --demo --live --port $(PORT)

gateway: install  ## start the demo behind a real proxy server (needs Squid: apt-get install squid)
	$(BIN)/python manage.py demo_gateway --port $(PORT)

test: install-dev  ## run the suite, in three processes
	$(BIN)/python -m pytest $(ARGS)

test-postgres: install-dev  ## run the suites of the relational store on a private PostgreSQL
	$(BIN)/python -m tests.on_postgres $(ARGS)

test-clickhouse-server: install-dev  ## run the suites of ClickHouse over the native protocol
	$(BIN)/python -m tests.on_clickhouse_server $(ARGS)

test-replicated: install-dev  ## the same on replicated tables, with a private ZooKeeper
	$(BIN)/python -m tests.on_clickhouse_server --replicated

acceptance: install-dev  ## run the suite on your ClickHouse server: make acceptance CLICKHOUSE_URL=clickhouse://user:password@host:9000
	@test -n "$(CLICKHOUSE_URL)" || { echo "Set CLICKHOUSE_URL=clickhouse://user:password@host:9000"; exit 2; }
	@$(BIN)/python -m tests.acceptance "$(CLICKHOUSE_URL)" $(ARGS)

test-schemathesis: install-dev  ## send generated requests to every operation, compare responses with the OpenAPI description
	$(BIN)/python -m pytest -n 0 -m "schemathesis and not torture" $(ARGS)

fuzz: install-dev  ## feed hostile inputs to every decoder, for SECONDS of processor time each: make fuzz SECONDS=600
	FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest -n 0 -s -m fuzz tests/fuzz

test-processes: install-dev  ## test killed, restored and upgraded installations, and a year of renewals
	$(BIN)/python -m pytest -m processes $(ARGS)

test-pages: install-dev  ## test the pages in a browser
	$(BIN)/python -m pytest -m pages tests/pages $(ARGS)

test-properties: install-dev  ## run property tests and races with all their examples
	THOROUGH=1 $(BIN)/python -m pytest -m properties $(ARGS)

test-gateway: install-dev  ## test with a real Squid, HAProxy, Dante and FreeRADIUS (needs them, and root to end connections)
	$(BIN)/python -m pytest -n 0 -m "gateway and not torture" agent/tests tests/agent tests/demo tests/gateway

test-wheel: install-dev  ## build the package, install it into a new environment, run it
	$(BIN)/python -m pytest -n 0 -m wheel tests/test_wheel.py

test-image: install-dev  ## build the image on a stand-in base; run it alone and by compose (needs root, podman, runc, debootstrap, docker-compose)
	$(BIN)/python -m pytest -n 0 -m image tests/image

check: install-dev wheels  ## check format, lint, types, import rules, migrations, dead code and wheels, then run the suite
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	cd agent && PYTHONPATH=. ../$(BIN)/lint-imports
	$(BIN)/vulture
	FONPROXY_DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run
	$(MAKE) test

wheels: install-dev  ## check that every pinned package has a wheel for each Python and machine named in the README
	@for python in 3.11 3.12 3.13 3.14; do for machine in x86_64 aarch64; do \
	  echo "wheels for Python $$python on $$machine"; \
	  $(BIN)/uv pip compile -q --no-deps --only-binary :all: --python-version $$python \
	    --python-platform $$machine-manylinux_2_28 requirements.txt -o /dev/null || exit 1; \
	done; done

torture: install-dev  ## run crash points and kill matrices (long)
	$(BIN)/python -m pytest -m torture

pin-images:  ## write the digest behind each image's tag into Dockerfile, compose.yaml and the workflow (needs docker)
	$(PYTHON) ops/pin_images.py

up:  ## start the production processes in containers (compose.yaml; needs .env)
	docker compose up --build --detach --wait

stack: install-dev  ## test the production processes on private PostgreSQL, Redis and ClickHouse
	$(BIN)/python -m pytest -n 0 -m stack tests/stack

bench: install-dev  ## run every benchmark; each prints ratios measured in one run
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.small_pushes
	$(BIN)/python -m bench.steady_pushes
	$(BIN)/python -m bench.pushes_on_postgres
	$(BIN)/python -m bench.push_stages
	$(BIN)/python -m bench.reads
	$(BIN)/python -m bench.geo
	$(BIN)/python -m bench.alerts
	$(BIN)/python -m bench.billing
	$(BIN)/python -m bench.logs
	$(BIN)/python -m bench.events
	$(BIN)/python -m bench.admin
	$(BIN)/python -m bench.pages
	$(BIN)/python -m bench.gateway
	$(BIN)/python -m bench.feeds
	PYTHONPATH=agent $(BIN)/python -m bench.storage

screenshots: install-dev  ## retake the pictures in docs/screenshots from the demo
	$(BIN)/python -m bench.screenshots

soak: install-dev  ## run ten minutes of mixed traffic at 80 % of the maximum rate on the production processes
	$(BIN)/python -m bench.soak

mutants: install-dev  ## change critical code one place at a time and check that a test fails for each (long; resumes)
	$(BIN)/python -m tests.mutation

format: install-dev  ## format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: install-dev  ## compile requirements*.in into pinned requirements
	$(BIN)/uv pip compile -q --generate-hashes --universal --python-version 3.11 --upgrade requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --generate-hashes --universal --python-version 3.11 --upgrade requirements-dev.in -o requirements-dev.txt

install: .venv/runtime
install-dev: .venv/development

.venv/runtime: requirements.txt
	@echo "Installing FonProxy's dependencies into .venv (about a minute) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/development: .venv/runtime requirements-dev.txt
	@echo "Installing the development tools into .venv (about a minute) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -r requirements-dev.txt
	@touch $@
