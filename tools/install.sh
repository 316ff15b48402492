#!/usr/bin/env bash
# Installs the platform into .venv from the hashed locks. `runtime` is what running needs, `dev` adds checks and tests.
set -euo pipefail
cd "$(dirname "$0")/.."
kind="${1:-runtime}"
# A distribution's Python is built with optimizations that one built by hand mostly lacks: the gateway is a sixth faster.
sound() {
  command -v "$1" > /dev/null && "$1" - <<'PY' 2> /dev/null
import ensurepip, pathlib, sys, sysconfig, venv
sys.exit(sys.version_info < (3, 11) or not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists())
PY
}
python="${AICP_PYTHON:-}"
[ -n "$python" ] || { sound /usr/bin/python3 && python=/usr/bin/python3 || python=python3; }
locks=(requirements/runtime.txt requirements/build.txt requirements/detectors.txt)
[ "$kind" = dev ] && locks+=(requirements/dev.txt)
stamp=".venv/.installed-$kind"
wanted="$(cat "${locks[@]}" pyproject.toml | sha256sum | cut -d' ' -f1)"
if [ "$kind" = runtime ] && [ -f .venv/.installed-dev ]; then
  with_dev="$(cat "${locks[@]}" requirements/dev.txt pyproject.toml | sha256sum | cut -d' ' -f1)"
  [ "$(cat .venv/.installed-dev)" = "$with_dev" ] && exit 0
fi
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

"$python" - <<'PY' || { echo "aicp needs Python 3.11 or newer as python3 (or set AICP_PYTHON)." >&2; exit 1; }
import sys
sys.exit(sys.version_info < (3, 11))
PY
[ -x .venv/bin/python ] || { echo "Creating .venv with $(command -v "$python") ..."; "$python" -m venv .venv; }
for lock in "${locks[@]}"; do
  echo "Installing $(grep -c '==' "$lock") packages of $lock ..."
  # of what the detection library asks for, only what its lock names is wanted; bash before 4.4 takes an empty array
  # for an unset one
  alone=(); [ "$lock" = requirements/detectors.txt ] && alone=(--no-deps)
  .venv/bin/python -m pip install --quiet --require-hashes ${alone[@]+"${alone[@]}"} -r "$lock" 2> >(grep -v "WARNING: Location" >&2)
done
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e . 2> >(grep -v "WARNING: Location" >&2)
echo "$wanted" > "$stamp"
