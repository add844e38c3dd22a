# make run     the gateway in front of three sample services, on http://localhost:8080/ (Ctrl-C stops all of it)
# make install .venv/bin/gateway as users have it: compiled, where there is a C compiler (GATEWAY_COMPILE=0 goes without)
# make test    everything that CI runs, from a bare machine on
# make check   the same, without installing anything first
# make bench   what a request costs, beside nginx and others (BENCH=--quick takes a minute)
# make profile where in the gateway the time of a request goes
#
# PYTHON names the interpreter that .venv is made with; it has to be 3.11 or later.

PYTHON ?= python3
BIN := .venv/bin
PURE_CACHE := gateway/cache/answered.py,gateway/cache/ask.py,gateway/cache/edit.py,gateway/cache/entry.py,gateway/cache/key.py,gateway/cache/purge.py,gateway/cache/queues.py,gateway/cache/render.py,gateway/cache/reuse.py,gateway/cache/rules.py,gateway/cache/status.py,gateway/cache/storable.py,gateway/cache/tags.py,gateway/cache/update.py
COMPILED_TESTS := $(patsubst %,tests/wire/test_%.py,express express_edges express_hits two_entrances forwarding bodies pipelining streaming caching cache_review redis_store client_gone errors limits access_log_lines target_ends)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run install test check lint types contracts tests schema bench profile clean FORCE

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' $(MAKEFILE_LIST)

run: .venv/.run
	@exec $(BIN)/python -m samples.run

install: .venv/.installed

test: .venv/.dev .venv/.installed
	@$(MAKE) --no-print-directory check

check: lint types contracts tests

lint:
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports --no-logo

# Once over everything, then what the pure packages must have: every branch. Then what is compiled, as it is installed.
tests:
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered
	$(BIN)/coverage report --include='gateway/rfc/*,gateway/upstream/discovery/found.py,gateway/balance/*,gateway/limits/*,$(PURE_CACHE),gateway/cache/codec.py,gateway/cache/purge_log.py,gateway/cache/redis_names.py,gateway/redis/resp.py,gateway/redis/breaker.py' --fail-under=100 --show-missing
	GATEWAY_TEST_INSTALLED=1 $(BIN)/python -m pytest $(COMPILED_TESTS) -k 'not asgi'

schema:
	$(BIN)/python -m gateway schema > routes.schema.json

bench: .venv/.installed
	$(BIN)/python -m benchmarks $(BENCH)

profile: .venv/.run
	$(BIN)/python -m benchmarks.phases $(BENCH)

clean:
	rm -rf .venv .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist

# ---------------------------------------------------------------- the environment

# Debian packs venv apart from python3; as root we may install it, else we say what is missing.
.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; name it by PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
			&& apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; } \
		|| { echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "making .venv"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --upgrade 'pip>=25.1'

.venv/.run: .venv/pyvenv.cfg pyproject.toml
	@echo "installing the gateway"
	@$(PIP) install --editable '.[compression]'
	@touch $@

# In place of the editable one. `python -m gateway` and the tests run the source as it is all the same.
.venv/.installed: .venv/.run .venv/.compile hatch_build.py $(shell find gateway -name '*.py')
	@echo "building and installing the gateway; compiling takes two minutes"
	@$(PIP) install --no-deps --force-reinstall .
	@touch $@

# What GATEWAY_COMPILE was; written when it is another, so that the next installation heeds it.
.venv/.compile: .venv/pyvenv.cfg FORCE
	@test "$$(cat $@ 2>/dev/null)" = "GATEWAY_COMPILE=$(GATEWAY_COMPILE)" || echo "GATEWAY_COMPILE=$(GATEWAY_COMPILE)" > $@

FORCE:

# The tests start Redis servers of their own. As root we may install one, else we say what is missing.
.venv/.dev: .venv/.run
	@command -v redis-server >/dev/null \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
			&& apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server; } \
		|| { echo "redis-server is missing: apt-get install redis-server" >&2; exit 1; }
	@echo "installing what tests and checks need"
	@$(PIP) install --group dev
	@touch $@
