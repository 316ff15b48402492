"""From what gateways tell to replicas that come and go, over a runner without processes."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.clock import FakeClock
from tests.support.members import Members
from tests.support.services import Platform, make_version

from aicp.agent.engine_door import EngineDoor
from aicp.core.accelerator import MetricSample
from aicp.core.autoscale import Autoscale
from aicp.core.errors import ConflictError
from aicp.core.event import EventQuery
from aicp.core.gateway import GatewayStatus, ServiceLoad
from aicp.core.launch import ReplicaState
from aicp.core.mutual import MutualAddress, replica_name
from aicp.core.service import Service, ServiceSpec, ServiceState, ServiceUpdate
from aicp.reconcile.autoscaling import Autoscaler
from aicp.reconcile.kv_use import KvUse
from aicp.reconcile.loop import Loop
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.gateways import Gateways
from aicp.store.metrics import Metrics
from aicp.store.replicas import Replicas
from aicp.store.scales import Scales

RULE = Autoscale(min_replicas=0, max_replicas=3, queued_per_replica=2, idle_seconds=60, down_seconds=20)


class World:
    """A platform whose gateway says what the test wants."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.scaler = Autoscaler(platform.database, platform.engines, platform.clock, platform.bell)
        self.loop = Loop(self.scaler, platform.bell, platform.clock)
        self.load = ServiceLoad()
        self.silent = False

    async def publish(self, rule: Autoscale | None = RULE, **spec: Any) -> None:
        await self.platform.publish("demo:v1", autoscale=rule, **spec)

    async def passes(self, count: int = 6, seconds: float = 1.0) -> Service:
        """Passes of both loops, the gateway heard of each time."""
        platform = self.platform
        for _ in range(count):
            if not self.silent:
                await self.tell()
            await self.loop.step()
            await platform.passes(1, seconds)
        return await platform.services.get(platform.caller, "demo")

    async def tell(self) -> None:
        now = self.platform.clock.now()
        async with self.platform.database.transaction() as tx:
            etag = (await self.platform.routes.current()).etag
            status = GatewayStatus(id="gw", etag=etag, seen_at=now, loads={"demo": self.load})
            await Gateways(tx).save(status)

    async def events(self) -> list[str]:
        async with self.platform.database.snapshot() as tx:
            page = await Events(tx).list(EventQuery(action="service.scaled"))
        return [event.message for event in reversed(page.items)]


@pytest.fixture
async def world(sqlite: Database, clock: FakeClock) -> World:
    return World(await Platform(sqlite, clock).prepare(make_version(), make_version(version="v2")))


@pytest.fixture
async def on_both(database: Database, clock: FakeClock) -> World:
    """A world on SQLite in one run of the test, on PostgreSQL in the other."""
    return World(await Platform(database, clock).prepare(make_version(), make_version(version="v2")))


async def test_an_idle_service_goes_to_sleep_and_a_request_wakes_it(on_both: World) -> None:
    world = on_both
    await world.publish()
    service = await world.passes()
    assert (service.state, service.replicas_ready) == (ServiceState.READY, 1)
    assert service.scale is not None
    assert (service.scale.wanted, service.scale.min_replicas, service.scale.max_replicas) == (1, 0, 3)
    service = await world.passes(8, 10)
    assert (service.state, service.replicas_ready, service.replicas_wanted) == (ServiceState.SLEEPING, 0, 0)
    assert service.reason == "Nobody uses it now; the next request wakes it"
    assert service.scale is not None
    assert service.scale.reason == "No request came for 60 s"
    [route] = (await world.platform.routes.current()).routes
    assert route.wake is not None
    assert (route.wake.wake_seconds, route.scales, route.endpoints) == (None, True, ["/v1/chat/completions"])

    world.load = ServiceLoad(held=3)
    service = await world.passes()
    assert service.state == ServiceState.READY
    assert service.scale is not None
    assert service.scale.reason == "3 requests wait, and 2 may at each replica"
    assert 0 < (service.scale.wake_seconds or 0) <= 10
    condition = next(item for item in service.conditions if item.type == "Scaled")
    assert (condition.status, condition.reason, condition.message) == (True, "Woken", service.scale.reason)
    [route] = (await world.platform.routes.current()).routes
    assert route.targets
    assert route.wake is not None
    assert (route.wake.wake_seconds or 0) >= (service.scale.wake_seconds or 0)
    assert await world.events() == [
        "Replicas wanted of demo: 0 instead of 1. No request came for 60 s.",
        "Replicas wanted of demo: 2 instead of 0. 3 requests wait, and 2 may at each replica.",
    ]


async def test_one_that_was_woken_in_vain_stays_awake_for_a_while(world: World) -> None:
    await world.publish()
    await world.passes(9, 10)
    world.load = ServiceLoad(held=1)
    await world.passes(2)
    world.load = ServiceLoad()
    assert (await world.passes(4, 7)).replicas_ready == 1
    assert (await world.passes(9, 10)).state == ServiceState.SLEEPING


async def test_replicas_follow_the_queue_up_at_once_and_down_later(world: World) -> None:
    await world.publish()
    await world.passes()
    world.load = ServiceLoad(queued=5, running=2)
    service = await world.passes()
    assert (service.replicas_ready, service.replicas_wanted) == (3, 3)
    launched = set(world.platform.runner.launches)
    world.load = ServiceLoad(running=1)
    assert (await world.passes(3, 5)).replicas_wanted == 3
    service = await world.passes(5, 5)
    assert (service.replicas_wanted, service.replicas_ready, service.state) == (1, 1, ServiceState.READY)
    assert set(world.platform.runner.launches) == launched


async def test_other_scaling_restarts_nothing_and_can_be_taken_back(on_both: World) -> None:
    world = on_both
    await world.publish()
    await world.passes()
    [replica] = world.platform.runner.launches
    services, caller = world.platform.services, world.platform.caller
    wider = RULE.model_copy(update={"min_replicas": 1, "max_replicas": 2})
    await services.update(caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v1", autoscale=wider)))
    service = await world.passes()
    assert (service.generation, service.observed_generation, service.state) == (2, 2, ServiceState.READY)
    assert list(world.platform.runner.launches) == [replica]
    assert service.scale is not None
    assert (service.scale.min_replicas, service.scale.max_replicas) == (1, 2)
    with pytest.raises(ConflictError, match="scales itself between 1 and 2") as raised:
        await services.update(caller, "demo", ServiceUpdate(replicas=3))
    assert "--no-autoscale --replicas 3" in (raised.value.hint or "")
    await services.update(caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v1", replicas=2)))
    service = await world.passes()
    assert (service.scale, service.replicas_ready) == (None, 2)
    assert replica in world.platform.runner.launches


async def test_a_roll_back_keeps_the_scaling_of_now(world: World) -> None:
    await world.publish(None)
    await world.passes()
    services, caller = world.platform.services, world.platform.caller
    await services.update(caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2", autoscale=RULE)))
    await world.passes()
    assert (await services.rollback(caller, "demo")).spec.autoscale == RULE


@pytest.mark.parametrize("by_hand", [True, False])
async def test_giving_up_an_update_keeps_the_scaling_that_was_changed_meanwhile(on_both: World, by_hand: bool) -> None:
    world, platform = on_both, on_both.platform
    await world.publish(None)
    await world.passes()
    platform.runner.broken_models.add("demo-v2")
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2")))
    await world.passes(1)
    wider = RULE.model_copy(update={"min_replicas": 2})
    scaled = ServiceSpec(model="demo:v2", replicas=2, autoscale=wider)
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=scaled))
    if by_hand:
        await platform.services.rollback(platform.caller, "demo")
    service = await world.passes(30)
    assert (service.model_version, service.state, service.replicas_ready) == ("demo:v1", ServiceState.READY, 2)
    assert (service.spec.replicas, service.spec.autoscale) == (2, wider)
    assert (service.generation, service.observed_generation, service.serving_generation) == (4, 4, 4)
    assert service.reason.startswith("Revision 3 was rolled back: ")
    page = await platform.services.revisions(platform.caller, "demo", offset=0, limit=10)
    assert [(item.generation, item.outcome) for item in page.items] == [
        (4, "ready"), (3, "rolled_back"), (2, "rolled_back"), (1, "ready"),
    ]  # fmt: skip
    assert page.items[0].plan.replicas == 2


async def test_without_a_word_of_gateways_nothing_goes(world: World) -> None:
    await world.publish()
    await world.passes()
    world.silent = True
    assert (await world.passes(8, 20)).replicas_ready == 1


async def test_a_stopped_one_sleeps_no_more_and_begins_anew(world: World) -> None:
    await world.publish()
    await world.passes(9, 10)
    services, caller = world.platform.services, world.platform.caller
    await services.update(caller, "demo", ServiceUpdate(stopped=True))
    world.load = ServiceLoad(held=1)
    service = await world.passes()
    assert (service.state, service.scale) == (ServiceState.STOPPED, None)
    assert (await world.platform.routes.current()).routes[0].wake is None
    world.load = ServiceLoad()
    await services.update(caller, "demo", ServiceUpdate(stopped=False))
    assert (await world.passes()).replicas_ready == 1


async def test_a_restart_forgets_no_number_and_takes_nothing_away_early(world: World) -> None:
    await world.publish()
    world.load = ServiceLoad(queued=5)
    await world.passes()
    world.load = ServiceLoad()
    await world.passes(3, 5)
    again = World(world.platform)
    assert (await again.passes(3, 5)).replicas_wanted == 3
    assert (await again.passes(3, 5)).replicas_wanted == 1


async def test_a_new_version_of_a_sleeper_is_tried_when_it_wakes(world: World) -> None:
    await world.publish()
    await world.passes(9, 10)
    services, caller = world.platform.services, world.platform.caller
    await services.update(caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2", autoscale=RULE)))
    assert (await world.passes()).state == ServiceState.SLEEPING
    world.load = ServiceLoad(held=1)
    service = await world.passes()
    assert (service.state, service.model_version, service.serving_generation) == (ServiceState.READY, "demo:v2", 2)


async def test_slow_first_tokens_make_more_once_those_of_the_wake_are_past(world: World) -> None:
    await world.publish(Autoscale(max_replicas=4, ttft_ms=500))
    world.load = ServiceLoad(running=2)

    async def slow() -> None:
        labels = {"service": "demo", "quantile": "p99"}
        sample = MetricSample(name="ttft_ms", labels=labels, at=world.platform.clock.now(), value=2000)
        async with world.platform.database.transaction() as tx:
            await Metrics(tx).add([sample])

    await slow()
    assert (await world.passes()).replicas_wanted == 1
    await world.passes(5, 20)
    await slow()
    service = await world.passes(3)
    assert service.scale is not None
    assert (service.scale.wanted, service.scale.reason) == (2, "First tokens take 2000 ms, and 500 ms are wanted")


async def test_a_removed_service_leaves_no_scale(world: World) -> None:
    await world.publish()
    await world.passes()
    await world.platform.services.delete(world.platform.caller, "demo")
    world.platform.clock.advance(timedelta(minutes=5).total_seconds())
    for _ in range(5):
        await world.loop.step()
        await world.platform.passes(2)
    async with world.platform.database.snapshot() as tx:
        assert await Scales(tx).all() == {}
    assert all(seen.state != ReplicaState.READY for seen in world.platform.runner.seen.values())


def test_an_engine_says_how_full_its_caches_are(world: World) -> None:
    world.platform.engine.metrics = {"kv_cache_usage_ratio": "vllm:kv_cache_usage_perc"}
    use = KvUse(world.platform.engines, world.platform.clock)
    text = '# HELP x\nvllm:kv_cache_usage_perc{engine="0"} 0.25\nvllm:kv_cache_usage_perc{engine="1"} 7.5e-1\n'
    assert use.read(text) == 0.5
    assert use.read("vllm:kv_cache_usage_percent 0.9\n") is None


async def test_an_engine_on_a_joined_node_is_asked_through_its_nodes_door(world: World, tmp_path: Path) -> None:
    world.platform.engine.metrics = {"kv_cache_usage_ratio": "vllm:kv_cache_usage_perc"}
    members, name = Members(tmp_path / "authority"), replica_name("rep_1", "node_1")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"vllm:kv_cache_usage_perc 0.25\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_unix_server(answer, tmp_path / "e.sock")
    door = EngineDoor({name: f"unix:{tmp_path / 'e.sock'}"}.get)
    await door.open(listener, members.node("node_1").server())
    await world.publish()
    await world.passes()
    async with world.platform.database.snapshot() as tx:
        item = (await Replicas(tx).charged())[0]
    address = str(MutualAddress(name, "127.0.0.1", listener.getsockname()[1]))
    item = replace(item, replica=item.replica.model_copy(update={"address": address}))
    engines, clock = world.platform.engines, world.platform.clock
    assert await KvUse(engines, clock, members.control().client).of([item]) == {item.service_id: 25.0}
    assert await KvUse(engines, clock).of([item]) == {}, "without a certificate nothing is known, and nothing breaks"
    door.close()
    server.close()
