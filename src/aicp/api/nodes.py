"""Machines, and the pools that name sets of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.nodes import Nodes, Pools
from aicp.core.identity import Permission
from aicp.core.node import Node, NodeState, Pool
from aicp.core.replica import Replica
from aicp.core.value import Page, Request

router = APIRouter(prefix="/api/v1", tags=["nodes"])
NodesUse = Annotated[Nodes, use_case(Nodes)]
PoolsUse = Annotated[Pools, use_case(Pools)]
READ, WRITE = [permits(Permission.NODE_READ)], [permits(Permission.NODE_WRITE)]


class NodeUpdate(Request):
    """A cordoned node gets no new replicas; those on it go on."""

    cordoned: bool


@router.get("/nodes", dependencies=READ)
async def list_nodes(
    nodes: NodesUse,
    caller: CallerDep,
    pool: str | None = None,
    state: NodeState | None = None,
    search: Search = None,
    sort: Sort = "name",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[Node]:
    """All nodes with what their agents report."""
    return await nodes.list(caller, pool=pool, state=state, search=search, sort=sort, offset=offset, limit=limit)


@router.get("/nodes/{id}", dependencies=READ)
async def get_node(nodes: NodesUse, caller: CallerDep, id: str) -> Node:
    """One node, by id or name."""
    return await nodes.get(caller, id)


@router.get("/nodes/{id}/replicas", dependencies=[*READ, permits(Permission.SERVICE_READ)])
async def list_node_replicas(
    nodes: NodesUse, caller: CallerDep, id: str, offset: Offset = 0, limit: Limit = 100
) -> Page[Replica]:
    """Running and ended replicas of a node, newest first."""
    return await nodes.replicas(caller, id, offset=offset, limit=limit)


@router.patch("/nodes/{id}", dependencies=WRITE)
async def update_node(nodes: NodesUse, caller: CallerDep, id: str, body: NodeUpdate) -> Node:
    """Keeps new replicas off a node, or lets them on again."""
    return await nodes.cordon(caller, id, body.cordoned)


@router.get("/pools", dependencies=READ)
async def list_pools(pools: PoolsUse, caller: CallerDep) -> Page[Pool]:
    """All pools with what is free in them."""
    return await pools.list(caller)


@router.get("/pools/{name}", dependencies=READ)
async def get_pool(pools: PoolsUse, caller: CallerDep, name: str) -> Pool:
    """One pool."""
    return await pools.get(caller, name)
