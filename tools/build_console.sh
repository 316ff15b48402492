#!/usr/bin/env bash
# Builds the console into console/dist when its sources changed. Without Node.js on the machine, PyPI's build of it is used.
set -euo pipefail
cd "$(dirname "$0")/../console"
stamp=dist/.built-from
sources=(src public index.html vite.config.ts tsconfig.json package.json package-lock.json)
wanted="$(find "${sources[@]}" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)"
[ -f "$stamp" ] && [ -d node_modules ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

if ! command -v npm >/dev/null || [ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -lt 20 ]; then
  echo "Node.js 20 or newer is not installed; taking it from PyPI ..."
  ../.venv/bin/python -m pip install --quiet --require-hashes -r ../requirements/node.txt
  PATH="$(cd ../.venv/bin && pwd):$PATH"
fi
echo "Installing the console's packages ..."
npm ci --no-audit --no-fund --loglevel=error
echo "Building the console ..."
npm run --silent build
echo "$wanted" > "$stamp"
