#!/usr/bin/env bash
# Installs clients of others, which tests of conformance start, into an environment of their own: they bring packages
# that nothing here needs, one under a licence (MPL) that no part of the platform has.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements/clients.txt
stamp=.venv/clients/.installed
wanted="$(sha256sum < "$lock")"
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0
echo "Installing $(grep -c '==' "$lock") packages of $lock ..."
.venv/bin/python -m venv .venv/clients
.venv/clients/bin/python -m pip install --quiet --require-hashes -r "$lock" 2> >(grep -v "WARNING: Location" >&2)
echo "$wanted" > "$stamp"
