"""Priority from the publish to the place: what makes room, who is told, and who may ask for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.api import make_caller
from tests.support.clock import FakeClock
from tests.support.runner import FakeRunner, make_node_status
from tests.support.services import Platform

from aicp.core.errors import ForbiddenError, InvalidError
from aicp.core.event import EventQuery
from aicp.core.identity import Permission, Role
from aicp.core.model import Visibility
from aicp.core.quantity import GIB
from aicp.core.service import Compute, Plan, Preempted, Service, ServiceCreate, ServiceSpec, ServiceState, ServiceUpdate
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.pools import Pools
from aicp.store.projects import Projects
from aicp.store.services import Services


@pytest.fixture
async def platform(sqlite: Database, clock: FakeClock) -> Platform:
    return await Platform(sqlite, clock, FakeRunner(make_node_status("node_a"))).prepare()


async def service(platform: Platform, name: str) -> Service:
    async with platform.database.snapshot() as tx:
        return await Services(tx).get(name)


async def largest(platform: Platform) -> Compute:
    """More than half of what the node has, so that two do not fit."""
    async with platform.database.snapshot() as tx:
        [node] = (await Pools(tx).snapshot()).nodes
    return Compute(memory_bytes=int((node.memory_bytes - node.foreign_bytes) * 0.6))


async def test_a_publish_of_a_higher_priority_takes_the_place_and_gives_it_back(platform: Platform):
    compute = await largest(platform)
    assert (compute.memory_bytes or 0) > 2 * GIB
    await platform.publish(name="night", compute=compute, preemptible=True)
    await platform.passes()
    with pytest.raises(InvalidError, match="does not fit"):
        await platform.publish(name="equal", compute=compute)
    await platform.publish(name="urgent", compute=compute, priority=10)
    await platform.passes(20)
    night, urgent = await service(platform, "night"), await service(platform, "urgent")
    assert urgent.state == ServiceState.READY
    assert night.state == ServiceState.PENDING
    [told] = [item for item in night.conditions if item.type == "Preempted"]
    assert "makes room for service urgent, whose priority 10 is higher than 0" in told.message
    assert not [item for item in urgent.conditions if item.type == "Preempts"], "over when it is ready"
    async with platform.database.snapshot() as tx:
        page = await Events(tx).list(EventQuery(kind="service", name="urgent"))
    assert [item.message for item in page.items if item.action == "service.preempts"]
    await platform.services.update(platform.caller, "urgent", ServiceUpdate(stopped=True))
    await platform.passes(20)
    night = await service(platform, "night")
    assert night.state == ServiceState.READY
    assert not [item for item in night.conditions if item.type == "Preempted"]


async def planned(platform: Platform, compute: Compute, priority: int, replicas: int = 1) -> Plan:
    spec = ServiceSpec(model="demo", compute=compute, priority=priority, replicas=replicas)
    body = ServiceCreate(name="urgent", spec=spec)
    return await platform.services.plan(platform.caller, body, rest_url="http://platform")


async def test_a_plan_names_what_would_make_room_for_it(platform: Platform):
    compute = await largest(platform)
    published = await platform.publish(name="night", compute=compute, preemptible=True, priority=-2)
    assert published.plan.preempts == []
    await platform.passes()
    [replica] = (await platform.services.replicas(platform.caller, "night", offset=0, limit=9)).items
    named = Preempted(replica=replica.id, service="night", project="default", node=replica.node, priority=-2)
    assert (await planned(platform, compute, 10)).preempts == [named]
    assert (await planned(platform, Compute(memory_bytes=2 * GIB), 10)).preempts == [], "there is room beside it"
    alike = await planned(platform, compute, -2)
    assert (alike.fit.fits, alike.preempts) == (False, [])
    more = ServiceUpdate(spec=ServiceSpec(model="demo", compute=compute, preemptible=True, priority=5))
    own = await platform.services.plan_change(platform.caller, "night", more, rest_url="http://platform")
    assert own.preempts == [], "a service makes no room for itself"
    urgent = await platform.publish(name="urgent", compute=compute, priority=10)
    assert urgent.plan.preempts == [named]
    [revision] = (await platform.services.revisions(platform.caller, "urgent", offset=0, limit=9)).items
    assert revision.plan is not None
    assert revision.plan.preempts == [], "later readers may not see that service"
    await platform.passes(1)
    assert (await planned(platform, compute, 10)).preempts == [], "what finishes already is stopped for nobody else"


async def test_a_plan_names_no_service_that_its_reader_may_not_see(platform: Platform):
    compute = await largest(platform)
    await platform.publish(name="secret", compute=compute, preemptible=True, visibility=Visibility.PROJECT)
    await platform.passes()
    platform.caller = make_caller(Role.DEVELOPER, project="shop")
    async with platform.database.transaction() as tx:
        await Projects(tx).create("shop", "default", "", platform.clock.now())
    body = ServiceCreate(project="shop", spec=ServiceSpec(model="demo", compute=compute, priority=1))
    plan = await platform.services.plan(platform.caller, body, rest_url="http://platform")
    assert plan.preempts == [Preempted(priority=0)]


async def test_another_priority_restarts_nothing(platform: Platform):
    await platform.publish()
    await platform.passes()
    started = len(platform.runner.starts)
    spec = (await service(platform, "demo")).spec.model_copy(update={"priority": -5, "preemptible": True})
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=spec))
    await platform.passes()
    changed = await service(platform, "demo")
    assert (changed.spec.priority, changed.state) == (-5, ServiceState.READY)
    assert len(platform.runner.starts) == started


async def test_a_priority_above_the_usual_is_for_those_who_run_the_platform(platform: Platform):
    platform.caller = replace(platform.caller, platform=platform.caller.platform - {Permission.NODE_WRITE})
    with pytest.raises(ForbiddenError, match="node:write"):
        await platform.publish(priority=1)
    await platform.publish(priority=-1)
