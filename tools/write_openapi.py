"""Writes docs/reference/openapi.json: the contract from which the console's client is generated.

`--check` writes nothing and fails when the file is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aicp.api.app import create_app

TARGET = Path(__file__).parent.parent / "docs" / "reference" / "openapi.json"


def main() -> int:
    """Exit code 1 when `--check` finds another document than the application's own."""
    text = json.dumps(create_app({}).openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        if TARGET.is_file() and TARGET.read_text("utf-8") == text:
            return 0
        print("docs/reference/openapi.json is stale; run tools/write_openapi.py and `npm run api` in console/.")
        return 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
