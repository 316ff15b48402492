"""One row of the table of settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default` is text as a user would write it; None means derived, see the description."""

    name: str
    parse: Callable[[str], Any]
    default: str | None
    description: str

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"AICP_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """Its command line flag."""
        return f"--{self.name.replace('_', '-')}"
