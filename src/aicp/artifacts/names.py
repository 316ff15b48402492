"""Which relative paths may enter: whatever a source calls its files, nothing may land outside the version."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from aicp.core.errors import InvalidError

MAX_FILES = 10_000
_MAX_PATH = 1024
_MAX_PART_BYTES = 255


def check_paths(paths: Iterable[str]) -> None:
    """Raises InvalidError with every offending path and why, or when there are more than MAX_FILES."""
    listed = list(paths)
    if len(listed) > MAX_FILES:
        raise InvalidError(
            f"The source holds {len(listed):,} files; a model version may have {MAX_FILES:,}.", code="too_many_files"
        )
    problems = [{"path": path, "reason": reason} for path in listed if (reason := path_problem(path))]
    problems += collisions(listed)
    if problems:
        raise refused(problems)


def refused(problems: list[dict[str, Any]]) -> InvalidError:
    """The error that lists files with the reason why each may not enter."""
    shown = "; ".join(f"{item['path'][:200]!r}: {item['reason']}" for item in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return InvalidError(
        f"These files may not enter: {shown}{more}.",
        hint="Remove or rename them at the source, then import again.",
        code="unsafe_files",
        details={"files": problems[:1000]},
    )


def path_problem(path: str) -> str | None:
    """Why `path` is no safe relative POSIX path; None when it is."""
    if not path or path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        return "an absolute or empty path"
    if "\\" in path or any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in path):
        return "a backslash, control or invisible character in the name"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "an empty, '.' or '..' part in the path"
    if len(path) > _MAX_PATH or any(len(part.encode()) > _MAX_PART_BYTES for part in parts):
        return "a name that is too long"
    return None


def collisions(paths: list[str]) -> list[dict[str, str]]:
    """Paths that are the same, or would be on a disk that ignores case, or are file and folder at once."""
    seen: dict[str, str] = {}
    problems: list[dict[str, str]] = []
    for path in paths:
        key = _folded(path)
        if key in seen:
            problems.append({"path": path, "reason": f"the same name as {seen[key]!r}"})
        seen[key] = path
    for path in paths:
        parts = _folded(path).split("/")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            if parent in seen:
                problems.append({"path": path, "reason": f"{seen[parent]!r} is a file and cannot be a folder"})
    return problems


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
