#!/usr/bin/env bash
# The console's own checks: types, lint, unit tests (the three languages among them), and that its client is the one
# that the OpenAPI document generates.
set -euo pipefail
cd "$(dirname "$0")/../console"
command -v npm >/dev/null || PATH="$(cd ../.venv/bin && pwd):$PATH"
npm run --silent check
npm run --silent test -- --reporter=dot
fresh="$(mktemp --suffix=.ts)"
trap 'rm -f "$fresh"' EXIT
API_TARGET="$fresh" npm run --silent api >/dev/null
cmp -s "$fresh" src/api/schema.ts || { echo "console/src/api/schema.ts is stale; run 'npm run api' in console/." >&2; exit 1; }
echo "console: types, lint, tests and generated client are right"
