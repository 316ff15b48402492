"""Organizations, projects and their members."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.projects import Projects
from aicp.core.identity import (
    Member,
    MemberUpdate,
    Organization,
    OrganizationUpdate,
    Permission,
    Project,
    ProjectCreate,
    ProjectUpdate,
)
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["projects"])
ProjectsUse = Annotated[Projects, use_case(Projects)]
_READ = [permits(Permission.PROJECT_READ)]
_WRITE = [permits(Permission.PROJECT_WRITE)]
_MEMBERS = [permits(Permission.MEMBER_WRITE)]


@router.get("/organizations", dependencies=_READ)
async def list_organizations(caller: CallerDep, projects: ProjectsUse) -> Page[Organization]:
    """All organizations."""
    return await projects.organizations(caller)


@router.patch("/organizations/{name}", dependencies=_WRITE)
async def update_organization(
    name: str, body: OrganizationUpdate, caller: CallerDep, projects: ProjectsUse
) -> Organization:
    """Sets the limits that all projects of an organization share; only for who may write all projects."""
    return await projects.update_organization(caller, name, body)


@router.get("/projects", dependencies=_READ)
async def list_projects(
    caller: CallerDep,
    projects: ProjectsUse,
    search: Search = None,
    sort: Sort = "name",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Project]:
    """Projects that the caller may see."""
    return await projects.list(caller, search=search, sort=sort, offset=offset, limit=limit)


@router.post("/projects", dependencies=_WRITE, status_code=status.HTTP_201_CREATED)
async def create_project(body: ProjectCreate, caller: CallerDep, projects: ProjectsUse) -> Project:
    """Adds a project; only for who may write all projects."""
    return await projects.create(caller, body)


@router.get("/projects/{name}", dependencies=_READ)
async def get_project(name: str, caller: CallerDep, projects: ProjectsUse) -> Project:
    """One project."""
    return await projects.get(caller, name)


@router.patch("/projects/{name}", dependencies=_WRITE)
async def update_project(name: str, body: ProjectUpdate, caller: CallerDep, projects: ProjectsUse) -> Project:
    """Changes what is given; `limits` null lifts every limit. Limits need the right to write all projects."""
    return await projects.update(caller, name, body)


@router.delete("/projects/{name}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_project(name: str, caller: CallerDep, projects: ProjectsUse) -> None:
    """Removes an empty project; its keys end."""
    await projects.delete(caller, name)


@router.get("/projects/{name}/members", dependencies=_READ)
async def list_members(
    name: str,
    caller: CallerDep,
    projects: ProjectsUse,
    search: Search = None,
    sort: Sort = "user",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Member]:
    """Who has which role in the project."""
    return await projects.members(caller, name, search=search, sort=sort, offset=offset, limit=limit)


@router.put("/projects/{name}/members/{user}", dependencies=_MEMBERS)
async def set_member(name: str, user: str, body: MemberUpdate, caller: CallerDep, projects: ProjectsUse) -> Member:
    """Gives a user a role in the project."""
    return await projects.set_member(caller, name, user, body.role)


@router.delete("/projects/{name}/members/{user}", dependencies=_MEMBERS, status_code=status.HTTP_204_NO_CONTENT)
async def remove_member(name: str, user: str, caller: CallerDep, projects: ProjectsUse) -> None:
    """Takes a user's role in the project away."""
    await projects.remove_member(caller, name, user)
