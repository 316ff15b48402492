#!/usr/bin/env bash
# `test.sh`: unit, contract, store on both databases, one walk with the real engine, one browser walk.
# `test.sh e2e`: everything else. Both fail when a test of tests/required.txt did not run.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
report="$(mktemp)"
trap 'rm -f "$report"' EXIT
export AICP_TEST_REPORT="$report"
if [ "${1:-}" = e2e ]; then
  $bin/python -m pytest -q -m e2e --durations=25 tests
else
  $bin/ruff check --quiet src tests tools benchmarks demo lightengine
  $bin/pyright --warnings
  $bin/lint-imports --no-cache | tail -n 3
  $bin/python tools/check_repository.py
  $bin/python tools/check_sentences.py
  $bin/python tools/write_docs.py --check
  tools/check_console.sh
  # files of tests side by side where they need no machine of their own; the real server and engines one by one
  $bin/python -m pytest -q -n 2 --dist loadfile -m "not e2e" tests/unit tests/contract
  $bin/python -m pytest -q -m "not e2e" tests/integration
fi
$bin/python tools/check_required.py "$report" "${1:-test}"
