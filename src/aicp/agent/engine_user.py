"""The user that engines run as when the platform itself is root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from aicp.core.errors import InvalidError


@dataclass(frozen=True, slots=True)
class EngineUser:
    """An unprivileged user by name and numbers."""

    name: str
    user_id: int
    group_id: int

    def own(self, path: Path) -> None:
        """Gives `path` to this user."""
        os.chown(path, self.user_id, self.group_id)


def find_engine_user(name: str | None, effective_user: int) -> EngineUser | None:
    """Who engines run as; None means as the platform itself, which is so whenever the platform is not root.

    `name` None takes `nobody`; `root` keeps engines root, for machines where the operator wants that. Raises
    InvalidError for an unknown user.
    """
    if effective_user != 0 or name == "root":
        return None
    try:
        entry = pwd.getpwnam(name or "nobody")
    except KeyError as error:
        raise InvalidError(
            f"There is no user {name or 'nobody'!r} on this machine to run engines as.",
            hint="Create it, or name another one with AICP_ENGINE_USER.",
        ) from error
    return EngineUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
