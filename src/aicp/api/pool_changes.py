"""Moves that free whole accelerators of a pool, and reservations."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from aicp.api.access import CallerDep, permits
from aicp.api.use_cases import use_case
from aicp.control.pool_moves import PoolMoves
from aicp.control.reservations import Reservations
from aicp.core.identity import Permission
from aicp.core.pool_change import Defragmentation, DefragmentationOrder, Reservation, ReservationCreate
from aicp.core.value import Page

router = APIRouter(prefix="/api/v1", tags=["pools"])
MovesUse = Annotated[PoolMoves, use_case(PoolMoves)]
ReservationsUse = Annotated[Reservations, use_case(Reservations)]
READ, WRITE = [permits(Permission.NODE_READ)], [permits(Permission.NODE_WRITE)]


@router.get("/pools/{name}/defragmentation", dependencies=READ)
async def get_defragmentation(moves: MovesUse, caller: CallerDep, name: str) -> Defragmentation:
    """Which replicas would move so that whole accelerators become free, and which waiting services that helps."""
    return await moves.proposal(caller, name)


@router.post("/pools/{name}/defragmentation", dependencies=WRITE)
async def defragment_pool(moves: MovesUse, caller: CallerDep, name: str, body: DefragmentationOrder) -> Defragmentation:
    """Has the moves done: a successor is ready on the other accelerator before a replica ends. 409 for a replica that
    the proposal of this moment does not move."""
    return await moves.carry_out(caller, name, body)


@router.get("/reservations", dependencies=READ)
async def list_reservations(
    reservations: ReservationsUse,
    caller: CallerDep,
    pool: Annotated[str | None, Query(description="of this pool alone")] = None,
) -> Page[Reservation]:
    """Reservations that have not ended, by their start."""
    return await reservations.list(caller, pool)


@router.post("/reservations", dependencies=WRITE, status_code=status.HTTP_201_CREATED)
async def create_reservation(reservations: ReservationsUse, caller: CallerDep, body: ReservationCreate) -> Reservation:
    """Keeps accelerators for one project between two times. 409 when there are not as many."""
    return await reservations.create(caller, body)


@router.delete("/reservations/{id}", dependencies=WRITE, status_code=status.HTTP_204_NO_CONTENT)
async def delete_reservation(reservations: ReservationsUse, caller: CallerDep, id: str) -> None:
    """Ends a reservation; what the project runs there goes on."""
    await reservations.remove(caller, id)
