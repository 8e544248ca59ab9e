# Every target makes what it needs: on a bare machine with Python 3.11+, git and make, start with `make demo`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JS := examples/js/node_modules/.package-lock.json
PARSER := requirements/js/node_modules/.package-lock.json
# What the tests need of the system: program=package of Debian.
SYSTEM := chromium=chromium nginx=nginx-light curl=curl openssl=openssl
GOAL := 95# per cent of lines and branches; the domain must reach 100

# node, npm and nats-server are those of the environment, whatever the machine has.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NODE_USE_SYSTEM_CA := 1# npm trusts whom the machine trusts

# Say nothing when all is well, everything when it is not.
quiet = out=$$($(1) 2>&1) || { printf '%s\n' "$$out" >&2; exit 1; }

.PHONY: help demo up down test system chaos simulate mutants explore check lint types mypy pyright imports verify generate screenshots bench fmt lock clean
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) $(JS) ## A minute of agents at work: pings, acks, silence, escalation
	@$(BIN)/rollcall demo

up: $(READY) ## Start the bus and all services
	@$(BIN)/rollcall up

down: $(READY) ## Stop them
	@$(BIN)/rollcall down

# Half as many again as there are cores: tests wait for each other's processes more than they compute.
WORKERS := $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))
# What runs whole processes, or what others cover: to measure it takes time and tells nothing.
UNMEASURED := tests/system tests/howto tests/dashboard tests/security tests/simulation tests/bench tests/chaos \
	tests/gateway/test_explored.py tests/gateway/test_states.py
test: $(READY) $(JS) $(PARSER) system ## Run the tests in parallel, and hold the coverage goals
	@$(BIN)/coverage erase
	@$(BIN)/pytest -q -n $(WORKERS) $(UNMEASURED:%=--ignore=%) --cov --cov-report= --durations=5 --durations-min=2
	@$(BIN)/pytest -q -n $(WORKERS) $(UNMEASURED) --durations=3 --durations-min=5
	@$(call quiet, $(BIN)/coverage report --fail-under=$(GOAL))
	@$(call quiet, $(BIN)/coverage report --fail-under=100 --include='domain/*')

system: ## Install what the tests need of Debian, where that may be done; else say what it is
	@missing=; for each in $(SYSTEM); do \
		PATH="$$PATH:/usr/sbin" command -v "$${each%=*}" >/dev/null || missing="$$missing $${each#*=}"; done; \
	[ -z "$$missing" ] && exit; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "The tests need more programs. Install them, then run make again: sudo apt-get install -y$$missing" >&2; exit 1; fi; \
	$(call quiet, apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing)

KILLS = 300
chaos: $(READY) ## Kill, stop and fill real processes under load, and judge; KILLS=300, SEED=… replays a plan
	@$(BIN)/python -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))

N = 200
simulate: $(READY) ## Run schedules in virtual time; N=200, SEED=1 is the first, N=1 SEED=17 replays one
	@$(BIN)/python -m tests.simulation --count $(N) --seed $(or $(SEED),1)

mutants: $(READY) ## Plant each fault in turn, until the simulator finds it
	@$(BIN)/python -m tests.simulation --mutants

explore: $(READY) ## Send what the description of HTTP allows, 1 000 examples of each operation
	@EXPLORED=1000 $(BIN)/pytest -q -s tests/gateway/test_explored.py tests/gateway/test_states.py

check: $(READY) ## All that a change must pass
	@$(MAKE) --no-print-directory -j2 lint types imports verify
	@$(MAKE) --no-print-directory test

lint: $(READY)
	@$(call quiet, $(BIN)/ruff format --check .)
	@$(call quiet, $(BIN)/ruff check --no-cache .)

types: mypy pyright

mypy: $(READY)
	@$(call quiet, $(BIN)/mypy)

pyright: $(READY)
	@$(call quiet, $(BIN)/pyright)

imports: $(READY)
	@$(call quiet, $(BIN)/lint-imports --no-cache)

verify: $(READY) ## Fail if a generated page is stale
	@$(call quiet, $(BIN)/python -m rollcall.generate --check)
	@$(call quiet, $(BIN)/python -m tests.guarantees --check)

generate: $(READY) ## Write the generated pages again
	@$(BIN)/python -m rollcall.generate
	@$(BIN)/python -m tests.guarantees

screenshots: $(READY) system ## Take the pictures of the dashboard that stand in the docs
	@$(BIN)/python -m tests.dashboard.look docs/dashboard

bench: $(READY) ## Measure, as ratios to the fastest known way; PARTS="ping ack" only those
	@$(BIN)/python -m bench $(PARTS)

fmt: $(READY) ## Format the code, and mend what can be mended by itself
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE)

lock: $(READY) ## Pin the requirements again; UPGRADE=--upgrade takes the newest
	@$(COMPILE) requirements/build.in -o requirements/build.txt
	@$(COMPILE) pyproject.toml --extra embedded --extra fast -o requirements/run.txt
	@$(COMPILE) pyproject.toml --extra embedded --extra fast requirements/dev.in \
		-c requirements/run.txt -c requirements/build.txt -o requirements/dev.txt
	@for place in examples/js requirements/js; do (cd $$place && npm install --package-lock-only \
		--omit-lockfile-registry-resolved --loglevel=error --no-audit --no-fund --no-update-notifier >/dev/null) \
		|| exit 1; done

clean: ## Remove all that make has made
	@rm -rf $(VENV) examples/js/node_modules requirements/js/node_modules build dist htmlcov .coverage .coverage.* \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

# Nothing is installed, and nothing is built, but what a hash in requirements/ names.
$(READY): pyproject.toml requirements/build.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Rollcall needs Python 3.11 or newer; name one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		install='apt-get install -y python3-venv'; \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "Python has no venv here. Install it, then run make again: sudo $$install" >&2; exit 1; fi; \
		$(call quiet, apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$install -qq); }
	@echo 'Preparing $(VENV) (once, about half a minute)' >&2
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt
	@$(BIN)/python -m pip install --quiet --require-hashes --no-build-isolation -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(JS) $(PARSER): %/node_modules/.package-lock.json: %/package.json %/package-lock.json | $(READY)
	@cd $* && npm ci --loglevel=error --no-audit --no-fund --no-update-notifier >/dev/null
	@touch $@
