# Everything happens inside this folder; `make setup` needs Python 3.11 or later and a network or filled caches once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := requirements-dev.lock

.PHONY: setup demo test lint check compare soak reference man lock check-deploy clean

setup: $(STAMP)

# What is installed: `guardian` runs from .venv, not from here, so a change here must reach it.
SOURCES := $(shell find guardian balancer health config loadtest deploy -type f -not -path '*/__pycache__/*' \
	-not -path 'loadtest/native/build*')

# uv where it can be had, since it takes a second where pip takes a minute; both install exactly what the lock says.
$(STAMP): $(LOCK) pyproject.toml README.md $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "guardian needs Python 3.11 or later; set PYTHON=... (found: $$($(PYTHON) --version 2>&1))"; exit 1; }
	@PYTHON="$(PYTHON)" VENV="$(VENV)" LOCK="$(LOCK)" sh deploy/install.sh
	@touch $@

demo: setup
	@$(BIN)/guardian demo $(if $(STAY),--stay) $(if $(SLOW),--slow $(SLOW))

# The tests run from the sources here, interpreted. Where the data path is compiled, those of its promises run on the
# installation first: PYTHONSAFEPATH keeps this folder behind it. `make soak` has the runs of minutes.
COMPILED := installation life failover crosstalk refusals pinned sessions writes context arriving reload
# Half as many again as processors: many tests wait, for processes, screens and time-outs of their own.
PARALLEL = -n $(or $(JOBS),$(shell $(BIN)/python -c 'import os; print(len(os.sched_getaffinity(0)) * 3 // 2)')) --dist worksteal
# Kept, so that not each process compiles each test anew, wherever the environment says not to.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup
ifeq ($(ARGS),)
	@case "$$($(BIN)/guardian --version)" in *compiled) \
		PYTHONSAFEPATH=1 $(BIN)/python -m pytest $(PARALLEL) $(COMPILED:%=tests/integration/test_%.py);; esac
	@$(BIN)/python -m pytest $(PARALLEL)
else
	@$(BIN)/python -m pytest $(ARGS)
endif

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/flake8-async --disable ASYNC109,ASYNC110,ASYNC114,ASYNC120,ASYNC121,ASYNC124,ASYNC128,ASYNC9 $$(git ls-files 'guardian/*.py' 'balancer/*.py' 'health/*.py' 'config/*.py' 'loadtest/*.py')

check: lint test

# Beside HAProxy and nginx, every target of docs/performance.md, and what was measured written there: about 12 minutes on
# a quiet machine. With ARGS only what they say, on the screen: `make compare ARGS="--rows shared,lost --quick"`.
compare: setup
	@$(BIN)/python -m loadtest.compare $(or $(ARGS),--page docs/performance.md --json docs/performance.json)

# Instructions per request in Python, case by case, beside a baseline of this interpreter: fails above 10 % more. Half a
# minute; needs valgrind. `make bench ARGS=--accept` makes what was counted the baseline.
.PHONY: bench
bench: setup
	@$(BIN)/python -m bench $(ARGS)

# What users would see at a rate: make generate ARGS='--connect 127.0.0.1:9100 --rate 500 ...'; ARGS=--help says more.
.PHONY: generate
generate: setup
	@$(BIN)/python -m loadtest.generate $(ARGS)

# p99 of requests with a hundred scrapes a second and twenty dashboards, and without, in turns; wants a quiet machine.
.PHONY: onlookers
onlookers: setup
	@$(BIN)/python -m loadtest.onlookers $(ARGS)

# 10,000 idle TLS connections on one worker, and a burst of 1,000 handshakes: what each costs; a minute and a half.
.PHONY: idle
idle: setup
	@$(BIN)/python -m loadtest.idle $(ARGS)

# Policies beside each other in virtual time: `make simulate ARGS="workers --svg workers.svg"`.
.PHONY: simulate
simulate: setup
	@$(BIN)/python -m loadtest.simulate $(ARGS)

# 20,000 hostile connections to the admin port; then a nemesis for minutes, and the checkers over everybody's journals
# afterwards; `make soak SEED=7 SECONDS=600`.
soak: setup
	@$(BIN)/python -m tests.support.hostile --connections 20000 $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.support.jepsen --seconds $(or $(SECONDS),130) --seed $(or $(SEED),$$(date +%s)) $(ARGS)
	@$(BIN)/python -m tests.support.jepsen --workers 2 --seconds $(or $(SECONDS),130) --seed $(or $(SEED),$$(date +%s)) $(ARGS)
	@$(BIN)/python -m tests.support.upgrading

# Roots of Debian booted with systemd, the package, the container image, two nodes with keepalived: as root, minutes.
check-deploy: setup
	@$(BIN)/python -m pytest -m machine -n 2 --dist loadfile -rs --durations=5 tests/deploy/machine $(ARGS)

# The tables of docs/configuration.md and the JSON Schema for editors, from the model of the configuration.
reference: setup
	@$(BIN)/python -m config.reference

# Of every command, from what its --help is made of; in build/man.
man: setup
	@$(BIN)/python deploy/manpages.py build/man

lock:
	uv pip compile -q --universal --generate-hashes --no-header pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-header --extra dev -c requirements.lock pyproject.toml -o $(LOCK)
	uv pip compile -q --universal --generate-hashes --no-header --extra build -c $(LOCK) pyproject.toml -o requirements-build.lock

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage loadtest/native/build
