"""Writes docs/reference/roles.md from the code; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from aicp.core.identity import PLATFORM_ROLES, ROLE_PERMISSIONS, Permission, Role

FILE = Path(__file__).parents[1] / "docs" / "reference" / "roles.md"


def render() -> str:
    """The page."""
    lines = [
        "# Roles and permissions",
        "",
        "<!-- Written by tools/write_roles.py from aicp.core.identity. Do not edit. -->",
        "",
        "A role is a named set of permissions. **Platform roles** hold everywhere; **project roles** hold in the",
        "project for which they are given. A user may have several roles; what one of them allows is allowed.",
        "Permissions are looked up at every request, so a change holds from the user's next request on.",
        "",
        "What belongs to a project in which a caller has no role answers 404, as if it did not exist. What the caller",
        "may see but not do answers 403.",
        "",
        "## Which role has which permission",
        "",
        "| permission | " + " | ".join(role.value for role in Role) + " |",
        "|---|" + ":-:|" * len(Role),
    ]
    for permission in Permission:
        marks = ("yes" if permission in ROLE_PERMISSIONS[role] else "" for role in Role)
        lines.append(f"| `{permission.value}` | " + " | ".join(marks) + " |")
    platform = ", ".join(role.value for role in Role if role in PLATFORM_ROLES)
    project = ", ".join(role.value for role in Role if role not in PLATFORM_ROLES)
    lines += ["", f"Platform roles: {platform}. Project roles: {project}.", ""]
    lines += [
        "Adding or removing a project or user, and changing what belongs to no project (nodes, engines, settings),",
        "needs the permission platform-wide. Which permission a route demands stands in the OpenAPI document as",
        "`x-permission`.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Answers 1 when `--check` finds the page out of date."""
    text = render()
    if "--check" in sys.argv[1:]:
        fresh = FILE.is_file() and FILE.read_text() == text
        print("roles.md is up to date" if fresh else "roles.md is out of date: run tools/write_roles.py")
        return 0 if fresh else 1
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
