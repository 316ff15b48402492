#!/usr/bin/env bash
# The quick gate: format, lint, types, import contracts, repository rules, unit tests.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
$bin/ruff format --check --quiet src tests tools benchmarks demo lightengine
$bin/ruff check --quiet src tests tools benchmarks demo lightengine
$bin/pyright --warnings
$bin/lint-imports --no-cache | tail -n 3
$bin/python tools/check_repository.py
$bin/python tools/check_sentences.py
$bin/python tools/write_docs.py --check
$bin/python -m pytest -q tests/unit -m "not e2e"
