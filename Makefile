# Two commands matter to a newcomer: `make run` and `make test`. `make check` is the quick gate before a commit.
SHELL := /bin/bash
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run install install-dev compiled console test check e2e lock docs clean bench-%

run: compiled console
	@exec .venv/bin/aicp quickstart

install:
	@tools/install.sh runtime

install-dev:
	@tools/install.sh dev

# the gateway's hot modules as machine code, where there is a C compiler
compiled: install
	@$(PY) tools/compile_gateway.py

console: install
	@tools/build_console.sh

test: install-dev compiled console
	@tools/install_test_packages.sh
	@tools/test.sh

e2e: install-dev compiled console
	@tools/install_test_packages.sh
	@tools/install_clients.sh
	@tools/test.sh e2e

check: install-dev
	@tools/check.sh

docs: install-dev
	@$(PY) tools/write_docs.py

bench-%: install-dev compiled
	@$(PY) benchmarks/bench_$*.py

lock:
	@tools/lock.sh

clean:
	rm -rf .venv console/node_modules console/dist .pytest_cache .ruff_cache .hypothesis
