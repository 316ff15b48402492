"""Pools: make, change, move nodes between them, remove; what is where in them, and why something waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from aicp.control.nodes import require_movable
from aicp.control.pool_views import Look, explain_waiting, show_pool, show_view
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.launch import ReplicaState
from aicp.core.model import Visibility
from aicp.core.pool import (
    Pool,
    PoolCreate,
    PoolQuota,
    PoolUpdate,
    PoolView,
    Purpose,
    WaitingReplica,
    check_windows,
)
from aicp.core.value import Page
from aicp.scheduler.placement import Requirement
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.nodes import Nodes
from aicp.store.pools import DEFAULT_POOL, PoolIntent
from aicp.store.pools import Pools as StoredPools
from aicp.store.projects import Projects
from aicp.store.replicas import Replicas
from aicp.store.reservations import Reservations
from aicp.store.revisions import Revisions
from aicp.store.services import Services


class Pools:
    """Use cases over pools."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def list(self, caller: Caller) -> Page[Pool]:
        """All pools with what is taken and who waits."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            look = await look_at(tx, self._clock.now())
        snapshot = look.snapshot()
        pools = [_shown(show_pool(pool, look, snapshot), caller) for pool in look.pools]
        return Page(items=pools, total=len(pools), limit=max(len(pools), 1))

    async def get(self, caller: Caller, name: str) -> Pool:
        """One pool. Raises NotFoundError that names those that exist."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            pool = await StoredPools(tx).get(name)
            look = await look_at(tx, self._clock.now())
        return _shown(show_pool(pool, look, look.snapshot()), caller)

    async def view(self, caller: Caller, name: str) -> PoolView:
        """One pool with nodes, accelerators and slices; replicas of projects hidden from the caller are nameless."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            pool = await StoredPools(tx).get(name)
            look = await look_at(tx, self._clock.now())
        view = show_view(pool, look, caller.visible_projects(Permission.SERVICE_READ))
        return view.model_copy(update={"pool": _shown(view.pool, caller)})

    async def create(self, caller: Caller, wanted: PoolCreate) -> Pool:
        """Adds a pool without nodes. Raises ConflictError for a name that is taken."""
        caller.require(Permission.NODE_WRITE)
        async with self._database.transaction() as tx:
            if await StoredPools(tx).find(wanted.name):
                raise ConflictError(
                    f"There is a pool {wanted.name!r} already.",
                    hint="Choose another name.",
                    details={"fields": {"name": "taken"}},
                )
            await _require_projects(tx, wanted.quotas)
            pool = PoolIntent(
                wanted.name,
                wanted.description,
                wanted.purpose,
                tuple(wanted.windows),
                wanted.labels,
                tuple(wanted.quotas),
                wanted.policy,
                wanted.unlike,
                wanted.borrowing,
                wanted.memory_oversubscription,
            )
            await StoredPools(tx).add(pool, self._clock.now())
            await Events(tx).audit(caller, self._clock.now(), "pool.create", "pool", wanted.name)
        self._bell.ring("pool", wanted.name)
        return await self.get(caller, wanted.name)

    async def update(self, caller: Caller, name: str, wanted: PoolUpdate) -> Pool:
        """Changes what is given, and moves nodes into the pool.

        Raises InvalidError for windows without their purpose, ConflictError for a node that holds replicas.
        """
        caller.require(Permission.NODE_WRITE)
        async with self._database.transaction() as tx:
            before = await StoredPools(tx).get(name)
            pool = _changed(before, wanted)
            await _require_projects(tx, list(pool.quotas))
            await StoredPools(tx).change(pool)
            await _require_oversubscribable(tx, before, pool)
            moved = [await _move(tx, node_id, name, self._clock.now()) for node_id in wanted.add_nodes]
            message = f"Moved {', '.join(moved)} into it." if moved else ""
            details = difference(_said(before), _said(pool))
            await Events(tx).audit(
                caller, self._clock.now(), "pool.update", "pool", name, message=message, details=details
            )
        self._bell.ring("pool", name)
        self._bell.ring("node")
        return await self.get(caller, name)

    async def delete(self, caller: Caller, name: str) -> None:
        """Removes a pool without nodes and services. Raises ConflictError for one in use, and for the default pool."""
        caller.require(Permission.NODE_WRITE)
        if name == DEFAULT_POOL:
            raise ConflictError(
                "The default pool stays: machines that join without naming a pool go there.",
                hint="Move its nodes to another pool instead.",
            )
        async with self._database.transaction() as tx:
            await StoredPools(tx).get(name)
            nodes = [node.name for node in await Nodes(tx).all(name)]
            services = [service.name for service in await Services(tx).all() if service.spec.pool == name]
            if nodes or services:
                held = [*(f"node {node}" for node in nodes), *(f"service {service}" for service in services)]
                raise ConflictError(
                    f"Pool {name!r} is in use by {', '.join(held)}.",
                    hint="Move its nodes to another pool, and move or delete its services, first.",
                    code="not_empty",
                )
            await _require_unreserved(tx, name, self._clock.now())
            await StoredPools(tx).remove(name)
            await Events(tx).audit(caller, self._clock.now(), "pool.delete", "pool", name)
        self._bell.ring("pool", name)

    async def waiting(self, caller: Caller, service: str) -> Page[WaitingReplica]:
        """Replicas of a service without a place, and why each node of its pool does not take them."""
        async with self._database.snapshot() as tx:
            found = await Services(tx).get(service)
            public = found.spec.visibility == Visibility.PUBLIC and caller.may(Permission.SERVICE_READ)
            if not public and not caller.may(Permission.SERVICE_READ, found.project):
                raise NotFoundError(f"There is no service {service!r}.")
            look = await look_at(tx, self._clock.now())
        replicas = explain_waiting(look, look.snapshot(), None, service=service)
        return Page(items=replicas, total=len(replicas), limit=max(len(replicas), 1))


async def look_at(tx: Transaction, now: datetime) -> Look:
    """Reads all that pools are shown from."""
    replicas = await Replicas(tx).current(0)
    pending = [item for item in replicas if item.replica.state == ReplicaState.PENDING]
    requirements: dict[str, Requirement] = {}
    for item in pending:
        revision = await Revisions(tx).get(item.service_id, item.replica.generation)
        requirements[item.replica.id] = replace(revision.requirement, project=item.project)
    return Look(
        pools=await StoredPools(tx).list(),
        nodes=await Nodes(tx).all(),
        replicas=replicas,
        services=await Services(tx).all(),
        requirements=requirements,
        now=now,
        reservations=await Reservations(tx).list(now),
    )


def _shown(pool: Pool, caller: Caller) -> Pool:
    """Quotas of projects that the caller may see."""
    visible = caller.visible_projects(Permission.SERVICE_READ)
    quotas = [quota for quota in pool.quotas if visible is None or quota.project in visible]
    return pool.model_copy(update={"quotas": quotas})


def _changed(pool: PoolIntent, wanted: PoolUpdate) -> PoolIntent:
    purpose = wanted.purpose or pool.purpose
    windows = list(pool.windows) if wanted.windows is None else wanted.windows
    if purpose != Purpose.WINDOWS and wanted.windows is None:
        windows = []
    try:
        check_windows(purpose, windows)
    except ValueError as error:
        raise InvalidError(
            f"Pool {pool.name!r} cannot be changed so: {error}.",
            hint="Give purpose windows together with its windows, or another purpose without any.",
        ) from error
    return PoolIntent(
        name=pool.name,
        description=pool.description if wanted.description is None else wanted.description,
        purpose=purpose,
        windows=tuple(windows),
        labels=pool.labels if wanted.labels is None else wanted.labels,
        quotas=pool.quotas if wanted.quotas is None else tuple(wanted.quotas),
        policy=wanted.policy or pool.policy,
        unlike=pool.unlike if wanted.unlike is None else wanted.unlike,
        borrowing=pool.borrowing if wanted.borrowing is None else wanted.borrowing,
        memory_oversubscription=wanted.memory_oversubscription or pool.memory_oversubscription,
    )


async def _move(tx: Transaction, node_id: str, pool: str, now: datetime) -> str:
    node = await Nodes(tx).get(node_id)
    if node.pool != pool:
        await require_movable(tx, node, pool, now)
        await Nodes(tx).change(node.id, pool=pool)
    return node.name


async def _require_unreserved(tx: Transaction, pool: str, now: datetime) -> None:
    kept = [item.id for item in await Reservations(tx).list(now) if item.pool == pool]
    if kept:
        raise ConflictError(
            f"Pool {pool!r} has reservations: {', '.join(kept)}.",
            hint="End them first: aicp reservation rm ID.",
            code="reserved",
        )


async def _require_projects(tx: Transaction, quotas: list[PoolQuota]) -> None:
    for quota in quotas:
        if await Projects(tx).find(quota.project) is None:
            raise InvalidError(
                f"There is no project {quota.project!r}.", hint="`aicp project list` shows those that exist."
            )


async def _require_oversubscribable(tx: Transaction, before: PoolIntent, pool: PoolIntent) -> None:
    """Raises InvalidError where memory is to be promised more than once and no accelerator's slices allow it."""
    if pool.memory_oversubscription <= before.memory_oversubscription:
        return
    name = pool.name
    devices = [item for node in await Nodes(tx).all(name) if node.status for item in node.status.accelerators]
    if not any(way.oversubscribable for item in devices for way in item.slicing):
        raise InvalidError(
            f"Memory cannot be promised more than once in pool {name}: no accelerator there is cut in a way that"
            " refuses memory to the process that asks for it alone.",
            hint="`interposer` does; MIG, MPS, and the processor's control groups do not. Leave it at 1.",
        )


def _said(pool: PoolIntent) -> dict[str, Any]:
    return {
        "description": pool.description,
        "purpose": pool.purpose.value,
        "windows": [window.model_dump(mode="json") for window in pool.windows],
        "policy": pool.policy.value,
        "unlike": pool.unlike,
        "borrowing": pool.borrowing,
        "memory_oversubscription": pool.memory_oversubscription,
        "labels": dict(pool.labels or {}),
        "quotas": [quota.model_dump(mode="json") for quota in pool.quotas],
    }
