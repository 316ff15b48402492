"""Rules that no linter offers: file sizes, forbidden words in names, registry addresses, machine paths, vocabulary."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAX_LINES = {".py": 400, ".ts": 250, ".tsx": 250}
GENERATED = re.compile(r"(\.gen\.|/generated/|/migrations/|\.d\.ts$|src/api/schema\.ts$)")
BAD_NAMES = re.compile(r"^\s*class\s+\w*(Manager|Helper|Util|Handler|Impl)\b", re.MULTILINE)
BAD_FOLDERS = {"utils", "common", "helpers", "managers", "misc"}
TEXT = {".py", ".ts", ".tsx", ".md", ".toml", ".txt", ".json", ".yaml", ".yml", ".sh", ".in", ".jsonl", ".css", ".html"}
# Written in pieces so that this file does not break its own rule.
SECRETS_OF_A_MACHINE = re.compile("|".join(["/ro" + "ot/", "/wo" + "rk/", r"\.\./sha" + "red", "/ho" + "me/[a-z]"]))
REGISTRY = re.compile(r"https?://[^\s\"']*(/simple\b|pypi\.org/|registry\.npmjs|\.whl\b|\.tgz\b|\.deb\b)")


def tracked() -> list[Path]:
    """Every committed or staged file."""
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


def complaints(path: Path) -> Iterator[str]:
    """What is wrong with one file."""
    name = path.relative_to(ROOT).as_posix()
    if BAD_FOLDERS & set(path.relative_to(ROOT).parts[:-1]):
        yield f"{name}: a folder named after nothing in particular"
    if path.suffix not in TEXT:
        return
    text = path.read_text(encoding="utf-8")
    limit = MAX_LINES.get(path.suffix)
    lines = text.count("\n")
    in_source = name.startswith(("src/", "console/src/"))
    if limit and in_source and lines > limit and not GENERATED.search(name):
        yield f"{name}: {lines} lines, the limit is {limit}; split it by what it does"
    if path.suffix == ".py" and in_source and BAD_NAMES.search(text):
        yield f"{name}: a class name that says nothing (Manager, Helper, Util, Handler, Impl)"
    if REGISTRY.search(text):
        yield f"{name}: the address of a package registry"
    if SECRETS_OF_A_MACHINE.search(text):
        yield f"{name}: an absolute path of one machine"


def main() -> int:
    """Prints every complaint; 1 when there is one."""
    found = [complaint for path in tracked() for complaint in complaints(path)]
    print("\n".join(found) or "repository rules: kept")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
