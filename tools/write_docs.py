"""Writes every generated document; `--check` only says which are stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WRITERS = ("accelerators", "cli", "client", "metrics", "modes", "openapi", "roles", "settings")


def main() -> int:
    """Runs each writer in a process of its own; the number of those that failed."""
    tools = Path(__file__).parent
    commands = ([sys.executable, str(tools / f"write_{name}.py"), *sys.argv[1:]] for name in WRITERS)
    return sum(1 for command in commands if subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    sys.exit(main())
