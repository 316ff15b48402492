"""Moves within pools, and reservations."""

from __future__ import annotations

from aicp.client.transport import Transport
from aicp.core.pool_change import Defragmentation, DefragmentationOrder, Reservation, ReservationCreate
from aicp.core.value import Page


class PoolMoves:
    """Moves that free whole accelerators."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def proposal(self, pool: str) -> Defragmentation:
        """Which replicas would move, what that frees and which waiting services it helps; changes nothing."""
        return self._transport.get(f"/api/v1/pools/{pool}/defragmentation", Defragmentation)

    def carry_out(self, pool: str, replicas: list[str] | None = None) -> Defragmentation:
        """Has all moves of the proposal done, or those of `replicas` alone."""
        order = DefragmentationOrder(replicas=replicas)
        return self._transport.post(f"/api/v1/pools/{pool}/defragmentation", Defragmentation, order)


class Reservations:
    """Accelerators that only one project may have for a time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, pool: str | None = None) -> list[Reservation]:
        """Those that have not ended, by their start."""
        return self._transport.get("/api/v1/reservations", Page[Reservation], {"pool": pool}).items

    def create(self, wanted: ReservationCreate) -> Reservation:
        """Keeps accelerators for one project between two times."""
        return self._transport.post("/api/v1/reservations", Reservation, wanted)

    def delete(self, reservation_id: str) -> None:
        """Ends one; what the project runs there goes on."""
        self._transport.delete(f"/api/v1/reservations/{reservation_id}")
