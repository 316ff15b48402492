"""What the gateways say of themselves, written down for the reconcile loop."""

from __future__ import annotations

from datetime import timedelta

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.gateway import GatewayStatus, Heartbeat
from aicp.core.identity import Permission
from aicp.core.value import Page
from aicp.store.database import Database
from aicp.store.gateways import Gateways as StoredGateways

_WRITE_SECONDS = 2.0
_FORGOTTEN_AFTER = timedelta(days=1)


class Gateways:
    """Takes heartbeats, one a second from each gateway; writes one that says something new, and else every 2 s."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._written: dict[str, GatewayStatus] = {}

    async def list(self, caller: Caller) -> Page[GatewayStatus]:
        """Gateway processes that live, those that leave among them, by place."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            live = await StoredGateways(tx).live(self._clock.now())
        if caller.visible_projects(Permission.SERVICE_READ) is not None:
            # what others serve, and how much, is not everybody's business
            live = [
                one.model_copy(update={"listeners": {}, "loads": {}, "inflight": {"all": sum(one.inflight.values())}})
                for one in live
            ]
        live.sort(key=lambda status: (status.slot, status.id))
        return Page(items=live, total=len(live), limit=max(len(live), 1))

    async def heartbeat(self, gateway_id: str, beat: Heartbeat) -> None:
        """Notes a heartbeat."""
        now = self._clock.now()
        status = GatewayStatus(id=gateway_id, seen_at=now, **beat.model_dump(exclude={"live"}))
        before = self._written.get(gateway_id)
        changed = before is None or before.model_copy(update={"seen_at": now}) != status
        if not changed and before and (now - before.seen_at).total_seconds() < _WRITE_SECONDS:
            return
        async with self._database.transaction() as tx:
            await StoredGateways(tx).save(status)
            await StoredGateways(tx).forget(now - _FORGOTTEN_AFTER)
        self._written[gateway_id] = status
        if changed:
            self._bell.ring("gateway", gateway_id)
