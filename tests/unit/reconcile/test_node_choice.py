"""Labels that a node must carry and taints that keep replicas off, from the spec to the place."""

from __future__ import annotations

import pytest
from tests.support.clock import FakeClock
from tests.support.runner import FakeRunner, make_node_status
from tests.support.services import Platform

from aicp.core.errors import InvalidError
from aicp.core.node import Taint, TaintEffect
from aicp.core.service import Compute, ServiceSpec, ServiceUpdate
from aicp.store.database import Database
from aicp.store.nodes import Nodes
from aicp.store.replicas import Replicas


@pytest.fixture
async def platform(sqlite: Database, clock: FakeClock) -> Platform:
    runner = FakeRunner(make_node_status("node_a"), make_node_status("node_b"))
    return await Platform(sqlite, clock, runner).prepare()


async def mark(platform: Platform, node: str, **changes: object) -> None:
    async with platform.database.transaction() as tx:
        await Nodes(tx).change(node, **changes)


async def places(platform: Platform, service: str = "demo") -> set[str | None]:
    async with platform.database.snapshot() as tx:
        page = await Replicas(tx).list(service=service)
    return {item.node for item in page.items if item.ended_at is None}


async def test_a_replica_goes_where_the_labels_are(platform: Platform):
    await mark(platform, "node_b", labels={"zone": "b"})
    await platform.publish(replicas=3, compute=Compute(node_labels={"zone": "b"}))
    await platform.passes()
    assert await places(platform) == {"node-b"}
    with pytest.raises(InvalidError, match="lacks the label zone=c"):
        await platform.publish(name="other", compute=Compute(node_labels={"zone": "c"}))


@pytest.mark.parametrize("tolerated", [["gpu"], ["gpu=only"], ["other", "gpu"]])
async def test_a_taint_keeps_off_who_does_not_tolerate_it(platform: Platform, tolerated: list[str]):
    for node in ("node_a", "node_b"):
        await mark(platform, node, taints=[Taint(key="gpu", value="only")])
    with pytest.raises(InvalidError, match="kept for replicas that tolerate gpu=only"):
        await platform.publish(compute=Compute(tolerations=["gpu=other"]))
    await platform.publish(compute=Compute(tolerations=tolerated))
    await platform.passes()
    assert len(await places(platform)) == 1


async def test_a_node_to_be_avoided_is_the_last_choice(platform: Platform):
    await mark(platform, "node_a", taints=[Taint(key="old", effect=TaintEffect.PREFER_NO_SCHEDULE)])
    await platform.publish(replicas=3)
    await platform.passes()
    assert await places(platform) == {"node-b"}
    await platform.publish(name="at-home", compute=Compute(tolerations=["old"]))
    await platform.passes()
    assert await places(platform, "at-home") == {"node-a"}, "where less is promised"


async def test_what_runs_on_a_node_that_is_tainted_later_goes_on(platform: Platform):
    await platform.publish(replicas=2)
    await platform.passes()
    starts = list(platform.runner.starts)
    await mark(platform, "node_a", taints=[Taint(key="gpu")])
    await platform.passes()
    assert platform.runner.starts == starts
    spec = ServiceSpec(model="demo", replicas=2, compute=Compute(tolerations=["gpu"]))
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=spec))
    await platform.passes(20)
    assert len(platform.runner.starts) == 4, "another choice of nodes is another revision"
