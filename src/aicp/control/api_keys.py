"""API keys: made, changed and revoked by those who may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aicp.core.access import Caller
from aicp.core.api_key import ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyRotate, ApiKeyUpdate, Defaults, KeyState
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.limits import Limits, Priority
from aicp.core.value import Page
from aicp.security.keys import key_digest, make_key
from aicp.store.api_keys import ApiKeys as StoredKeys
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.projects import Projects

_MOST_MODELS = 1000
_RAISED = frozenset({Priority.CRITICAL, Priority.INTERACTIVE})


class ApiKeys:
    """Keys of applications. A change reaches every gateway within a second."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, pepper: bytes) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._pepper = pepper

    async def list(
        self,
        caller: Caller,
        *,
        project: str | None = None,
        search: str | None = None,
        model: str | None = None,
        tag: str | None = None,
        state: KeyState | None = None,
        sort: str = "-created_at",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[ApiKey]:
        """Keys of one project, or of all that the caller may see; with `model` those limited to it."""
        projects = caller.visible_projects(Permission.KEY_READ)
        if project is not None:
            caller.require(Permission.KEY_READ, project, what=f"Project {project!r}")
            projects = frozenset({project})
        async with self._database.snapshot() as tx:
            return await StoredKeys(tx).list(
                projects=projects,
                search=search,
                model=model,
                tag=tag,
                state=state,
                now=self._clock.now(),
                sort=sort,
                offset=offset,
                limit=limit,
            )

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """One key without its secret. Raises NotFoundError, also for a key of a project out of the caller's sight."""
        async with self._database.snapshot() as tx:
            return await _get(tx, caller, key_id, Permission.KEY_READ)

    async def create(self, caller: Caller, wanted: ApiKeyCreate) -> ApiKeyCreated:
        """Makes a key. Its secret is in this answer only."""
        caller.require(Permission.KEY_WRITE, wanted.project, what=f"Project {wanted.project!r}")
        self._check(caller, wanted)
        fresh = make_key()
        key = ApiKey(
            id=fresh.id,
            name=wanted.name,
            project=wanted.project,
            prefix=fresh.prefix,
            models=_cleaned(wanted.models),
            expires_at=wanted.expires_at,
            limits=wanted.limits,
            priority=wanted.priority,
            weight=wanted.weight,
            networks=wanted.networks,
            max_output_tokens=wanted.max_output_tokens,
            defaults=wanted.defaults,
            tags=_without_twins(wanted.tags),
            created_at=self._clock.now(),
            created_by=caller.user,
        )
        async with self._database.transaction() as tx:
            if await Projects(tx).find(wanted.project) is None:
                raise NotFoundError(f"Project {wanted.project!r} does not exist.")
            await StoredKeys(tx).create(key, key_digest(self._pepper, fresh.secret))
            await self._audit(tx, caller, "key.create", key, wanted.model_dump(mode="json"))
        self._bell.ring("key", key.id)
        return ApiKeyCreated(key=key, secret=fresh.secret)

    async def update(self, caller: Caller, key_id: str, wanted: ApiKeyUpdate) -> ApiKey:
        """Changes what is given; `models`, `expires_at`, `limits` or `networks` null lifts the limit."""
        self._check(caller, wanted)
        changes = _changes(wanted)
        async with self._database.transaction() as tx:
            key = await _get(tx, caller, key_id, Permission.KEY_WRITE)
            if key.revoked_at is not None:
                raise ConflictError("The key was revoked; that cannot be undone.", hint="Make a new key.")
            await StoredKeys(tx).update(key_id, changes)
            changed = await _get(tx, caller, key_id, Permission.KEY_WRITE)
            details = difference(key.model_dump(mode="json"), changed.model_dump(mode="json"))
            await self._audit(tx, caller, "key.update", changed, details)
        self._bell.ring("key", key_id)
        return changed

    async def rotate(self, caller: Caller, key_id: str, wanted: ApiKeyRotate) -> ApiKeyCreated:
        """Gives a key another secret, in this answer only; the old one is taken for a while, an older one no more."""
        fresh = make_key(key_id)
        now = self._clock.now()
        until = now + timedelta(seconds=wanted.overlap_seconds)
        async with self._database.transaction() as tx:
            key = await _get(tx, caller, key_id, Permission.KEY_WRITE)
            if key.revoked_at is not None:
                raise ConflictError("The key was revoked; that cannot be undone.", hint="Make a new key.")
            await StoredKeys(tx).rotate(key_id, key_digest(self._pepper, fresh.secret), now, until)
            rotated = await _get(tx, caller, key_id, Permission.KEY_WRITE)
            await self._audit(tx, caller, "key.rotate", rotated, {"previous_until": until.isoformat()})
        self._bell.ring("key", key_id)
        return ApiKeyCreated(key=rotated, secret=fresh.secret)

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Ends a key for good; one that ended before is success too."""
        async with self._database.transaction() as tx:
            key = await _get(tx, caller, key_id, Permission.KEY_WRITE)
            if key.revoked_at is not None:
                return
            await StoredKeys(tx).update(key_id, {"revoked_at": self._clock.now()})
            await self._audit(tx, caller, "key.revoke", key, {"name": key.name})
        self._bell.ring("key", key_id)

    def _check(self, caller: Caller, wanted: ApiKeyCreate | ApiKeyUpdate) -> None:
        if wanted.priority in _RAISED or (wanted.weight or 1.0) > 1.0:
            # else everybody who may make keys would be first in every queue
            caller.require_everywhere(Permission.KEY_WRITE)
        if wanted.expires_at is not None and wanted.expires_at <= self._clock.now():
            raise InvalidError("The key would be over at once.", details={"fields": {"expires_at": "in the past"}})
        if wanted.models is not None and len(wanted.models) > _MOST_MODELS:
            raise InvalidError(f"A key may name at most {_MOST_MODELS} models.", hint="Allow all of the project.")

    async def _audit(self, tx: Transaction, caller: Caller, action: str, key: ApiKey, details: dict[str, Any]) -> None:
        now = self._clock.now()
        await Events(tx).audit(
            caller, now, action, "key", key.id, project=key.project, message=key.name, details=details
        )


def _changes(wanted: ApiKeyUpdate) -> dict[str, Any]:
    """The fields that are set; null is a value for those that it clears, and an error for the others."""
    changes = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    for name in ("name", "priority", "weight"):
        if changes.get(name, ...) is None:
            raise InvalidError(f"A key needs a {name}.", details={"fields": {name: "missing"}})
    if "models" in changes:
        changes["models"] = _cleaned(wanted.models)
    if changes.get("limits", ...) is None:
        changes["limits"] = Limits()
    if changes.get("defaults", ...) is None:
        changes["defaults"] = Defaults()
    if "tags" in changes:
        changes["tags"] = _without_twins(wanted.tags or [])
    return changes


def _cleaned(models: list[str] | None) -> list[str] | None:
    return None if models is None else sorted({model.strip() for model in models if model.strip()})


def _without_twins(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


async def _get(tx: Transaction, caller: Caller, key_id: str, permission: Permission) -> ApiKey:
    what = f"Key {key_id!r}"
    key = await StoredKeys(tx).find(key_id)
    if key is None:
        raise NotFoundError(f"{what} does not exist.")
    caller.require(permission, key.project, what=what)
    return key
