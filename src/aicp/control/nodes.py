"""Nodes and pools: look, and keep new replicas off a node."""

from __future__ import annotations

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.identity import Permission
from aicp.core.node import Node, NodeState, Pool
from aicp.core.replica import Replica
from aicp.core.value import Page
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.nodes import Nodes as StoredNodes
from aicp.store.pools import Pools as StoredPools
from aicp.store.replicas import Replicas


class Nodes:
    """Use cases over nodes."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
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

    async def cordon(self, caller: Caller, node_id: str, cordoned: bool) -> Node:
        """Keeps new replicas off a node, or lets them on again; those on it go on."""
        caller.require(Permission.NODE_WRITE)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            node = await StoredNodes(tx).get(node_id)
            await StoredNodes(tx).cordon(node.id, cordoned, f"Cordoned by {caller.user}.")
            action = "node.cordon" if cordoned else "node.uncordon"
            await Events(tx).audit(caller, now, action, "node", node.name)
            changed = await StoredNodes(tx).get(node.id)
        self._bell.ring("node", node.id)
        return changed


class Pools:
    """Use cases over pools."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, caller: Caller) -> Page[Pool]:
        """All pools with what is free in them."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            pools = await StoredPools(tx).list()
        return Page(items=pools, total=len(pools))

    async def get(self, caller: Caller, name: str) -> Pool:
        """One pool."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            return await StoredPools(tx).get(name)
