"""Services on slices: published, shown, resized while they run."""

from __future__ import annotations

import pytest
from tests.support.clock import FakeClock
from tests.support.services import Platform

from aicp.core.errors import InvalidError
from aicp.core.launch import DeviceShare
from aicp.core.quantity import GIB, MIB
from aicp.core.service import Compute, ServiceSpec, ServiceUpdate
from aicp.core.slice import SlicePolicy, SliceSpec
from aicp.store.database import Database
from aicp.store.replicas import Replicas


@pytest.fixture
async def platform(sqlite: Database, clock: FakeClock) -> Platform:
    return await Platform(sqlite, clock).prepare()


def part(percent: int, memory: int | None = None, policy: SlicePolicy = SlicePolicy.CAP) -> Compute:
    return Compute(slice=SliceSpec(compute_percent=percent, memory_bytes=memory, policy=policy))


async def shares(platform: Platform, service: str) -> list[DeviceShare]:
    async with platform.database.snapshot() as tx:
        page = await Replicas(tx).list(service=service)
    live = [item for item in page.items if item.ended_at is None and item.allocation]
    return [share for item in live if item.allocation for share in item.allocation.devices]


async def test_a_slice_is_given_held_and_shown(platform: Platform):
    published = await platform.publish(compute=part(25, 3 * GIB - 1))
    await platform.passes()
    [share] = await shares(platform, "demo")
    assert (share.compute_percent, share.memory_bytes, share.mechanism) == (25, 3 * GIB, "cgroup")
    assert "became 3 GiB" in str(share.rounding)
    [launch] = platform.runner.launches.values()
    allocation = launch.members[0].allocation
    assert (allocation.cpu_cores, allocation.memory_bytes) == (1.0, 3 * GIB), "a quarter of four cores"
    assert launch.members[0].launch.enforcers == ["cgroup"]
    chosen = next(item for item in published.plan.choices if item.name == "slice")
    assert chosen.value == "25 %, 3 GiB, cap, by cgroup"
    async with platform.database.snapshot() as tx:
        replica = await Replicas(tx).newest("demo")
    assert replica is not None
    assert replica.limits == ["limits by cgroup: 2 cores"]


async def test_without_memory_the_estimate_in_whole_units_is_taken(platform: Platform):
    await platform.publish(compute=part(10))
    await platform.passes()
    [share] = await shares(platform, "demo")
    assert share.memory_bytes % (256 * MIB) == 0
    assert share.memory_bytes >= GIB


async def test_users_shrink_until_the_slice_holds_them(platform: Platform):
    published = await platform.publish(compute=part(10, 2 * GIB), context_length=32768)
    assert published.plan.users < 16
    assert "made smaller to fit" in next(item.reason for item in published.plan.choices if item.name == "users")


async def test_a_device_is_never_promised_twice(platform: Platform):
    await platform.publish(name="first", compute=part(60, 4 * GIB))
    await platform.passes()
    with pytest.raises(InvalidError) as refused:
        await platform.publish(name="second", compute=part(41, 2 * GIB))
    assert "40 %" in str(refused.value)
    await platform.publish(name="second", compute=part(40, 2 * GIB))


async def test_a_running_slice_changes_without_a_new_replica(platform: Platform):
    await platform.publish(compute=part(20, 4 * GIB))
    await platform.passes()
    starts = list(platform.runner.starts)
    spec = ServiceSpec(model="demo", compute=part(50, 5 * GIB))
    changed = await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=spec))
    await platform.passes()
    assert platform.runner.starts == starts, "nothing was started anew"
    [wanted] = platform.runner.resizes
    assert wanted.allocation.cpu_cores == 2.0
    [share] = await shares(platform, "demo")
    assert (share.compute_percent, share.memory_bytes) == (50, 5 * GIB)
    service = await platform.services.get(platform.caller, "demo")
    assert (service.state, service.generation, service.serving_generation) == ("ready", changed.generation, 2)


async def test_a_silent_node_is_asked_again(platform: Platform):
    await platform.publish(compute=part(20, 4 * GIB))
    await platform.passes()
    platform.runner.silent = {"node_a"}
    spec = ServiceSpec(model="demo", compute=part(30, 4 * GIB))
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=spec))
    await platform.loop.step()
    assert [share.compute_percent for share in await shares(platform, "demo")] == [20], "not said before it is so"
    platform.runner.silent = set()
    await platform.passes(4, seconds=30)
    assert [share.compute_percent for share in await shares(platform, "demo")] == [30]


@pytest.mark.parametrize(
    ("compute", "text"),
    [(part(50, 4 * GIB), "40 %"), (part(30, 512 * MIB), "GiB")],
    ids=["more than is free", "less than it needs"],
)
async def test_a_slice_that_cannot_change_is_refused_or_replaced(platform: Platform, compute: Compute, text: str):
    await platform.publish(name="other", compute=part(60, 4 * GIB))
    await platform.publish(compute=part(30, 4 * GIB))
    await platform.passes()
    body = ServiceUpdate(spec=ServiceSpec(model="demo", compute=compute))
    with pytest.raises(InvalidError) as refused:
        await platform.services.update(platform.caller, "demo", body)
    assert text in str(refused.value)
    assert not platform.runner.resizes


async def test_a_slice_of_the_processor_brings_its_own_cores(platform: Platform):
    given = Compute(slice=SliceSpec(compute_percent=10), cpu_cores=1)
    with pytest.raises(InvalidError) as refused:
        await platform.publish(compute=given)
    assert "leave cpu_cores and memory_bytes out" in str(refused.value.hint)


async def test_weights_where_no_mechanism_has_them(platform: Platform):
    status = platform.runner.statuses["node_a"]
    host = status.accelerators[0]
    way = host.slicing[0].model_copy(update={"policies": [SlicePolicy.CAP]})
    cards = [host.model_copy(update={"slicing": [way]})]
    platform.runner.statuses["node_a"] = status.model_copy(update={"accelerators": cards})
    platform.clock.advance(60)
    await platform.node_loop.step()
    with pytest.raises(InvalidError) as refused:
        await platform.publish(compute=part(10, policy=SlicePolicy.WEIGHT))
    assert "can only have the policy cap" in str(refused.value.hint)


async def test_what_becomes_free_is_free_when_the_node_says_so(platform: Platform):
    await platform.publish(name="large", compute=part(60, 4 * GIB))
    await platform.passes()
    platform.runner.refuses_resizes = True
    spec = ServiceSpec(model="demo", compute=part(30, 4 * GIB))
    await platform.services.update(platform.caller, "large", ServiceUpdate(spec=spec))
    await platform.loop.step()
    with pytest.raises(InvalidError):
        await platform.publish(name="next", compute=part(60, 4 * GIB))
    platform.runner.refuses_resizes = False
    await platform.passes(6, seconds=30)
    await platform.publish(name="next", compute=part(60, 4 * GIB))
    await platform.passes()
    assert [share.compute_percent for share in await shares(platform, "next")] == [60]


async def test_what_the_node_holds_is_what_counts(platform: Platform):
    """Cut off between the node and the database: the node has the larger slice, the user wants the old one again."""
    await platform.publish(compute=part(20, 4 * GIB))
    await platform.passes()
    [seen] = platform.runner.seen.values()
    [member] = seen.members
    launch = platform.runner.launches[seen.replica_id]
    held = launch.members[0].allocation
    [share] = held.devices
    grown = held.model_copy(update={"devices": [share.model_copy(update={"compute_percent": 70})], "cpu_cores": 2.8})
    larger = member.model_copy(update={"allocation": grown})
    platform.runner.seen[seen.replica_id] = seen.model_copy(update={"members": [larger]})
    await platform.loop.step()
    [wanted] = platform.runner.resizes
    assert wanted.allocation.devices[0].compute_percent == 20


async def test_all_replicas_of_a_card_change_together_or_none(platform: Platform):
    await platform.publish(compute=part(30, 4 * GIB), replicas=2)
    await platform.passes()
    body = ServiceUpdate(spec=ServiceSpec(model="demo", replicas=2, compute=part(60, 4 * GIB)))
    with pytest.raises(InvalidError):
        await platform.services.update(platform.caller, "demo", body)
    body = ServiceUpdate(spec=ServiceSpec(model="demo", replicas=2, compute=part(50, 4 * GIB)))
    await platform.services.update(platform.caller, "demo", body)
    await platform.passes()
    assert [share.compute_percent for share in await shares(platform, "demo")] == [50, 50]


async def test_a_stopped_service_takes_no_slice_that_nothing_has(platform: Platform):
    await platform.publish(compute=part(30, 4 * GIB))
    await platform.passes()
    await platform.services.update(platform.caller, "demo", ServiceUpdate(stopped=True))
    await platform.passes()
    body = ServiceUpdate(spec=ServiceSpec(model="demo", compute=part(100, 100 * GIB)))
    with pytest.raises(InvalidError):
        await platform.services.update(platform.caller, "demo", body)
