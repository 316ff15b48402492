"""Who calls, and what they may do where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aicp.core.errors import ForbiddenError, NotFoundError
from aicp.core.identity import Permission


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user of the REST API. `platform` permissions hold in every project."""

    user: str
    user_id: str
    platform: frozenset[Permission] = frozenset()
    projects: Mapping[str, frozenset[Permission]] = field(default_factory=dict[str, frozenset[Permission]])
    address: str | None = None
    request_id: str | None = None

    def may(self, permission: Permission, project: str | None = None) -> bool:
        """Whether `permission` holds in `project` (None: anywhere at all)."""
        if permission in self.platform:
            return True
        if project is None:
            return any(permission in granted for granted in self.projects.values())
        return permission in self.projects.get(project, frozenset())

    def require(self, permission: Permission, project: str | None = None, *, what: str = "It") -> None:
        """Raises NotFoundError for a project the caller cannot see at all, ForbiddenError without `permission`."""
        if self.may(permission, project):
            return
        if project is not None and project not in self.projects and not self.platform:
            raise NotFoundError(f"{what} does not exist.")
        where = f" in project {project!r}" if project else ""
        raise ForbiddenError(
            f"This needs the permission {permission.value!r}{where}.",
            hint="Ask a project admin or the platform admin for a role that has it.",
        )

    def require_everywhere(self, permission: Permission) -> None:
        """Raises ForbiddenError unless `permission` holds platform-wide; for what belongs to no project."""
        if permission not in self.platform:
            raise ForbiddenError(
                f"This needs the permission {permission.value!r} for the whole platform.",
                hint="Ask a platform admin.",
            )

    def visible_projects(self, permission: Permission) -> frozenset[str] | None:
        """Projects in which `permission` holds; None means all."""
        if permission in self.platform:
            return None
        return frozenset(name for name, granted in self.projects.items() if permission in granted)


PLATFORM = Caller(user="platform", user_id="platform", platform=frozenset(Permission))
"""The platform itself, for what it does on its own account."""
