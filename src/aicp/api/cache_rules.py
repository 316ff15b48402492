"""Rules of caches, and what the caches did."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, status
from pydantic import AwareDatetime

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search
from aicp.api.use_cases import use_case
from aicp.control.cache_rules import CacheRules
from aicp.core.cache_rule import CacheQuery, CacheRule, CacheRuleSet, CacheStats
from aicp.core.identity import Permission
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1/cache-rules", tags=["cache"])
RulesUse = Annotated[CacheRules, use_case(CacheRules)]
_READ = [permits(Permission.SERVICE_READ)]
_WRITE = [permits(Permission.SERVICE_WRITE)]


def _query(
    project: str | None = None, since: AwareDatetime | None = None, until: AwareDatetime | None = None
) -> CacheQuery:
    return CacheQuery(project=project, since=since, until=until)


@router.get("", dependencies=_READ)
async def list_cache_rules(
    caller: CallerDep,
    rules: RulesUse,
    project: str | None = None,
    search: Search = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[CacheRule]:
    """Rules of the caller's projects. Where a project has none for a model, none of its answers are kept."""
    return await rules.list(caller, project=project, search=search, offset=offset, limit=limit)


@router.get("/stats", dependencies=[permits(Permission.USAGE_READ)])
async def cache_stats(
    caller: CallerDep, rules: RulesUse, which: Annotated[CacheQuery, Depends(_query)]
) -> Page[CacheStats]:
    """What the caches did, in whole hours: lookups, hits, tokens saved, and what was measured."""
    return await rules.stats(caller, which)


@router.put("/{project}/{model}", dependencies=_WRITE)
async def set_cache_rule(project: str, model: str, body: CacheRuleSet, caller: CallerDep, rules: RulesUse) -> CacheRule:
    """Keeps a project's answers of a model and gives them again; gateways follow within a second."""
    return await rules.set(caller, project, model, body)


@router.delete("/{project}/{model}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_cache_rule(project: str, model: str, caller: CallerDep, rules: RulesUse) -> None:
    """Keeps nothing any more; what was kept is thrown away."""
    await rules.delete(caller, project, model)


@router.post("/{project}/{model}/invalidate", dependencies=_WRITE)
async def invalidate_cache(project: str, model: str, caller: CallerDep, rules: RulesUse) -> CacheRule:
    """Throws away what was kept so far; new answers are kept again."""
    return await rules.invalidate(caller, project, model)
