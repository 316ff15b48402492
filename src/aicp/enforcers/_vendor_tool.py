"""A vendor's command line tool: found by absolute path, run without a shell, and never the end of its caller."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_DIRECTORIES = tuple(map(Path, ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")))
_PATIENCE_SECONDS = 30.0
_LONGEST_COMPLAINT = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What the tool printed; `problem` says in words why that is no answer, None where it is one."""

    text: str = ""
    problem: str | None = None


class VendorTool:
    """`directories` are searched in order; the agent's PATH is not, since it may be anybody's. `libraries` are where
    the tool's own lie, for drivers that are installed elsewhere than the linker looks.
    """

    def __init__(
        self,
        name: str,
        directories: Sequence[Path] = _DIRECTORIES,
        patience_seconds: float = _PATIENCE_SECONDS,
        libraries: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._directories = directories
        self._patience_seconds = patience_seconds
        self._libraries = libraries

    def path(self) -> Path | None:
        """Where it is installed; None where it is not."""
        candidates = (directory.absolute() / self.name for directory in self._directories)
        return next((path for path in candidates if path.is_file() and os.access(path, os.X_OK)), None)

    def run(self, *arguments: str) -> Answer:
        """Its answer, in English where it speaks several languages. Never raises."""
        path = self.path()
        if path is None:
            return Answer(problem=f"{self.name} is not installed")
        try:
            done = subprocess.run(
                [str(path), *arguments],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=self._patience_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(problem=f"{self.name} did not answer within {self._patience_seconds:g} s")
        except OSError as error:
            return Answer(problem=f"{self.name} could not be run: {error}")
        if done.returncode != 0:
            said = " ".join(done.stdout.split())[:_LONGEST_COMPLAINT] or f"it ended with {done.returncode}"
            return Answer(done.stdout, f"{self.name} {' '.join(arguments)}: {said}")
        return Answer(done.stdout)

    def _environment(self) -> dict[str, str]:
        env = {"PATH": ":".join(map(str, _DIRECTORIES)), "LANG": "C", "LC_ALL": "C"}
        return env | ({"LD_LIBRARY_PATH": ":".join(self._libraries)} if self._libraries else {})
