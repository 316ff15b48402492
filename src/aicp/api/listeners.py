"""Listeners of models, ports, and the gateway processes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from aicp.api.access import CallerDep, permits
from aicp.api.use_cases import use_case
from aicp.control.gateways import Gateways
from aicp.control.listeners import Listeners
from aicp.core.gateway import GatewayStatus
from aicp.core.identity import Permission
from aicp.core.listener import Listener, ListenerSet, Port
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["gateway"])
ListenersUse = Annotated[Listeners, use_case(Listeners)]
GatewaysUse = Annotated[Gateways, use_case(Gateways)]
_WRITE = [permits(Permission.NODE_WRITE)]


@router.get("/gateways", dependencies=[permits(Permission.NODE_READ)])
async def list_gateways(caller: CallerDep, gateways: GatewaysUse) -> Page[GatewayStatus]:
    """Gateway processes that live, by place; one that leaves ends with its last request."""
    return await gateways.list(caller)


@router.get("/ports", dependencies=[permits(Permission.NODE_READ)])
async def list_ports(caller: CallerDep, listeners: ListenersUse) -> Page[Port]:
    """Ports that the platform uses or that are reserved, by number."""
    return await listeners.ports(caller)


@router.get("/listeners", dependencies=[permits(Permission.SERVICE_READ)])
async def list_listeners(caller: CallerDep, listeners: ListenersUse) -> Page[Listener]:
    """Listeners of models that the caller's projects may use, and whether they are open."""
    return await listeners.list(caller)


@router.put("/listeners/{model}", dependencies=_WRITE)
async def set_listener(model: str, body: ListenerSet, caller: CallerDep, listeners: ListenersUse) -> Listener:
    """Gives a service or route an address of its own, where requests need not name the model; same keys and limits."""
    return await listeners.set(caller, model, body)


@router.delete("/listeners/{model}", dependencies=_WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_listener(model: str, caller: CallerDep, listeners: ListenersUse) -> None:
    """Takes a model's own address away; requests in flight there end as they would."""
    await listeners.delete(caller, model)
