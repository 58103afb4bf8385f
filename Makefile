# Everything a newcomer or a CI job needs, as targets. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INPUTS := pyproject.toml constraints.txt
ARGS ?=
DASHBOARD := src/abidance/api/web/index.html

# One thread per numeric library: tests and benchmarks should not fight each other for the cores.
export OMP_NUM_THREADS ?= 1
# What Python has compiled is kept: each worker and each program that a test starts would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-slow simulate-faults coverage kill-live lint fmt bench docs openapi web test-web browser postgres constraints clean

help: ## list these targets
	@echo "Abidance. Start with: make demo"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## create .venv with everything development needs
	@echo "Ready: $(VENV) holds Abidance and its development tools."

demo: $(VENV)/.runtime ## install the runtime, build the dashboard where Node is, and run the demonstration
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory --silent web \
		|| echo "The dashboard could not be built (Node 20 or newer? the npm registry in reach?): the terminal has to do."; \
	else echo "Node is not here, so the dashboard cannot be built: install Node 20 or newer to see it."; fi
	@$(VENV)/bin/abidance demo $(ARGS)

PYTEST := $(PY) -m pytest -n 2 --dist worksteal --durations=40
test: $(VENV)/.installed ## run all tests but the slow ones (make test ARGS="-k ledger" picks some)
	@$(PYTEST) -m 'not slow' $(ARGS)

test-slow: $(VENV)/.installed ## run the tests that take more than ten seconds each
	@$(PYTEST) -m slow $(ARGS)

SEEDS ?= 10000
WORLD ?=
simulate-faults: $(VENV)/.installed ## let the live program trade in SEEDS worlds in which everything goes wrong
	@$(VENV)/bin/abidance simulate-faults --seeds $(SEEDS) --jobs 2 --world '$(WORLD)'

ROOMS := risk execution portfolio journal
COMMA := ,
EMPTY :=
coverage: $(VENV)/.installed ## measure which branches of risk, execution, portfolio and journal tests take: 95 % at least
	@$(PY) -m coverage run --branch --source=$(subst $(EMPTY) $(EMPTY),$(COMMA),$(ROOMS:%=src/abidance/%)) -m pytest -n 0 \
		$(ROOMS:%=tests/unit/%) $(addprefix tests/property/test_,$(addsuffix .py,algos allocation circuits journal ledger \
		order_states owner risk router skip_ahead)) tests/unit/engine
	@$(PY) -m coverage report
	@$(PY) -m coverage json -q -o - | $(PY) tests/branches.py $(ROOMS)

KILLS ?= 200
kill-live: $(VENV)/.installed ## kill a bot with real orders KILLS times at a local exchange: nothing lost, nothing doubled
	@ABIDANCE_KILLS=$(KILLS) $(PY) -m pytest --timeout=14400 tests/e2e/test_live_kill.py

lint: $(VENV)/.installed ## check style, types and the import layers
	@failed=0; \
	check() { echo "-- $$*"; $(VENV)/bin/"$$@" || failed=1; }; \
	check ruff check .; \
	check ruff format --check --quiet .; \
	check mypy; \
	check lint-imports --no-logo; \
	[ $$failed = 0 ] || { echo "Not clean. 'make fmt' repairs what can be repaired by itself." >&2; exit 1; }

fmt: $(VENV)/.installed ## format the code and apply the safe fixes
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: $(VENV)/.installed ## measure Abidance beside its peers (ARGS=--heavy: every workload and peer)
	@$(PY) benchmarks/run.py $(ARGS)

docs: $(VENV)/.docs ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict
	@echo "Built: site/index.html"

openapi: $(VENV)/.installed ## describe the API in web/openapi.json, from which clients are made
	@mkdir -p web
	@$(VENV)/bin/abidance serve --openapi web/openapi.json

browser: $(VENV)/.installed ## have the browser that the dashboard's tests drive: Debian's for root, else Playwright's own
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else $(PY) -m playwright install chromium; fi

postgres: ## have the PostgreSQL of which tests start servers of their own: Debian's, for root
	@if command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; \
	else echo "PostgreSQL is not here: install its server as your system does it." >&2; exit 1; fi

test-web: web/node_modules/.installed ## run the tests of the dashboard's own code (those in a browser are part of `make test`)
	@npm --prefix web test --silent

web: $(DASHBOARD) ## build the dashboard, which `abidance serve` shows; needs Node 20 or newer

$(DASHBOARD): web/node_modules/.installed web/openapi.json $(shell find web/src web/index.html web/pack.mjs web/public -type f 2>/dev/null)
	@echo "Building the dashboard"
	@npm --prefix web run --silent build -- --logLevel warn
	@touch $@

web/node_modules/.installed: web/package-lock.json
	@echo "Fetching what the dashboard is built with (once)"
	@npm --prefix web ci --silent --no-audit --no-fund
	@touch $@

constraints: $(VENV)/.created ## resolve the newest versions into constraints.txt
	@echo "Resolving constraints.txt ..."
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--output-file constraints.txt pyproject.toml

clean: ## remove .venv, caches and everything built
	@rm -rf $(VENV) web/node_modules src/abidance/api/web site build dist htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis .compiled
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments ---------------------------------------------------------------------------------
# Each stamp says what .venv holds. `make demo` needs .runtime alone, and .installed implies it.

# $(call pip-install,<what>): uv when it can, pip when it cannot. uv does not read pip's own
# setting for a folder of wheels, so that one is handed over.
define pip-install
@$(PY) -c "" 2>/dev/null || { \
	echo "$(VENV) does not work any more (was the folder moved, or Python removed?): run 'make clean' and try again." >&2; \
	exit 1; }
@env $${PIP_FIND_LINKS:+UV_FIND_LINKS="$$PIP_FIND_LINKS"} \
	UV_SYSTEM_CERTS=1 $(PY) -m uv pip install --python $(PY) --compile-bytecode -c constraints.txt $(1) \
	|| { echo "uv could not install; trying pip."; $(PY) -m pip install -c constraints.txt $(1); }
endef

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "Abidance needs Python 3.11 or newer, and '$(PYTHON)' is not here: install it, or name another with 'make PYTHON=python3.12 ...'." >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Abidance needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -c 'import platform; print(platform.python_version())'): install a newer one and name it with 'make PYTHON=python3.12 ...'." >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments: install its venv module (on Debian and Ubuntu: apt install python3-venv)." >&2; \
		exit 1; }
	@echo "[1/3] Creating $(VENV) (once; takes a few seconds)"
	@$(PYTHON) -m venv $(VENV)
	@echo "[2/3] Fetching the installer"
	@$(PY) -m pip install --quiet --disable-pip-version-check --progress-bar on uv \
		|| echo "uv could not be fetched; pip will do the work."
	@touch $@

$(VENV)/.runtime: $(VENV)/.created $(INPUTS)
	@echo "[3/3] Installing Abidance and what it runs on (up to a minute the first time)"
	$(call pip-install,-e '.[api]')
	@touch $@

$(VENV)/.installed: $(VENV)/.created $(INPUTS)
	@echo "[3/3] Installing Abidance and its development tools (up to two minutes the first time)"
	$(call pip-install,-e '.[dev]')
	@touch $(VENV)/.runtime $@

$(VENV)/.docs: $(VENV)/.created $(INPUTS)
	@echo "[3/3] Installing what builds the documentation"
	$(call pip-install,-e '.[docs]')
	@touch $@
