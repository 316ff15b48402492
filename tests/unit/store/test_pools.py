"""Pools, their quotas, and what operators say of nodes, in the database."""

from __future__ import annotations

import pytest
from tests.support.clock import FakeClock
from tests.support.runner import make_node_status

from aicp.core.errors import NotFoundError
from aicp.core.node import NodeState, Taint, TaintEffect
from aicp.core.pool import PoolQuota, Purpose, TrainingWindow
from aicp.core.quantity import GIB
from aicp.store.database import Database
from aicp.store.nodes import Nodes
from aicp.store.pools import PoolIntent, Pools

NIGHT = TrainingWindow(days=[1, 2], start="22:00", end="06:00", time_zone="Asia/Taipei")
SHARED = PoolIntent(
    "shared",
    "At night for training.",
    Purpose.WINDOWS,
    (NIGHT,),
    {"zone": "a"},
    (PoolQuota(project="lab", accelerators=2, memory_bytes=96 * GIB), PoolQuota(project="web", compute_percent=0)),
)


async def test_a_pool_comes_back_as_it_was_put(database: Database, clock: FakeClock) -> None:
    async with database.transaction() as tx:
        await Pools(tx).ensure_default(clock.now())
        await Pools(tx).ensure_default(clock.now())
        await Pools(tx).add(SHARED, clock.now())
    async with database.snapshot() as tx:
        assert await Pools(tx).get("shared") == SHARED
        assert [pool.name for pool in await Pools(tx).list()] == ["default", "shared"]
        assert (await Pools(tx).list())[1] == SHARED
        assert await Pools(tx).find("none") is None
        with pytest.raises(NotFoundError, match="no pool 'none'") as refused:
            await Pools(tx).get("none")
    assert refused.value.hint == "Known: default, shared."


async def test_a_change_replaces_all_and_a_removal_takes_the_quotas_along(database: Database, clock: FakeClock) -> None:
    plain = PoolIntent("shared", labels={}, quotas=(PoolQuota(project="lab", accelerators=1),))
    async with database.transaction() as tx:
        await Pools(tx).add(SHARED, clock.now())
        await Pools(tx).change(plain)
        assert await Pools(tx).get("shared") == plain
        await Pools(tx).remove("shared")
        await Pools(tx).add(PoolIntent("shared", labels={}), clock.now())
        assert (await Pools(tx).get("shared")).quotas == ()


async def test_a_project_that_goes_takes_its_quotas_along(database: Database, clock: FakeClock) -> None:
    async with database.transaction() as tx:
        await Pools(tx).add(SHARED, clock.now())
        await Pools(tx).forget_project("lab")
        assert [quota.project for quota in (await Pools(tx).get("shared")).quotas] == ["web"]


async def test_a_node_keeps_what_is_said_of_it_while_its_agent_reports(database: Database, clock: FakeClock) -> None:
    taints = [Taint(key="gpu", value="only", effect=TaintEffect.PREFER_NO_SCHEDULE)]
    async with database.transaction() as tx:
        await Nodes(tx).seen(make_node_status(), clock.now(), pool="default")
        fresh = await Nodes(tx).get("node_a")
        assert (fresh.labels, fresh.taints, fresh.draining) == ({}, [], False)
        await Nodes(tx).change("node_a", pool="shared", labels={"zone": "a"}, taints=taints)
        await Nodes(tx).cordon("node_a", True, "Being drained by ada.", draining=True)
        await Nodes(tx).seen(make_node_status(), clock.now(), pool="default")
    async with database.transaction() as tx:
        node = await Nodes(tx).get("node_a")
        assert (node.pool, node.labels, node.taints, node.draining) == ("shared", {"zone": "a"}, taints, True)
        assert (node.state, node.reason) == (NodeState.CORDONED, "Being drained by ada.")
        await Nodes(tx).change("node_a", labels={})
        await Nodes(tx).cordon("node_a", False, None)
        node = await Nodes(tx).get("node_a")
        assert (node.labels, node.taints, node.draining, node.state) == ({}, taints, False, NodeState.READY)
        await Nodes(tx).remove("node_a")
        assert await Nodes(tx).find("node_a") is None
        with pytest.raises(NotFoundError):
            await Nodes(tx).remove("node_a")


async def test_a_pool_for_training_takes_no_replica_and_one_by_hours_only_outside_of_them(
    database: Database, clock: FakeClock
) -> None:
    whole = TrainingWindow(start="00:00", end="00:00")
    async with database.transaction() as tx:
        await Pools(tx).add(PoolIntent("training", purpose=Purpose.TRAINING), clock.now())
        await Pools(tx).add(PoolIntent("always", purpose=Purpose.WINDOWS, windows=(whole,)), clock.now())
        await Nodes(tx).seen(make_node_status("node_a"), clock.now(), pool="training")
        await Nodes(tx).seen(make_node_status("node_b"), clock.now(), pool="always")
        now = await Pools(tx).snapshot(clock.now())
        ever = await Pools(tx).snapshot()
    assert [node.unschedulable for node in now.nodes] == [
        "its pool is for training",
        "its pool is for training until 00:00 (UTC)",
    ]
    assert [node.unschedulable for node in ever.nodes] == ["its pool is for training", None]
