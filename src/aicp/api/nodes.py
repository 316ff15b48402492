"""Machines."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.paging import Limit, Offset, Search, Sort
from aicp.api.use_cases import use_case
from aicp.control.nodes import Nodes
from aicp.core.identity import Permission
from aicp.core.node import Node, NodeState, NodeUpdate
from aicp.core.pool import DrainPlan
from aicp.core.replica import Replica
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["nodes"])
NodesUse = Annotated[Nodes, use_case(Nodes)]
READ, WRITE = [permits(Permission.NODE_READ)], [permits(Permission.NODE_WRITE)]


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
    """Keeps new replicas off a node or lets them on again, moves it to another pool, changes labels and taints."""
    return await nodes.update(caller, id, body)


@router.get("/nodes/{id}/drain", dependencies=WRITE)
async def get_drain_plan(nodes: NodesUse, caller: CallerDep, id: str) -> DrainPlan:
    """Which replicas would leave the node and where to, or why they find no other place; changes nothing."""
    return await nodes.drain_plan(caller, id)


@router.post("/nodes/{id}/drain", dependencies=WRITE)
async def drain_node(nodes: NodesUse, caller: CallerDep, id: str) -> DrainPlan:
    """Cordons a node and moves its replicas, each after its successor elsewhere serves. `cordoned` false ends it."""
    return await nodes.drain(caller, id)


@router.delete("/nodes/{id}", dependencies=WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_node(nodes: NodesUse, caller: CallerDep, id: str) -> None:
    """Forgets a node that is lost, or a joined one that holds no replicas. 409 for others."""
    await nodes.remove(caller, id)
