#!/usr/bin/env bash
# Rewrites the hashed locks from requirements/*.in; no registry address is written.
set -euo pipefail
cd "$(dirname "$0")/../requirements"
for name in runtime kubernetes ray build node dev clients; do
  ../.venv/bin/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe \
    --output-file "$name.txt" "$name.in"
done
../.venv/bin/python ../tools/lock_detectors.py
