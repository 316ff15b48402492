"""Slices that change under running replicas: no new revision's replicas, only other limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from aicp.control.service_plans import quotas_of, require_room
from aicp.core.errors import InvalidError
from aicp.core.launch import Allocation
from aicp.core.quantity import format_bytes
from aicp.core.service import Plan, Service, ServiceSpec
from aicp.core.slice import SliceRequest, SliceSpec, round_memory
from aicp.planner.sizing import USABLE_SHARE
from aicp.scheduler.placement import CPU, Commitment, Refusal, Requirement, Snapshot
from aicp.scheduler.resizing import resize
from aicp.scheduler.services import LIVE
from aicp.store.database import Transaction
from aicp.store.pools import Pools
from aicp.store.replicas import Replicas, StoredReplica
from aicp.store.revisions import Revision, copy_revision


async def resized_revision(
    tx: Transaction, service: Service, current: Revision, spec: ServiceSpec, user: str
) -> Revision | None:
    """`current` with other slices; None where the replicas must be replaced: what holds them cannot change under a
    running process, or the engine as it was started needs more memory than it would have.

    Raises InvalidError when there is no room for it, or a replica uses more memory already.
    """
    asked, part = spec.compute.slice, current.requirement.slice
    if asked is None or part is None:
        return None
    need = _requirement(current, asked, part)
    held = [
        item
        for item in await Replicas(tx).charged()
        if item.service_id == service.id and item.replica.generation == current.template and item.replica.state in LIVE
    ]
    snapshot = await Pools(tx).snapshot()
    enough = _needed(current) <= need.accelerator_memory_bytes
    if not held or not enough or not _resizable(held, snapshot):
        return None
    await _require_room(tx, service, held, need, snapshot)
    if spec.replicas > current.spec.replicas:
        await require_room(tx, service.project, service.name, need, spec.replicas)
    number = service.generation + 1
    copied = copy_revision(current, number, current.template, spec, user, current.outcome)
    return replace(copied, requirement=need, plan=_plan(copied.plan, need))


def _requirement(current: Revision, asked: SliceSpec, part: SliceRequest) -> Requirement:
    before = current.requirement
    chosen = part.memory_bytes if _left_to_us(current) else _needed(current) or part.memory_bytes
    wanted = asked.memory_bytes or round_memory(chosen)
    memory = round_memory(wanted)
    on_cpu = before.vendor == CPU
    return replace(
        before,
        slice=SliceRequest(compute_percent=asked.compute_percent, memory_bytes=wanted, policy=asked.policy),
        accelerator_memory_bytes=memory,
        memory_bytes=memory if on_cpu else before.memory_bytes,
        cpu_cores=before.cpu_cores * asked.compute_percent / part.compute_percent if on_cpu else before.cpu_cores,
    )


def _needed(current: Revision) -> int:
    """What the estimate needs of each device; of an accelerator, not all memory can be planned with."""
    need = current.requirement
    usable = 1.0 if need.vendor == CPU else USABLE_SHARE
    return int((current.plan.fit.needed_bytes or 0) / max(1, need.accelerators) / usable)


def _left_to_us(current: Revision) -> bool:
    return current.spec.compute.slice is None or current.spec.compute.slice.memory_bytes is None


def _resizable(held: Sequence[StoredReplica], snapshot: Snapshot) -> bool:
    """Whether every slice of these replicas is held by a mechanism that can change it while they run."""
    able = {
        (device.device_id, way.mechanism)
        for node in snapshot.nodes
        for device in node.devices
        for way in device.slicing
        if way.resizable
    }
    shares = [share for item in held if item.replica.allocation for share in item.replica.allocation.devices]
    return all((share.device_id, share.mechanism) in able for share in shares)


async def _require_room(
    tx: Transaction, service: Service, held: Sequence[StoredReplica], need: Requirement, snapshot: Snapshot
) -> None:
    """Raises InvalidError unless all of the replicas can change together."""
    ids = {item.replica.id for item in held}
    others = snapshot.without(lambda item: item.replica_id in ids)
    asked: list[Allocation] = []
    for item in held:
        replica = item.replica
        if replica.allocation is None:
            continue
        answer = resize(replica.id, service.name, replica.allocation, need, snapshot)
        if isinstance(answer, Refusal):
            _refuse(f"The slice of replica {replica.id} cannot become that large: {answer.sentence}.")
        _require_memory(item, need)
        asked.append(replica.allocation if answer is None else answer.allocation)
        snapshot = snapshot.without(lambda other, changed=replica.id: other.replica_id == changed)
        snapshot = snapshot.plus(Commitment(replica.id, service.name, asked[-1]))
    over = (await quotas_of(tx, need.pool)).refusal(need.pool, service.project, others, asked)
    if over:
        _refuse(f"The slices of {service.name} cannot become that large: {over}.")


def _refuse(message: str) -> NoReturn:
    raise InvalidError(
        message,
        hint="Ask for less, stop another service there, or change another setting with it: then new replicas are "
        "placed where there is room.",
        code="does_not_fit",
    )


def _require_memory(item: StoredReplica, need: Requirement) -> None:
    used, limit = item.replica.memory_bytes or 0, need.accelerator_memory_bytes
    if need.vendor == CPU and used > limit:
        raise InvalidError(
            f"Replica {item.replica.id} uses {format_bytes(used)} now; it cannot be held to {format_bytes(limit)}.",
            hint="Ask for more memory, or for fewer users or a shorter context with it.",
            code="does_not_fit",
        )


def _plan(plan: Plan, need: Requirement) -> Plan:
    assert need.slice is not None
    size = f"{need.slice.compute_percent} %, {format_bytes(need.slice.memory_bytes)}, {need.slice.policy}"
    texts = {"slice": size, "cpu_cores": need.cpu_cores, "memory": format_bytes(need.memory_bytes)}
    choices = [
        choice.model_copy(update={"value": texts[choice.name]}) if choice.name in texts else choice
        for choice in plan.choices
    ]
    return plan.model_copy(update={"choices": choices, "cpu_cores": need.cpu_cores, "memory_bytes": need.memory_bytes})
