# Needs Python 3.11 or later, git and make. `make demo` and `make test` do all the rest.
PYTHON ?= python3
BIN := .venv/bin
# a moved checkout or an upgraded Python breaks a virtual environment: make it again
_ := $(shell [ "$$(cat .venv/.stamp 2>/dev/null)" = "$(CURDIR)" ] && .venv/bin/python -c 0 2>/dev/null || rm -f .venv/.stamp)
.PHONY: demo up test test-long lint bench octoprint lock clean

demo: .venv/.stamp          # the whole system with a virtual shop and real models
	$(BIN)/imewe demo

up: .venv/.stamp            # the whole system with your machines
	$(BIN)/imewe up

test: lint                  # two halves side by side
	$(BIN)/python -m tests.halves

test-long: lint             # full counts: kills, seeds, fuzzing
	IMEWE_TEST_LONG=1 $(BIN)/pytest -q --timeout=3600

lint: .venv/.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.stamp
	$(BIN)/imewe bench

octoprint: .venv/.stamp     # the real OctoPrint that one test speaks to; needs a C compiler
	$(BIN)/python -m tests.peers.octoprint_environment

.venv/.stamp: requirements.lock pyproject.toml ops/boot.py
	@$(PYTHON) ops/boot.py

UV ?= $(firstword $(wildcard .uv/bin/uv .venv/bin/uv) uv)
lock:                       # for maintainers; UPGRADE=--upgrade takes newer versions
	UV_SYSTEM_CERTS=1 $(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 --group dev $(UPGRADE) pyproject.toml -o requirements.lock
	UV_SYSTEM_CERTS=1 $(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate \
	  --python-version 3.11 $(UPGRADE) tests/peers/octoprint.in -o tests/peers/octoprint.txt
	! grep -nE '://' requirements.lock tests/peers/octoprint.txt

clean:                      # what was set up here; homes with data are left alone
	rm -rf .venv .venv-octoprint .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
