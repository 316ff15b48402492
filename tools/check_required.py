"""Names the tests that did not run, and fails when one that tests/required.txt asks for is among them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _among(name: str, tests: list[str]) -> bool:
    return any(name in test for test in tests)


def main(report: Path, suite: str) -> int:
    """`report` holds one JSON object a line: {"test": id, "outcome": passed|failed|skipped, "reason": str}."""
    results = [json.loads(line) for line in report.read_text().splitlines()]
    for result in results:
        if result["outcome"] == "skipped":
            print(f"not run: {result['test']}: {result['reason']}")
    passed = [result["test"] for result in results if result["outcome"] == "passed"]
    skipped = [result["test"] for result in results if result["outcome"] == "skipped"]
    lines = (ROOT / "tests" / "required.txt").read_text().splitlines()
    required = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    wanted = [name for kind, name in required if kind == suite]
    missing = [name for name in wanted if not _among(name, passed) or _among(name, skipped)]
    for name in missing:
        print(f"required and did not run or pass: {name}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
