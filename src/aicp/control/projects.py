"""Projects, their members, and the organizations that own them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicp.control.kept_bodies import forget_bodies
from aicp.control.users import check_project_role
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import (
    Member,
    Organization,
    OrganizationUpdate,
    Permission,
    Project,
    ProjectCreate,
    ProjectUpdate,
    Role,
)
from aicp.core.limits import Limits
from aicp.core.value import Page
from aicp.store.api_keys import ApiKeys
from aicp.store.cache_rules import CacheRules
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.files import Files
from aicp.store.members import Members
from aicp.store.models import Models
from aicp.store.organizations import Organizations
from aicp.store.pools import Pools
from aicp.store.projects import Projects as StoredProjects
from aicp.store.public_routes import PublicRoutes
from aicp.store.services import Services
from aicp.store.users import Users

DEFAULT_PROJECT = "default"


class Projects:
    """Projects and who has which role in them."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def organizations(self, caller: Caller) -> Page[Organization]:
        """All organizations; there are few."""
        caller.require(Permission.PROJECT_READ)
        async with self._database.snapshot() as tx:
            found = await Organizations(tx).list()
        return Page(items=found, total=len(found), limit=max(len(found), 1))

    async def update_organization(self, caller: Caller, name: str, wanted: OrganizationUpdate) -> Organization:
        """Sets the limits that all projects of an organization share. Raises NotFoundError."""
        caller.require_everywhere(Permission.PROJECT_WRITE)
        async with self._database.transaction() as tx:
            before = await _organization(tx, name)
            await Organizations(tx).limit(name, wanted.limits)
            organization = await _organization(tx, name)
            details = difference(before.model_dump(mode="json"), organization.model_dump(mode="json"))
            await Events(tx).audit(
                caller, self._clock.now(), "organization.update", "organization", name, details=details
            )
        self._bell.ring("project")
        return organization

    async def list(
        self, caller: Caller, *, search: str | None = None, sort: str = "name", offset: int = 0, limit: int = 100
    ) -> Page[Project]:
        """Projects that the caller may see."""
        visible = caller.visible_projects(Permission.PROJECT_READ)
        async with self._database.snapshot() as tx:
            return await StoredProjects(tx).list(names=visible, search=search, sort=sort, offset=offset, limit=limit)

    async def get(self, caller: Caller, name: str) -> Project:
        """One project. Raises NotFoundError."""
        caller.require(Permission.PROJECT_READ, name, what=f"Project {name!r}")
        async with self._database.snapshot() as tx:
            return await _get(tx, name)

    async def create(self, caller: Caller, wanted: ProjectCreate) -> Project:
        """Adds a project. Raises ConflictError for a name that is taken."""
        caller.require_everywhere(Permission.PROJECT_WRITE)
        async with self._database.transaction() as tx:
            if await StoredProjects(tx).find(wanted.name):
                raise ConflictError(
                    f"There is a project {wanted.name!r} already.",
                    hint="Choose another name.",
                    details={"fields": {"name": "taken"}},
                )
            if await Organizations(tx).find(wanted.organization) is None:
                raise InvalidError(f"There is no organization {wanted.organization!r}.")
            now = self._clock.now()
            project = await StoredProjects(tx).create(
                wanted.name, wanted.organization, wanted.description, now, wanted.limits
            )
            await self._audit(tx, caller, "project.create", wanted.name)
        self._bell.ring("project", wanted.name)
        return project

    async def update(self, caller: Caller, name: str, wanted: ProjectUpdate) -> Project:
        """Changes what is given. A project's limits are set by who may write all projects, not by its own people."""
        caller.require(Permission.PROJECT_WRITE, name, what=f"Project {name!r}")
        limited = "limits" in wanted.model_fields_set
        if limited:
            caller.require_everywhere(Permission.PROJECT_WRITE)
        async with self._database.transaction() as tx:
            before = await _get(tx, name)
            if wanted.description is not None:
                await StoredProjects(tx).describe(name, wanted.description)
            if limited:
                await StoredProjects(tx).limit(name, wanted.limits or Limits())
            project = await _get(tx, name)
            details = difference(before.model_dump(mode="json"), project.model_dump(mode="json"))
            await self._audit(tx, caller, "project.update", name, details)
        self._bell.ring("project", name)
        return project

    async def delete(self, caller: Caller, name: str) -> None:
        """Removes an empty project; its keys end and bodies go. Raises ConflictError while something belongs to it."""
        caller.require_everywhere(Permission.PROJECT_WRITE)
        if name == DEFAULT_PROJECT:
            raise ConflictError("The default project stays.", hint="Remove what is in it instead.")
        async with self._database.transaction() as tx:
            await _get(tx, name)
            await _require_empty(tx, name)
            await ApiKeys(tx).revoke_project(name, self._clock.now())
            await CacheRules(tx).delete_project(name)
            await Pools(tx).forget_project(name)
            await StoredProjects(tx).delete(name)
            await self._audit(tx, caller, "project.delete", name)
        self._bell.ring("project", name)
        self._bell.ring("key")
        await forget_bodies(self._database, name)

    async def members(
        self,
        caller: Caller,
        name: str,
        *,
        search: str | None = None,
        sort: str = "user",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Member]:
        """Who has which role in the project."""
        caller.require(Permission.PROJECT_READ, name, what=f"Project {name!r}")
        async with self._database.snapshot() as tx:
            await _get(tx, name)
            return await Members(tx).of_project(name, search=search, sort=sort, offset=offset, limit=limit)

    async def set_member(self, caller: Caller, name: str, user: str, role: Role) -> Member:
        """Gives a user a project role; it holds from the user's next request on."""
        caller.require(Permission.MEMBER_WRITE, name, what=f"Project {name!r}")
        check_project_role(role)
        async with self._database.transaction() as tx:
            await _get(tx, name)
            if await Users(tx).find(user) is None:
                raise NotFoundError(f"User {user!r} does not exist.")
            before = await Members(tx).role(name, user)
            await Members(tx).set(name, user, role)
            details = difference({user: before and before.value}, {user: role.value})
            await self._audit(tx, caller, "member.set", name, details, f"{user}: {role.value}.")
        self._bell.ring("project", name)
        self._bell.ring("user", user)
        return Member(user=user, role=role)

    async def remove_member(self, caller: Caller, name: str, user: str) -> None:
        """Takes a user's role away; the user's playground keys end with it."""
        caller.require(Permission.MEMBER_WRITE, name, what=f"Project {name!r}")
        async with self._database.transaction() as tx:
            role = await Members(tx).role(name, user)
            if role is None:
                raise NotFoundError(f"User {user!r} has no role in project {name!r}.")
            await Members(tx).remove(name, user)
            await ApiKeys(tx).revoke_playground(self._clock.now(), user)
            details = difference({user: role.value}, {user: None})
            await self._audit(tx, caller, "member.remove", name, details, f"{user}: no role any more.")
        self._bell.ring("project", name)
        self._bell.ring("user", user)
        self._bell.ring("key")

    async def _audit(
        self,
        tx: Transaction,
        caller: Caller,
        action: str,
        name: str,
        details: Mapping[str, Any] | None = None,
        message: str = "",
    ) -> None:
        now = self._clock.now()
        await Events(tx).audit(caller, now, action, "project", name, project=name, message=message, details=details)


async def _get(tx: Transaction, name: str) -> Project:
    project = await StoredProjects(tx).find(name)
    if project is None:
        raise NotFoundError(f"Project {name!r} does not exist.")
    return project


async def _require_empty(tx: Transaction, name: str) -> None:
    services = (await Services(tx).list(project=name, limit=1)).total
    models = (await Models(tx).list(project=name, limit=1)).total
    files = (await Files(tx).list(projects=[name], limit=1)).total
    routes = (await PublicRoutes(tx).list(project=name, limit=1)).total
    counts = ((services, "service(s)"), (models, "model(s)"), (files, "file(s)"), (routes, "route(s)"))
    held = [f"{count} {what}" for count, what in counts if count]
    if held:
        raise ConflictError(
            f"Project {name!r} still has {' and '.join(held)}.", hint="Remove them first.", code="not_empty"
        )


async def _organization(tx: Transaction, name: str) -> Organization:
    organization = await Organizations(tx).find(name)
    if organization is None:
        raise NotFoundError(f"Organization {name!r} does not exist.")
    return organization
