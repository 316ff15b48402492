"""Which Python an environment is built on."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from aicp.core.errors import UnavailableError

_PLACES = ("/usr/bin", "/usr/local/bin")


def find_python(minors: Sequence[str], *, for_everyone: bool, candidates: Iterable[Path] | None = None) -> Path:
    """A Python of one of `minors` (such as `3.11`): the one that runs us when it fits, else one of the system's.

    With `for_everyone` (engines will run as another user) one that other users can reach comes first. Raises
    UnavailableError when there is none.
    """
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = list(candidates) if candidates is not None else _candidates(minors, ours)
    if for_everyone:
        found.sort(key=lambda path: not reachable_by_all(path))
    if not found:
        wanted = " or ".join(minors)
        raise UnavailableError(
            f"This engine needs Python {wanted}, and this machine has none.",
            hint=f"Install Python {minors[0]} (on Debian: the package python{minors[0]}-venv) and try again.",
        )
    return found[0]


def reachable_by_all(path: Path) -> bool:
    """Whether any user may run `path`: it and every folder above its real place are open to others."""
    real = path.resolve()
    folders_open = all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
    return bool(real.stat().st_mode & stat.S_IXOTH) and folders_open


def _candidates(minors: Sequence[str], ours: str) -> list[Path]:
    paths = [Path(sys.base_prefix) / "bin" / f"python{ours}"] if ours in minors else []
    paths += [Path(place) / f"python{minor}" for minor in minors for place in _PLACES]
    return [path for path in paths if path.is_file() and os.access(path, os.X_OK)]
