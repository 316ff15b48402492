"""Logs of engines, also of replicas that are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aicp.core.access import Caller
from aicp.core.errors import NotFoundError
from aicp.core.identity import Permission
from aicp.core.replica import Replica
from aicp.runners.base import StreamsLogs
from aicp.store.database import Database
from aicp.store.replicas import Replicas


class Logs:
    """Reads logs through the runner."""

    def __init__(self, database: Database, runner: StreamsLogs) -> None:
        self._database = database
        self._runner = runner

    async def replica(self, caller: Caller, replica_id: str) -> Replica:
        """One replica, also one that ended."""
        async with self._database.snapshot() as tx:
            found = await Replicas(tx).get(replica_id)
        caller.require(Permission.SERVICE_READ, found.project, what=f"Replica {replica_id!r}")
        return found.replica

    async def of_replica(
        self, caller: Caller, replica_id: str, *, tail: int, follow: bool, member: int = 0
    ) -> AsyncIterator[str]:
        """The last `tail` lines of a replica's log, then with `follow` what is added; of one that spans nodes that of
        one member, by default the leader's. Raises NotFoundError for a member that it has not."""
        async with self._database.snapshot() as tx:
            found = await Replicas(tx).get(replica_id)
        caller.require(Permission.LOG_READ, found.project, what=f"Replica {replica_id!r}")
        node_id = _node_of(found.replica, member)
        return await _begun(self._runner.log(replica_id, tail=tail, follow=follow, node_id=node_id))

    async def of_service(
        self, caller: Caller, name: str, *, replica_id: str | None, tail: int, follow: bool, member: int = 0
    ) -> AsyncIterator[str]:
        """The log of one replica of a service, by default the newest; the service itself may be deleted."""
        async with self._database.snapshot() as tx:
            newest = await Replicas(tx).newest(name)
            if replica_id is not None:
                chosen = await Replicas(tx).get(replica_id)
                newest = chosen.replica if chosen.replica.service == name else None
        if newest is None:
            raise NotFoundError(
                f"There is no log of service {name!r}{f' and replica {replica_id!r}' if replica_id else ''}.",
                hint="A service has a log as soon as a replica of it was started.",
            )
        return await self.of_replica(caller, newest.id, tail=tail, follow=follow, member=member)


def _node_of(replica: Replica, member: int) -> str | None:
    """The node of a member; None where the replica has one only."""
    count = max(1, len(replica.members))
    if member >= count:
        raise NotFoundError(
            f"Replica {replica.id} has no member {member}.",
            hint=f"It has {count}, counted from 0." if count > 1 else "It runs on one node; leave the member out.",
        )
    return replica.members[member].node_id if replica.members else None


async def _begun(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """The same pieces; what is wrong with the log shows here, before an answer has begun."""
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        first = ""

    async def rest() -> AsyncIterator[str]:
        yield first
        async for piece in pieces:
            yield piece

    return rest()
