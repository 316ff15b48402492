"""Organizations, projects, users, and roles as named sets of permissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.ids import NAME_PATTERN
from aicp.core.limits import Limits
from aicp.core.value import Request, Value


class Permission(StrEnum):
    """One thing a user may do. `*_READ` sees, `*_WRITE` changes."""

    MODEL_READ = "model:read"
    MODEL_WRITE = "model:write"
    SERVICE_READ = "service:read"
    SERVICE_WRITE = "service:write"
    LOG_READ = "log:read"
    KEY_READ = "key:read"
    KEY_WRITE = "key:write"
    PLAYGROUND_USE = "playground:use"
    JOB_READ = "job:read"
    JOB_WRITE = "job:write"
    BATCH_READ = "batch:read"
    BATCH_WRITE = "batch:write"
    USAGE_READ = "usage:read"
    BODY_READ = "body:read"
    NODE_READ = "node:read"
    NODE_WRITE = "node:write"
    ENGINE_READ = "engine:read"
    ENGINE_WRITE = "engine:write"
    PRICE_WRITE = "price:write"
    PROVIDER_READ = "provider:read"
    PROVIDER_WRITE = "provider:write"
    PROJECT_READ = "project:read"
    PROJECT_WRITE = "project:write"
    MEMBER_WRITE = "member:write"
    USER_READ = "user:read"
    USER_WRITE = "user:write"
    AUDIT_READ = "audit:read"


class Role(StrEnum):
    """A named set of permissions. Platform roles hold everywhere, project roles in the projects they are given for."""

    PLATFORM_ADMIN = "platform-admin"
    KEY_ADMIN = "key-admin"
    AUDITOR = "auditor"
    PROJECT_ADMIN = "project-admin"
    DEVELOPER = "developer"
    VIEWER = "viewer"


_P = Permission
_VIEW = frozenset(
    {
        _P.MODEL_READ,
        _P.SERVICE_READ,
        _P.JOB_READ,
        _P.NODE_READ,
        _P.ENGINE_READ,
        _P.PROVIDER_READ,
        _P.PROJECT_READ,
        _P.USAGE_READ,
    }
)
ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    # Key material is the key-admin's alone to give beyond a project; an operator still publishes with a key.
    Role.PLATFORM_ADMIN: frozenset(Permission),
    Role.KEY_ADMIN: frozenset({_P.KEY_READ, _P.KEY_WRITE, _P.PROJECT_READ, _P.SERVICE_READ, _P.USAGE_READ}),
    Role.AUDITOR: _VIEW | {_P.AUDIT_READ, _P.KEY_READ, _P.USER_READ},
    Role.PROJECT_ADMIN: _VIEW
    | {
        _P.MODEL_WRITE,
        _P.SERVICE_WRITE,
        _P.LOG_READ,
        _P.KEY_READ,
        _P.KEY_WRITE,
        _P.PLAYGROUND_USE,
        _P.JOB_WRITE,
        _P.BATCH_READ,
        _P.BATCH_WRITE,
        _P.BODY_READ,
        _P.PROJECT_WRITE,
        _P.MEMBER_WRITE,
        _P.USER_READ,
        _P.AUDIT_READ,
    },
    Role.DEVELOPER: _VIEW
    | {
        _P.MODEL_WRITE,
        _P.SERVICE_WRITE,
        _P.LOG_READ,
        _P.KEY_READ,
        _P.KEY_WRITE,
        _P.PLAYGROUND_USE,
        _P.JOB_WRITE,
        _P.BATCH_READ,
        _P.BATCH_WRITE,
    },
    Role.VIEWER: _VIEW | {_P.PLAYGROUND_USE},
}
PLATFORM_ROLES = frozenset({Role.PLATFORM_ADMIN, Role.KEY_ADMIN, Role.AUDITOR})


class Organization(Value):
    """The owner of projects."""

    id: str
    name: str
    limits: Limits = Limits()
    created_at: AwareDatetime


class OrganizationUpdate(Request):
    """What may change on an organization."""

    limits: Limits = Field(description="all of them anew")


class Project(Value):
    """The unit of ownership: models, services, keys and usage belong to one."""

    id: str
    name: str
    organization: str
    description: str = ""
    limits: Limits = Limits()
    created_at: AwareDatetime


class ProjectCreate(Request):
    """A new project."""

    name: str = Field(pattern=NAME_PATTERN)
    organization: str = "default"
    description: str = Field(default="", max_length=2000)
    limits: Limits = Limits()


class ProjectUpdate(Request):
    """What may change on a project, each only when given; its name never does."""

    description: str | None = Field(default=None, max_length=2000)
    limits: Limits | None = Field(default=None, description="all of them anew; null lifts every limit")


class Member(Value):
    """A user's role in a project."""

    user: str
    role: Role


class MemberUpdate(Request):
    """Gives `user` a project role."""

    role: Role


def permissions_of(
    platform_roles: Iterable[Role], projects: Mapping[str, Role]
) -> tuple[frozenset[Permission], dict[str, frozenset[Permission]]]:
    """What roles amount to: the permissions that hold everywhere, and those of each project."""
    everywhere = frozenset[Permission]().union(*(ROLE_PERMISSIONS[role] for role in platform_roles))
    return everywhere, {name: ROLE_PERMISSIONS[role] for name, role in projects.items()}


class User(Value):
    """A person or a program that logs in."""

    id: str
    name: str
    email: str | None = None
    platform_roles: list[Role] = []
    projects: dict[str, Role] = Field(default={}, description="project name -> role")
    language: str | None = None
    disabled: bool = False
    must_change_password: bool = False
    created_at: AwareDatetime
    last_login_at: AwareDatetime | None = None


class UserCreate(Request):
    """A new user; without a password one is made and shown once."""

    name: str = Field(pattern=NAME_PATTERN)
    email: str | None = Field(default=None, max_length=320)
    password: str | None = Field(default=None, min_length=8, max_length=256)
    platform_roles: list[Role] = []
    projects: dict[str, Role] = {}


class UserUpdate(Request):
    """What may change on a user."""

    email: str | None = Field(default=None, max_length=320)
    password: str | None = Field(default=None, min_length=8, max_length=256)
    platform_roles: list[Role] | None = None
    disabled: bool | None = None


class UserCreated(Value):
    """A new user with the generated password, shown once."""

    user: User
    password: str | None = None


class Login(Request):
    """Credentials for a session."""

    user: str = Field(max_length=256)
    password: str = Field(max_length=256)


class PasswordChange(Request):
    """A user changes the own password."""

    current: str = Field(max_length=256)
    new: str = Field(min_length=8, max_length=256)


class Preferences(Request):
    """What the console remembers of a user."""

    language: str = Field(pattern="^(en|zh-TW|zh-CN)$")


class Session(Value):
    """A login. `token` is answered once, for programs; browsers get a cookie."""

    user: User
    permissions: dict[str, list[Permission]] = Field(
        default={}, description="project name -> permissions; `*` holds the platform-wide ones"
    )
    expires_at: AwareDatetime
    token: str | None = None
