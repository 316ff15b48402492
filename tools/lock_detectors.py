"""Rewrites requirements/detectors.txt: exactly the packages of detectors.in, without what those ask for.

pip-compile always follows dependencies. pip's own report of what it would install does not have to, and it knows each
file's hash; every package is a wheel for any platform, so one hash is enough.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "requirements"
OTHERS = ("runtime", "build", "dev")
"""Locks that are installed beside this one: a package in both has one version."""


def pins() -> list[str]:
    """`name==version` of every package in the other locks."""
    lines = (line for name in OTHERS for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines())
    return sorted({line.split()[0] for line in lines if "==" in line and line[0].isalnum()})


def report() -> list[dict]:
    """What pip would install for detectors.in alone."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(pins()))
        constraints.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
        command += ["--only-binary=:all:", "--report", "-", "-c", constraints.name, "-r", str(FOLDER / "detectors.in")]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(found)["install"]


def main() -> int:
    """Writes the lock; fails when a package is not for every platform."""
    lines = ["# Written by tools/lock_detectors.py from detectors.in. Install with --no-deps."]
    for package in sorted(report(), key=lambda package: package["metadata"]["name"].lower()):
        file = package["download_info"]
        if not file["url"].endswith("-none-any.whl"):
            sys.exit(f"{file['url']} is for one platform; this lock keeps one hash a package.")
        metadata = package["metadata"]
        digest = file["archive_info"]["hashes"]["sha256"]
        lines += [f"{metadata['name'].lower()}=={metadata['version']} \\", f"    --hash=sha256:{digest}"]
    (FOLDER / "detectors.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
