"""Moves within a pool that free whole accelerators: what would move, and having it done."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from aicp.control.pool_views import Look
from aicp.control.pools import look_at
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError
from aicp.core.identity import Permission
from aicp.core.launch import DeviceShare, ReplicaState
from aicp.core.pool_change import Defragmentation, DefragmentationOrder, FreedAccelerator, ProposedMove
from aicp.scheduler.defragmentation import Move, Proposal, defragment
from aicp.scheduler.gang import place_replica
from aicp.scheduler.moving import MOVE_TIME
from aicp.scheduler.placement import Commitment, Refusal, Requirement, Snapshot
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.pools import Pools as StoredPools
from aicp.store.pools import with_priorities
from aicp.store.replicas import Replicas, StoredReplica
from aicp.store.revisions import Revisions


class PoolMoves:
    """Use cases over moves within a pool."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def proposal(self, caller: Caller, pool: str) -> Defragmentation:
        """What would move, what that frees and who finds a place then; changes nothing."""
        caller.require(Permission.NODE_READ)
        async with self._database.snapshot() as tx:
            return (await _propose(tx, caller, pool, self._clock.now()))[1]

    async def carry_out(self, caller: Caller, pool: str, order: DefragmentationOrder) -> Defragmentation:
        """Has the moves done: each replica's successor is ready on the other accelerator before the replica ends.

        Raises ConflictError for a replica that the proposal of this moment does not move.
        """
        caller.require(Permission.NODE_WRITE)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            proposal, shown = await _propose(tx, caller, pool, now)
            chosen = _chosen(proposal, order)
            names = {move.replica: move for move in shown.moves}
            for move in chosen:
                await Replicas(tx).move(move.replica_id, move.to.allocation, now + MOVE_TIME)
                told = names[move.replica_id]
                replica, here, there = move.replica_id, told.from_node, told.node
                text = (
                    f"Replica {replica} moves from {told.from_accelerator} on node {here}"
                    f" to {told.accelerator} on node {there}."
                )
                await Events(tx).note(now, "service.moves", "service", move.service, text, project=told.project)
            count = len(chosen)
            message = f"{count} replicas move."
            await Events(tx).audit(caller, now, "pool.defragment", "pool", pool, message=message)
        for move in chosen:
            self._bell.ring("replica", move.replica_id)
        self._bell.ring("pool", pool)
        replicas = {move.replica_id for move in chosen}
        return shown.model_copy(
            update={
                "moves": [move for move in shown.moves if move.replica in replicas],
                "under_way": sorted({*shown.under_way, *replicas}),
            }
        )


def _chosen(proposal: Proposal, order: DefragmentationOrder) -> list[Move]:
    if order.replicas is None:
        return list(proposal.moves)
    by_id = {move.replica_id: move for move in proposal.moves}
    unknown = [replica for replica in order.replicas if replica not in by_id]
    if unknown:
        replicas = ", ".join(unknown)
        raise ConflictError(
            f"Moving {replicas} frees no accelerator any more.",
            hint="Look at the proposal again: what runs in the pool has changed meanwhile.",
        )
    return [by_id[replica] for replica in order.replicas]


async def _propose(tx: Transaction, caller: Caller, pool: str, now: datetime) -> tuple[Proposal, Defragmentation]:
    await StoredPools(tx).get(pool)
    look = await look_at(tx, now)
    snapshot = with_priorities(look.snapshot(), look.services)
    here = {node.id for node in look.nodes if node.pool == pool}
    going = [
        item.replica.id
        for item in look.charged
        if item.moving_until is not None and item.moving_until > now and item.node_id in here
    ]
    needs = await _movable(tx, look, pool)
    proposal = defragment(snapshot, pool, needs=needs) if not going else Proposal()
    visible = caller.visible_projects(Permission.SERVICE_READ)
    by_id = {item.replica.id: item for item in look.charged}
    labels = {
        (node.id, device.vendor, device.device_id): (node.name, device.label, device.memory_bytes)
        for node in snapshot.nodes
        for device in node.devices
    }

    def shown(move: Move) -> ProposedMove:
        item = by_id[move.replica_id]
        named = visible is None or item.project in visible
        share, target = _share(item), move.to.allocation.devices[0]
        to_node, to_label, _ = labels[move.to.allocation.node_id, target.vendor, target.device_id]
        from_node, from_label, _ = labels[item.node_id or "", share.vendor, share.device_id]
        return ProposedMove(
            replica=move.replica_id,
            service=move.service if named else None,
            project=item.project if named else None,
            compute_percent=share.compute_percent,
            memory_bytes=share.memory_bytes,
            from_node=from_node,
            from_accelerator=from_label,
            node=to_node,
            accelerator=to_label,
        )

    cards = {(name, key[2]): (key, label, memory) for key, (name, label, memory) in labels.items()}
    freed = [
        FreedAccelerator(
            node=node,
            accelerator=cards[node, device_id][1],
            vendor=cards[node, device_id][0][1],
            device_id=device_id,
            memory_bytes=cards[node, device_id][2],
        )
        for node, device_id in proposal.freed
    ]
    return proposal, Defragmentation(
        pool=pool,
        moves=[shown(move) for move in proposal.moves],
        freed=freed,
        helps=_helped(look, snapshot, proposal, pool, visible),
        under_way=sorted(going),
    )


async def _movable(tx: Transaction, look: Look, pool: str) -> dict[str, Requirement]:
    """What each replica that serves and stays needs: only these may move."""
    templates = {service.id: service for service in look.services if service.spec.pool == pool}
    leaving = {node.id for node in look.nodes if node.draining}
    present = {
        (node.id, device.vendor, device.device_id)
        for node in look.nodes
        for device in (node.status.accelerators if node.status else ())
    }
    needs: dict[str, Requirement] = {}
    for item in look.charged:
        service = templates.get(item.service_id)
        if service is None or item.replica.state != ReplicaState.READY or item.node_id in leaving:
            continue
        held = [
            (item.node_id, share.vendor, share.device_id) for one in item.replica.allocations for share in one.devices
        ]
        if not present.issuperset(held):
            continue  # its node does not tell of its accelerator now
        newest = (await Revisions(tx).newest(service.id))[service.id][0]
        if newest.template == item.replica.generation:
            priority = newest.spec.priority
            needs[item.replica.id] = replace(newest.requirement, project=item.project, priority=priority)
    return needs


def _share(item: StoredReplica) -> DeviceShare:
    assert item.replica.allocation is not None
    return item.replica.allocation.devices[0]


def _helped(
    look: Look, snapshot: Snapshot, proposal: Proposal, pool: str, visible: frozenset[str] | set[str] | None
) -> list[str]:
    moved = {move.replica_id for move in proposal.moves}
    after = snapshot.without(lambda item: item.replica_id in moved)
    after = after.plus(*(Commitment(move.replica_id, move.service, move.to.allocation) for move in proposal.moves))
    found: list[str] = []
    for item in look.waiting:
        need, service = look.requirements[item.replica.id], item.replica.service
        if need.pool != pool or service in found or not (visible is None or item.project in visible):
            continue
        need = replace(need, project=item.project)
        if isinstance(place_replica(need, snapshot, service), Refusal):
            answer = place_replica(need, after, service)
            if not isinstance(answer, Refusal):
                after = after.plus(*(Commitment(item.replica.id, service, one.allocation) for one in answer))
                found.append(service)
    return found
