"""Which answers are kept and given again: rules by project and model, and what came of them."""

from __future__ import annotations

from aicp.control.public_routes import standing
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.cache_rule import CacheQuery, CacheRule, CacheRuleSet, CacheStats
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.ids import is_name
from aicp.core.model import ModelType, Visibility
from aicp.core.value import Page
from aicp.store.cache_rules import CacheRules as StoredRules
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.projects import Projects
from aicp.store.public_routes import PublicRoutes

_FIELDS = {"mode", "ttl_seconds", "embedding_model", "threshold", "max_entries", "any_temperature", "generation"}


class CacheRules:
    """Use cases over rules. A change reaches every gateway within a second."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def list(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        search: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[CacheRule]:
        """Rules of the caller's projects, by project and model."""
        projects = _projects(caller, Permission.SERVICE_READ, project)
        async with self._database.snapshot() as tx:
            return await StoredRules(tx).list(projects=projects, search=search, offset=offset, limit=limit)

    async def set(self, caller: Caller, project: str, model: str, wanted: CacheRuleSet) -> CacheRule:
        """Keeps a project's answers of a model from now on. It may be set before the model is served."""
        caller.require(Permission.SERVICE_WRITE, project, what=f"Project {project!r}")
        if not is_name(model):
            raise InvalidError(
                f"{model!r} is no public model name.", hint="Use the name that applications ask for, such as `chat`."
            )
        async with self._database.transaction() as tx:
            if await Projects(tx).find(project) is None:
                raise NotFoundError(f"Project {project!r} does not exist.")
            if wanted.embedding_model is not None:
                await _require_embeddings(tx, project, wanted.embedding_model)
            before = await StoredRules(tx).find(project, model)
            rule = CacheRule(
                project=project,
                model=model,
                **dict(wanted),
                generation=before.generation if before else await self._first_generation(),
                set_at=self._clock.now(),
                set_by=caller.user,
            )
            await StoredRules(tx).set(rule)
            await self._audit(tx, caller, "cache_rule.set", before, rule)
        self._bell.ring("cache_rule", model)
        return rule

    async def delete(self, caller: Caller, project: str, model: str) -> None:
        """Keeps nothing any more; what was kept is thrown away. Raises NotFoundError."""
        async with self._database.transaction() as tx:
            before = await _get(tx, caller, project, model)
            await StoredRules(tx).delete(project, model)
            await self._audit(tx, caller, "cache_rule.delete", before, None)
        self._bell.ring("cache_rule", model)

    async def invalidate(self, caller: Caller, project: str, model: str) -> CacheRule:
        """Throws away what was kept so far, at every gateway. Raises NotFoundError."""
        async with self._database.transaction() as tx:
            before = await _get(tx, caller, project, model)
            rule = before.model_copy(update={"generation": before.generation + 1})
            await StoredRules(tx).set(rule)
            await self._audit(tx, caller, "cache_rule.invalidate", before, rule)
        self._bell.ring("cache_rule", model)
        return rule

    async def stats(self, caller: Caller, which: CacheQuery) -> Page[CacheStats]:
        """What the caches of the caller's projects did, of whole hours; those of rules that are gone, too."""
        projects = _projects(caller, Permission.USAGE_READ, which.project)
        async with self._database.snapshot() as tx:
            items = await StoredRules(tx).stats(projects=projects, since=which.since, until=which.until)
        return Page(items=items, total=len(items), limit=max(len(items), 1))

    async def _first_generation(self) -> int:
        """Higher than that of any rule of the same name before: a gateway may have missed that it was deleted."""
        return int(self._clock.now().timestamp())

    async def _audit(
        self, tx: Transaction, caller: Caller, action: str, before: CacheRule | None, after: CacheRule | None
    ) -> None:
        rule = after or before
        assert rule is not None
        shown = [
            one.model_dump(mode="json", include=_FIELDS | {"generation"}) if one else {} for one in (before, after)
        ]
        await Events(tx).audit(
            caller,
            self._clock.now(),
            action,
            "cache_rule",
            rule.model,
            project=rule.project,
            message=rule.model,
            details=difference(*shown),
        )


async def _get(tx: Transaction, caller: Caller, project: str, model: str) -> CacheRule:
    caller.require(Permission.SERVICE_WRITE, project, what=f"Project {project!r}")
    rule = await StoredRules(tx).find(project, model)
    if rule is None:
        raise NotFoundError(f"The model {model!r} has no cache rule in project {project!r}.")
    return rule


async def _require_embeddings(tx: Transaction, project: str, name: str) -> None:
    """Raises InvalidError for what gives a project no vectors."""
    service = (await standing(tx)).get(name)
    visible = service is not None and (service.project == project or service.spec.visibility == Visibility.PUBLIC)
    route = await PublicRoutes(tx).find(name)
    if route is not None and (route.project == project or route.visibility == Visibility.PUBLIC):
        return  # where it leads may change at any time; a call that fails is a miss
    if not visible:
        raise _wrong(f"There is no service or route {name!r} that project {project!r} may use.")
    if service is not None and service.type is not ModelType.EMBEDDING:
        raise _wrong(f"The service {name!r} is of type {service.type.value}; one of type embedding is needed.")


def _projects(caller: Caller, permission: Permission, project: str | None) -> frozenset[str] | None:
    if project is None:
        return caller.visible_projects(permission)
    caller.require(permission, project, what=f"Project {project!r}")
    return frozenset({project})


def _wrong(message: str) -> InvalidError:
    return InvalidError(message, details={"fields": {"embedding_model": message}})
