"""Plans in a pool where projects borrow: what fits is what the scheduler would place, and who stops is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.clock import FakeClock
from tests.support.identity import add_project
from tests.support.runner import FakeRunner
from tests.support.services import Platform
from tests.unit.api.test_pool_changes import with_cards

from aicp.core.errors import InvalidError
from aicp.core.pool import PoolQuota
from aicp.core.service import Compute, Plan, ServiceCreate, ServiceSpec, ServiceUpdate
from aicp.store.database import Database
from aicp.store.pools import Pools

CARD = Compute(vendor="nvidia", accelerators=1)


@pytest.fixture
async def platform(sqlite: Database, clock: FakeClock) -> Platform:
    """Three cards, all of them held: one by default, its own, and two by lab, which borrows one of ops."""
    found = await Platform(sqlite, clock, FakeRunner(with_cards("node_a"))).prepare()
    await add_project(sqlite, clock, "lab", "ops")
    await lend(found, ops=1)
    await publish(found, "night", "default", preemptible=True, priority=-5)
    await publish(found, "wide", "lab", replicas=2)
    return found


async def lend(platform: Platform, ops: int) -> None:
    quotas = {"default": 1, "lab": 1, "ops": ops}
    async with platform.database.transaction() as tx:
        pool = await Pools(tx).get("default")
        given = tuple(PoolQuota(project=name, accelerators=limit) for name, limit in quotas.items())
        await Pools(tx).change(replace(pool, quotas=given, borrowing=True))


async def publish(platform: Platform, name: str, project: str, **spec: Any) -> None:
    body = ServiceCreate(name=name, project=project, spec=ServiceSpec(model="demo", compute=CARD, **spec))
    await platform.services.publish(platform.caller, body)
    await platform.passes()


async def planned(platform: Platform, project: str, **spec: Any) -> Plan:
    body = ServiceCreate(name="new", project=project, spec=ServiceSpec(model="demo", compute=CARD, **spec))
    return await platform.services.plan(platform.caller, body, rest_url="http://platform")


async def test_what_would_borrow_is_refused_where_nothing_is_left_to_borrow(platform: Platform):
    plan = await planned(platform, "default", priority=-9)
    assert not plan.fit.fits
    assert "would borrow 1 accelerator; other projects leave 0 accelerators" in plan.fit.reason
    assert plan.preempts == []
    with pytest.raises(InvalidError, match="would borrow"):
        await publish(platform, "new", "default", priority=-9)


async def test_nothing_makes_room_for_what_would_borrow(platform: Platform):
    await lend(platform, ops=2)
    plan = await planned(platform, "default", priority=-9)
    assert not plan.fit.fits
    assert "project default would borrow quota of pool default, for which no replica is stopped" in plan.fit.reason
    assert "free accelerator" in plan.fit.reason
    more = ServiceUpdate(spec=ServiceSpec(model="demo", compute=CARD, replicas=3))
    with pytest.raises(InvalidError, match="no replica is stopped"):
        await platform.services.update(platform.caller, "wide", more)


async def test_a_plan_names_what_its_owner_takes_back_before_what_is_less_important(platform: Platform):
    replicas = (await platform.services.replicas(platform.caller, "wide", offset=0, limit=9)).items
    for priority in (-9, 9):
        plan = await planned(platform, "ops", priority=priority)
        assert plan.fit.fits, plan.fit.reason
        [gone] = plan.preempts
        assert (gone.service, gone.replica) == ("wide", max(replica.id for replica in replicas))
    await publish(platform, "new", "ops")
    await platform.passes(20)
    assert (await platform.services.get(platform.caller, "new")).replicas_ready == 1
    assert (await platform.services.get(platform.caller, "night")).replicas_ready == 1
