"""Services, revisions, replicas, nodes and pools in both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.clock import FakeClock
from tests.support.runner import make_node_status
from tests.support.services import make_version

from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.launch import Allocation, ReplicaState
from aicp.core.model import ModelType
from aicp.core.node import NodeState
from aicp.core.quantity import GIB
from aicp.core.service import Fit, Mode, Plan, ServiceSpec
from aicp.scheduler.placement import CPU, Requirement
from aicp.store.database import Database, Transaction
from aicp.store.nodes import Nodes
from aicp.store.pools import Pools
from aicp.store.replicas import Replicas
from aicp.store.revisions import READY, ROLLED_BACK, Revision, Revisions
from aicp.store.routes import RouteStates
from aicp.store.services import Services

SPEC = ServiceSpec(model="demo")
NEED = Requirement("default", CPU, 0, 0, 1.0, 2 * GIB)
PLAN = Plan(
    name="demo",
    model="demo",
    version="v1",
    engine="small",
    engine_version="2.0",
    variant="cpu",
    mode=Mode.BALANCED,
    pool="default",
    replicas=1,
    context_length=1,
    users=1,
    cpu_cores=1,
    memory_bytes=1,
    memory=[],
    choices=[],
    fit=Fit(fits=True, reason=""),
)


async def make_service(tx: Transaction, clock: FakeClock, name: str = "demo") -> str:
    service_id = await Services(tx).create(name, "default", "", ModelType.CHAT, SPEC, clock.now())
    await add_revision(tx, clock, service_id, 1, 1)
    return service_id


async def add_revision(tx: Transaction, clock: FakeClock, service_id: str, generation: int, template: int) -> None:
    revision = Revision(service_id, generation, template, SPEC, ModelType.CHAT, make_version(), NEED, PLAN)
    await Revisions(tx).add(revision, clock.now())


def allocation(node_id: str = "node_a") -> Allocation:
    return Allocation(node_id=node_id, devices=[], cpu_cores=1, memory_bytes=2 * GIB)


async def test_a_revision_comes_back_whole(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        service_id = await make_service(tx, clock)
        revision = await Revisions(tx).get(service_id, 1)
    assert revision.requirement == NEED
    assert (revision.version, revision.plan, revision.spec) == (make_version(), PLAN, SPEC)
    with pytest.raises(NotFoundError):
        async with database.snapshot() as tx:
            await Revisions(tx).get(service_id, 9)


async def test_two_writers_of_one_generation_cannot_both_win(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        await make_service(tx, clock)
        service = await Services(tx).get("demo")
    async with database.transaction() as tx:
        assert await Services(tx).advance(service, clock.now(), spec=SPEC) == 2
    with pytest.raises(ConflictError, match="changed or deleted by someone else"):
        async with database.transaction() as tx:
            await Services(tx).advance(service, clock.now(), spec=SPEC)


async def test_the_newest_revision_of_each_template_counts_until_it_is_rolled_back(
    database: Database, clock: FakeClock
):
    async with database.transaction() as tx:
        service_id = await make_service(tx, clock)
        for generation, template in ((2, 1), (3, 3), (4, 3)):
            await add_revision(tx, clock, service_id, generation, template)
        assert await Revisions(tx).settle(service_id, 1, READY) == 2
        newest = (await Revisions(tx).newest())[service_id]
        assert [(item.generation, item.outcome) for item in newest] == [(4, "pending"), (2, "ready")]
        assert await Revisions(tx).settle(service_id, 3, ROLLED_BACK, "exit 1") == 4
        assert [item.generation for item in (await Revisions(tx).newest(service_id))[service_id]] == [2]
        assert await Revisions(tx).rolled_back() == {service_id: (4, "exit 1")}
        assert await Revisions(tx).settle(service_id, 3, READY) is None
        page = await Revisions(tx).list(service_id, limit=2)
    assert (page.total, [item.generation for item in page.items]) == (4, [4, 3])


async def test_search_takes_no_wildcards_and_pages_are_ordered(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        for name in ("b_1", "a-1", "b-2"):
            await make_service(tx, clock, name)
        page = await Services(tx).list(search="b_", projects=["default"])
        assert [service.name for service in page.items] == ["b_1"]
        page = await Services(tx).list(sort="-name", offset=1, limit=1)
        assert (page.total, [service.name for service in page.items]) == (3, ["b-2"])
        names = [
            [service.name for service in (await Services(tx).list(**query)).items]
            for query in (
                {"search": "demo:v1 small b"},  # words, each anywhere: name, description, model:version, engine
                {"mode": "custom"},
                {"mode": "balanced", "sort": "model", "limit": 1},
                {"sort": "-requests", "ranks": {"b_1": 0.5, "b-2": 3.0}},
                {"sort": "requests", "ranks": {"b_1": 0.5}, "limit": 2},
                {"sort": "-requests", "ranks": {}},
            )
        ]
    assert names == [["b-2", "b_1"], [], ["a-1"], ["b-2", "b_1", "a-1"], ["a-1", "b-2"], ["a-1", "b-2", "b_1"]]


async def test_transition_is_checked_and_keeps_the_first_times(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        replica = await Replicas(tx).create("svc", "demo", "default", 1, clock.now())
        await Replicas(tx).place(replica.id, allocation(), "node-a", clock.now())
        await Replicas(tx).transition(replica.id, ReplicaState.LOADING, clock.now(), pid=7)
        first = clock.now()
        clock.advance(5)
        await Replicas(tx).transition(replica.id, ReplicaState.READY, clock.now(), address="unix:/x", token="t")
        ready = clock.now()
        clock.advance(5)
        await Replicas(tx).transition(replica.id, ReplicaState.LOADING, clock.now())
        await Replicas(tx).transition(replica.id, ReplicaState.READY, clock.now())
        assert not await Replicas(tx).transition(replica.id, ReplicaState.READY, clock.now(), address="unix:/x")
        found = await Replicas(tx).get(replica.id)
        assert (found.loading_at, found.replica.ready_at) == (first, ready)
        with pytest.raises(ConflictError, match="A replica that is ready cannot become pending"):
            await Replicas(tx).transition(replica.id, ReplicaState.PENDING, clock.now())
        await Replicas(tx).transition(replica.id, ReplicaState.FAILED, clock.now(), reason="gone")
        found = await Replicas(tx).get(replica.id)
    assert (found.token, found.replica.address, found.replica.pid, found.running) == (None, None, None, False)
    assert found.replica.ended_at == clock.now()


async def test_only_the_newest_ended_replicas_are_looked_at_and_old_ones_forgotten(
    database: Database, clock: FakeClock
):
    async with database.transaction() as tx:
        for _ in range(5):
            replica = await Replicas(tx).create("svc", "demo", "default", 1, clock.now())
            await Replicas(tx).transition(replica.id, ReplicaState.STOPPED, clock.now())
            clock.advance(60)
        live = await Replicas(tx).create("svc", "demo", "default", 1, clock.now())
        current = await Replicas(tx).current(ended_per_service=2)
        assert len(current) == 3
        assert current[-1].replica.id == live.id
        gone = await Replicas(tx).forget(clock.now() - timedelta(seconds=150))
        assert len(gone) == 3
        assert (await Replicas(tx).list(service="demo")).total == 3


async def test_memory_of_other_programs_is_not_free(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        await Pools(tx).ensure_default(clock.now())
        status = make_node_status().model_copy(update={"memory_used_bytes": 6 * GIB})
        await Nodes(tx).seen(status, clock.now(), pool="default")
        replica = await Replicas(tx).create("svc", "demo", "default", 1, clock.now())
        await Replicas(tx).place(replica.id, allocation(), "node-a", clock.now())
        await Replicas(tx).transition(replica.id, ReplicaState.STARTING, clock.now(), memory_bytes=1 * GIB)
        snapshot = await Pools(tx).snapshot()
    # 16 in all, 5 held by others, 2 promised to the replica of which it uses 1.
    assert snapshot.memory_free(snapshot.nodes[0]) == 9 * GIB


async def test_a_node_keeps_its_cordon_while_it_is_lost(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        assert await Nodes(tx).seen(make_node_status(), clock.now(), pool="default") is None
        await Nodes(tx).cordon("node_a", True, "Cordoned by ada.")
        assert await Nodes(tx).mark_lost("node_a", "silent")
        assert not await Nodes(tx).mark_lost("node_a", "silent")
        assert (await Nodes(tx).get("node-a")).state == NodeState.LOST
        assert await Nodes(tx).seen(make_node_status(), clock.now(), pool="other") == NodeState.LOST
        node = await Nodes(tx).get("node_a")
    assert (node.state, node.pool) == (NodeState.CORDONED, "default")


async def test_the_current_route_is_one_row(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        assert await RouteStates(tx).current() is None
        await RouteStates(tx).publish("a", ["r1"], clock.now())
        await RouteStates(tx).publish("b", [], clock.now())
        assert await RouteStates(tx).current() == ("b", frozenset())
