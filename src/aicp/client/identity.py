"""Keys, projects and users."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from aicp.client.transport import Transport
from aicp.core.api_key import ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyRotate, ApiKeyUpdate, Defaults, KeyState
from aicp.core.identity import (
    Member,
    MemberUpdate,
    Organization,
    OrganizationUpdate,
    Project,
    ProjectCreate,
    ProjectUpdate,
    Role,
    User,
    UserCreate,
    UserCreated,
    UserUpdate,
)
from aicp.core.limits import Limits, Priority
from aicp.core.value import Page


class Keys:
    """API keys of applications."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        project: str | None = None,
        state: KeyState | None = None,
        model: str | None = None,
        tag: str | None = None,
        search: str | None = None,
    ) -> list[ApiKey]:
        """Keys the caller may see, newest first; with `model` those limited to it, or to it and others."""
        query = {"project": project, "state": state, "model": model, "tag": tag, "search": search}
        return self._transport.every("/api/v1/keys", ApiKey, query)

    def get(self, key_id: str) -> ApiKey:
        """One key, without its secret."""
        return self._transport.get(f"/api/v1/keys/{key_id}", ApiKey)

    def create(
        self,
        name: str,
        *,
        project: str = "default",
        models: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        limits: Limits | None = None,
        priority: Priority = Priority.DEFAULT,
        weight: float = 1.0,
        networks: Sequence[str] | None = None,
        max_output_tokens: int | None = None,
        defaults: Defaults | None = None,
        tags: Sequence[str] = (),
    ) -> ApiKeyCreated:
        """A new key; `secret` is in this answer only. `networks` are those it may be used from (None: anywhere)."""
        body = ApiKeyCreate(
            name=name,
            project=project,
            models=None if models is None else [*models],
            expires_at=expires_at,
            limits=limits or Limits(),
            priority=priority,
            weight=weight,
            networks=None if networks is None else [*networks],
            max_output_tokens=max_output_tokens,
            defaults=defaults or Defaults(),
            tags=[*tags],
        )
        return self._transport.post("/api/v1/keys", ApiKeyCreated, body)

    def update(self, key_id: str, changes: ApiKeyUpdate) -> ApiKey:
        """Changes name, allowed models, limits and so on; what is given as None is cleared, what is not given stays."""
        return self._transport.patch(f"/api/v1/keys/{key_id}", ApiKey, changes)

    def rotate(self, key_id: str, *, overlap_seconds: int = 86_400) -> ApiKeyCreated:
        """Another secret, in this answer only; the old one is taken for `overlap_seconds`."""
        body = ApiKeyRotate(overlap_seconds=overlap_seconds)
        return self._transport.post(f"/api/v1/keys/{key_id}/rotate", ApiKeyCreated, body)

    def revoke(self, key_id: str) -> None:
        """Ends the key; the gateway refuses it within a second."""
        self._transport.delete(f"/api/v1/keys/{key_id}")


class Projects:
    """Projects and their members."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, search: str | None = None) -> list[Project]:
        """Projects the caller may see."""
        return self._transport.every("/api/v1/projects", Project, {"search": search})

    def organizations(self) -> Sequence[Organization]:
        """Organizations the caller may see."""
        return self._transport.get("/api/v1/organizations", Page[Organization]).items

    def update_organization(self, name: str, limits: Limits) -> Organization:
        """Sets the limits that all projects of an organization share."""
        body = OrganizationUpdate(limits=limits)
        return self._transport.patch(f"/api/v1/organizations/{name}", Organization, body)

    def get(self, name: str) -> Project:
        """One project."""
        return self._transport.get(f"/api/v1/projects/{name}", Project)

    def create(self, body: ProjectCreate) -> Project:
        """A new project."""
        return self._transport.post("/api/v1/projects", Project, body)

    def update(self, name: str, changes: ProjectUpdate) -> Project:
        """Changes description or limits; the name never changes."""
        return self._transport.patch(f"/api/v1/projects/{name}", Project, changes)

    def delete(self, name: str) -> None:
        """Removes an empty project."""
        self._transport.delete(f"/api/v1/projects/{name}")

    def members(self, name: str, *, search: str | None = None) -> Sequence[Member]:
        """Who has which role in the project."""
        return self._transport.every(f"/api/v1/projects/{name}/members", Member, {"search": search})

    def set_member(self, name: str, user: str, role: Role) -> None:
        """Gives `user` a role in the project."""
        self._transport.send("PUT", f"/api/v1/projects/{name}/members/{user}", body=MemberUpdate(role=role))

    def remove_member(self, name: str, user: str) -> None:
        """Takes the role away."""
        self._transport.delete(f"/api/v1/projects/{name}/members/{user}")


class Users:
    """People and programs that log in."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, search: str | None = None, disabled: bool | None = None) -> list[User]:
        """Users the caller may see; with `disabled` only those who may not (True) or may (False) log in."""
        return self._transport.every("/api/v1/users", User, {"search": search, "disabled": disabled})

    def get(self, name: str) -> User:
        """One user."""
        return self._transport.get(f"/api/v1/users/{name}", User)

    def create(self, body: UserCreate) -> UserCreated:
        """A new user; a generated password is in this answer only."""
        return self._transport.post("/api/v1/users", UserCreated, body)

    def update(self, name: str, changes: UserUpdate) -> User:
        """Changes roles, e-mail, password or disables the user."""
        return self._transport.patch(f"/api/v1/users/{name}", User, changes)

    def delete(self, name: str) -> None:
        """Removes the user."""
        self._transport.delete(f"/api/v1/users/{name}")
