"""`python -m aicp.runners.ray.start OPTIONS...`: `ray start`, with the password of Redis from the environment.

Ray's own command takes it as an option alone. Ray itself still hands it to its head's processes in that way, where
every user of the head's machine can read it: see the guide.
"""

from __future__ import annotations

import os
import sys

from ray.scripts.scripts import cli  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Becomes Ray's command line, which does not return."""
    password = os.getenv("RAY_REDIS_PASSWORD")
    secret = [f"--redis-password={password}"] if password else []
    cli(["start", *sys.argv[1:], *secret])


if __name__ == "__main__":
    main()
