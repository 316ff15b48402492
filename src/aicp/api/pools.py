"""Pools: named sets of nodes with one purpose."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.use_cases import use_case
from aicp.control.pools import Pools
from aicp.core.identity import Permission
from aicp.core.pool import Pool, PoolCreate, PoolUpdate, PoolView, WaitingReplica
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["pools"])
PoolsUse = Annotated[Pools, use_case(Pools)]
READ, WRITE = [permits(Permission.NODE_READ)], [permits(Permission.NODE_WRITE)]


@router.get("/pools", dependencies=READ)
async def list_pools(pools: PoolsUse, caller: CallerDep) -> Page[Pool]:
    """All pools with what they have, what is taken and who waits."""
    return await pools.list(caller)


@router.post("/pools", dependencies=WRITE, status_code=status.HTTP_201_CREATED)
async def create_pool(pools: PoolsUse, caller: CallerDep, body: PoolCreate) -> Pool:
    """Adds a pool without nodes."""
    return await pools.create(caller, body)


@router.get("/pools/{name}", dependencies=READ)
async def get_pool(pools: PoolsUse, caller: CallerDep, name: str) -> Pool:
    """One pool."""
    return await pools.get(caller, name)


@router.patch("/pools/{name}", dependencies=WRITE)
async def update_pool(pools: PoolsUse, caller: CallerDep, name: str, body: PoolUpdate) -> Pool:
    """Changes what is given, and moves nodes into the pool. 409 for a node that holds replicas."""
    return await pools.update(caller, name, body)


@router.delete("/pools/{name}", dependencies=WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_pool(pools: PoolsUse, caller: CallerDep, name: str) -> None:
    """Removes a pool without nodes and services; the default pool stays."""
    await pools.delete(caller, name)


@router.get("/pools/{name}/view", dependencies=READ)
async def get_pool_view(pools: PoolsUse, caller: CallerDep, name: str) -> PoolView:
    """One pool with its nodes and accelerators, what replicas hold of them, who waits, and how quotas stand."""
    return await pools.view(caller, name)


@router.get("/services/{name}/waiting", dependencies=[permits(Permission.SERVICE_READ)])
async def list_waiting_replicas(pools: PoolsUse, caller: CallerDep, name: str) -> Page[WaitingReplica]:
    """Replicas of a service without a place, and why each node of its pool does not take them."""
    return await pools.waiting(caller, name)
