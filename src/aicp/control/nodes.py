"""Nodes: look, keep new replicas off, drain, move to another pool, forget."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

from aicp.control.joins import RayDoor
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import AicpError, ConflictError, UnavailableError
from aicp.core.event import difference
from aicp.core.identity import Permission
from aicp.core.launch import ReplicaState
from aicp.core.mutual import is_mutual
from aicp.core.node import Node, NodeState, NodeUpdate
from aicp.core.pool import DrainMove, DrainPlan
from aicp.core.replica import Replica
from aicp.core.value import Page
from aicp.scheduler.drains import Leaving, Move, plan_moves
from aicp.scheduler.services import LIVE
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.nodes import Nodes as StoredNodes
from aicp.store.pools import Pools as StoredPools
from aicp.store.replicas import Replicas, StoredReplica
from aicp.store.reservations import Reservations
from aicp.store.revisions import Revisions


class Nodes:
    """Use cases over nodes. `ray` is where they are members besides, and are put out."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, ray: RayDoor | None = None) -> None:
        self._ray = ray
        self._database = database
        self._clock = clock
        self._bell = bell

    async def list(
        self,
        caller: Caller,
        *,
        pool: str | None = None,
        state: NodeState | None = None,
        search: str | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Node]:
        """All nodes."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            return await StoredNodes(tx).list(
                pool=pool, state=state, search=search, sort=sort, offset=offset, limit=limit
            )

    async def get(self, caller: Caller, node_id: str) -> Node:
        """One node, by id or name."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            return await StoredNodes(tx).get(node_id)

    async def replicas(self, caller: Caller, node_id: str, *, offset: int = 0, limit: int = 100) -> Page[Replica]:
        """What runs or ran on a node, newest first; of projects that the caller may see."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            node = await StoredNodes(tx).get(node_id)
            projects = caller.visible_projects(Permission.SERVICE_READ)
            return await Replicas(tx).list(node_id=node.id, projects=projects, offset=offset, limit=limit)

    async def update(self, caller: Caller, node_id: str, wanted: NodeUpdate) -> Node:
        """Cordons a node or lets replicas on again, moves it to another pool, or changes its labels and taints.

        Raises ConflictError when it is to change its pool while it holds replicas, NotFoundError for no such pool.
        """
        caller.require(Permission.NODE_WRITE)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            before = await StoredNodes(tx).get(node_id)
            if wanted.pool is not None and wanted.pool != before.pool:
                await require_movable(tx, before, wanted.pool, self._clock.now())
            await StoredNodes(tx).change(before.id, pool=wanted.pool, labels=wanted.labels, taints=wanted.taints)
            if wanted.cordoned is not None:
                await StoredNodes(tx).cordon(before.id, wanted.cordoned, f"Cordoned by {caller.user}.")
                action = "node.cordon" if wanted.cordoned else "node.uncordon"
                await Events(tx).audit(caller, now, action, "node", before.name)
            changed = await StoredNodes(tx).get(before.id)
            details = difference(_said(before), _said(changed))
            if details or wanted.cordoned is None:
                await Events(tx).audit(caller, now, "node.update", "node", before.name, details=details)
        self._ring(changed.id)
        return changed

    async def drain_plan(self, caller: Caller, node_id: str) -> DrainPlan:
        """Which replicas of a node would move, and where to, or why they find no place; changes nothing."""
        caller.require(Permission.NODE_WRITE)
        async with self._database.snapshot() as tx:
            return await self._drain_plan(tx, node_id)

    async def drain(self, caller: Caller, node_id: str) -> DrainPlan:
        """Cordons a node and moves its replicas: each gets a successor elsewhere before it ends.

        Those that find no other place go on where they are until there is one. Again changes nothing.
        """
        caller.require(Permission.NODE_WRITE)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            node = await StoredNodes(tx).get(node_id)
            if node.state == NodeState.LOST:
                raise ConflictError(
                    f"Node {node.name!r} does not answer, nothing can be moved from it.",
                    hint="Its replicas are made anew elsewhere already. Remove the node if it does not come back.",
                    code="node_lost",
                )
            await StoredNodes(tx).cordon(node.id, True, f"Being drained by {caller.user}.", draining=True)
            await Events(tx).audit(caller, now, "node.drain", "node", node.name)
            plan = await self._drain_plan(tx, node.id)
        self._ring(node.id)
        return plan

    async def remove(self, caller: Caller, node_id: str) -> None:
        """Forgets a node that is lost, whose replicas count as ended, or a joined one that holds none.

        A joined node's certificate is not taken any more, and Ray lets it in no more. Raises ConflictError for others.
        """
        caller.require(Permission.NODE_WRITE)
        if self._ray is None:
            await self._forget(caller, node_id)
            return
        await asyncio.to_thread(self._ray.expect, removal=True)
        try:
            node = await self._forget(caller, node_id)
        except AicpError:
            await asyncio.to_thread(self._ray.expect, removal=False)
            raise
        await _put_out(self._ray, node)  # after it is known as removed: it must get no new papers

    async def _forget(self, caller: Caller, node_id: str) -> Node:
        async with self._database.transaction() as tx:
            node = await StoredNodes(tx).get(node_id)
            if node.state != NodeState.LOST and is_mutual(node.address):
                await _require_empty(tx, node)
            elif node.state != NodeState.LOST:
                raise ConflictError(
                    f"Node {node.name!r} still answers and would join again by itself.",
                    hint="Drain it, stop its agent, and remove it when it is shown as lost.",
                    code="node_answers",
                )
            await StoredNodes(tx).remove(node.id)
            await Events(tx).audit(caller, self._clock.now(), "node.remove", "node", node.name)
        self._ring(node.id)
        return node

    async def _drain_plan(self, tx: Transaction, node_id: str) -> DrainPlan:
        node = await StoredNodes(tx).get(node_id)
        charged = await Replicas(tx).charged()
        on_it = [item for item in charged if node.id in item.node_ids]
        coming = _successors(charged, node) if node.draining else {}
        known: dict[str, Move] = {}
        leaving: list[Leaving] = []
        for item in on_it:
            replica = item.replica
            if replica.state not in LIVE:
                known[replica.id] = Move(replica.id, None, "It finishes its requests and stops.")
            elif coming.get(item.service_id):
                known[replica.id] = Move(replica.id, coming[item.service_id].pop())
            else:
                revision = await Revisions(tx).get(item.service_id, replica.generation)
                need = replace(revision.requirement, project=item.project)  # its project's reservations are for it
                leaving.append(Leaving(replica.id, replica.service, need))
        moves = plan_moves(node.id, leaving, await StoredPools(tx).snapshot(self._clock.now()))
        known |= {move.replica_id: move for move in moves}
        return DrainPlan(
            node=node.name,
            draining=node.draining,
            moves=[
                DrainMove(
                    replica=item.replica.id,
                    service=item.replica.service,
                    project=item.project,
                    state=item.replica.state,
                    node=known[item.replica.id].node,
                    reason=known[item.replica.id].reason,
                )
                for item in on_it
            ],
        )

    def _ring(self, node_id: str) -> None:
        self._bell.ring("node", node_id)
        self._bell.ring("pool")


_ON_THE_WAY = frozenset({ReplicaState.ALLOCATED, ReplicaState.STARTING, ReplicaState.LOADING})


def _successors(charged: list[StoredReplica], node: Node) -> dict[str, list[str]]:
    """By service, the nodes of replicas that become ready elsewhere: each takes the place of one on `node`."""
    found: dict[str, list[str]] = {}
    for item in charged:
        if node.id not in item.node_ids and item.replica.state in _ON_THE_WAY:
            found.setdefault(item.service_id, []).append(item.replica.node or "")
    return found


def _said(node: Node) -> dict[str, Any]:
    return node.model_dump(mode="json", include={"pool", "labels", "taints"})


async def _put_out(ray: RayDoor, node: Node) -> None:
    try:
        if is_mutual(node.address):
            await asyncio.to_thread(ray.expel)
        else:
            await asyncio.to_thread(ray.expect, removal=False)
    except OSError as error:
        raise UnavailableError(
            f"Node {node.name!r} was removed, but it is still a member of Ray: {error.strerror or error}.",
            hint="Make the data directory writable, remove `run/ray-authority` in it, and start the platform anew.",
        ) from error


async def _require_empty(tx: Transaction, node: Node) -> None:
    services = sorted({item.replica.service for item in await Replicas(tx).charged() if node.id in item.node_ids})
    if services:
        raise ConflictError(
            f"Node {node.name!r} holds replicas of {', '.join(services)}.",
            hint=f"Move them first: `aicp node drain {node.name}`. Then remove it.",
            code="node_in_use",
        )


async def _require_unreserved(tx: Transaction, node: Node, now: datetime) -> None:
    found = await Reservations(tx).list(now)
    kept = [item.id for item in found if any(where == node.id for where, _, _ in item.devices)]
    if kept:
        raise ConflictError(
            f"Node {node.name!r} has accelerators that are reserved in its pool: {', '.join(kept)}.",
            hint="End the reservation first: aicp reservation rm ID.",
            code="reserved",
        )


async def require_movable(tx: Transaction, node: Node, pool: str, now: datetime) -> None:
    """Raises ConflictError while a node that is to go to `pool` holds replicas, NotFoundError for no such pool."""
    await StoredPools(tx).get(pool)
    await _require_unreserved(tx, node, now)
    services = sorted({item.replica.service for item in await Replicas(tx).charged() if node.id in item.node_ids})
    if services:
        raise ConflictError(
            f"Node {node.name!r} holds replicas of {', '.join(services)}, whose place is pool {node.pool!r}.",
            hint=f"Move them first: `aicp node drain {node.name}`. Then move the node, and uncordon it.",
            code="node_in_use",
        )
