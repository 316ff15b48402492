# Two commands matter to a newcomer: `make run` and `make test`. `make check` is the quick gate before a commit.
SHELL := /bin/bash
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run install install-dev compiled console test check e2e fuzz soak-usage soak-scheduler lock docs clean demo-slices bench-%

run: compiled console
	@exec .venv/bin/aicp quickstart

install:
	@tools/install.sh runtime

install-dev:
	@tools/install.sh dev

# the gateway's hot modules as machine code, and the library that slices NVIDIA devices, where there is a C compiler
compiled: install
	@$(PY) tools/compile_gateway.py
	@$(PY) tools/build_interposer.py

console: install
	@tools/build_console.sh

test: install-dev compiled console
	@tools/install_test_packages.sh
	@tools/test.sh

e2e: install-dev compiled console
	@tools/install_test_packages.sh
	@tools/install_clients.sh
	@$(PY) -m pip install --quiet --require-hashes -r requirements/ray.txt
	@tools/test.sh e2e

check: install-dev
	@tools/check.sh

docs: install-dev
	@$(PY) tools/write_docs.py

# random clients against the gateway's HTTP; SECONDS_OF_IT and SEED say how many and which
fuzz: install-dev
	@$(PY) tools/fuzz_gateway.py --seconds $(or $(SECONDS_OF_IT),600) --seed $(or $(SEED),1)

# usage rows through a gateway's log and a control plane that are killed again and again; each must count once
soak-usage: install-dev
	@$(PY) benchmarks/soak_usage.py --rows $(or $(ROWS),10000000)

# a million random operations of the scheduler over a store that is killed on the way
soak-scheduler: install-dev
	@$(PY) benchmarks/soak_scheduler.py --operations $(or $(OPERATIONS),1000000)

# four small models in slices of this machine's processor, on a platform that comes and goes with it
demo-slices: install-dev compiled
	@$(PY) demo/show_slices.py

bench-%: install-dev compiled
	@$(PY) benchmarks/bench_$*.py

# needs root: machines are namespaces of this one
bench-ray: install-dev compiled
	@$(PY) -m pip install --quiet --require-hashes -r requirements/ray.txt
	@$(PY) benchmarks/bench_ray.py

lock:
	@tools/lock.sh

clean:
	rm -rf .venv console/node_modules console/dist .pytest_cache .ruff_cache .hypothesis
