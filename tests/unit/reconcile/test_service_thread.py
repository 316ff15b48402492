"""From publish to a route, and back: store, use cases and loop over a runner without processes."""

from __future__ import annotations

import pytest
from tests.support.clock import FakeClock
from tests.support.runner import FakeRunner
from tests.support.services import Platform, make_version

from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.gateway import GatewayStatus
from aicp.core.launch import ReplicaState
from aicp.core.model import ModelCreate, ModelType, ModelUpdate, Visibility
from aicp.core.quantity import GIB
from aicp.core.service import ServiceCreate, ServiceSpec, ServiceState, ServiceUpdate
from aicp.store.database import Database
from aicp.store.gateways import Gateways
from aicp.store.models import Models
from aicp.store.replicas import Replicas


@pytest.fixture
async def platform(sqlite: Database, clock: FakeClock) -> Platform:
    return await Platform(sqlite, clock).prepare(make_version(), make_version(version="v2"))


async def test_publish_becomes_a_route(platform: Platform):
    published = await platform.publish("demo:v1")
    assert published.service.state == ServiceState.PENDING
    before = await platform.routes.current()
    assert [route.targets for route in before.routes] == [[]]
    await platform.passes()
    service = await platform.services.get(platform.caller, "demo")
    assert (service.state, service.reason) == (ServiceState.READY, "")
    assert service.observed_generation == service.serving_generation == 1
    table = await platform.routes.current()
    [target] = table.routes[0].targets
    assert target.address.startswith("unix:/run/rep_")
    assert target.token == "secret"
    assert table.etag != before.etag
    [launch] = platform.runner.launches.values()
    assert launch.members[0].launch.command == ["{python}", "-m", "small", "--name", "demo"]
    assert launch.members[0].model_files == [("model.safetensors", "0" * 64, GIB)]


async def test_the_reason_of_a_start_says_how_long_it_takes_already(platform: Platform):
    await platform.publish("demo:v1")
    for _ in range(3):
        await platform.loop.step()
    platform.runner.progress()
    await platform.loop.step()
    await platform.loop.step()
    platform.clock.advance(12)
    service = await platform.services.get(platform.caller, "demo")
    assert service.state == ServiceState.STARTING
    assert service.reason == "Loading: engine start 12 s"


async def test_an_update_serves_all_the_time_and_ends_on_the_new_version(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2")))
    for _ in range(15):
        await platform.passes(1)
        assert (await platform.routes.current()).routes[0].targets
    service = await platform.services.get(platform.caller, "demo")
    assert (service.state, service.model_version, service.serving_generation) == (ServiceState.READY, "demo:v2", 2)
    digests = {replica: launch.members[0].launch.model_digest for replica, launch in platform.runner.launches.items()}
    running = [digests[key] for key, seen in platform.runner.seen.items() if seen.state == ReplicaState.READY]
    assert running == ["demo-v2"]


async def test_a_route_promises_only_what_every_serving_revision_can_do(platform: Platform):
    await platform.publish("demo:v1", context_length=4096, users=2)
    await platform.passes()
    platform.runner.broken_models.add("demo-v2")
    wider = ServiceSpec(model="demo:v2", context_length=8192, users=2)
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=wider))
    await platform.passes(2)
    assert (await platform.routes.current()).routes[0].context_length == 4096
    platform.runner.broken_models.clear()
    await platform.passes(15)
    assert (await platform.services.get(platform.caller, "demo")).model_version == "demo:v2"
    assert (await platform.routes.current()).routes[0].context_length == 8192


async def test_a_replica_is_given_what_its_engine_computes_together(platform: Platform):
    await platform.publish("demo:v1", users=16)
    await platform.passes()
    platform.engine.continues = {"/v1/completions": "prompt"}
    assert (await platform.routes.current()).routes[0].continues == {"/v1/completions": "prompt"}
    [target] = (await platform.routes.current()).routes[0].targets
    assert target.max_requests is None, "an engine that names no bound gets everything"
    platform.engine.parallel = "lanes"
    [target] = (await platform.routes.current()).routes[0].targets
    assert target.max_requests == 16, "what is more waits in the gateway, by priority, and not in the engine's queue"


async def test_a_replica_of_short_work_has_its_next_batch_at_hand(platform: Platform):
    platform.engine.parallel = "lanes"
    async with platform.database.transaction() as tx:
        await Models(tx).create(ModelCreate(name="vectors", type=ModelType.EMBEDDING), platform.clock.now())
        await Models(tx).add_version(make_version("vectors"), ModelType.EMBEDDING)
    await platform.publish("vectors:v1", users=16)
    await platform.passes()
    [target] = (await platform.routes.current()).routes[0].targets
    assert target.max_requests == 32


async def test_an_update_to_another_type_of_model_is_refused(platform: Platform):
    async with platform.database.transaction() as tx:
        version = make_version("vectors")
        await Models(tx).create(ModelCreate(name="vectors", type=ModelType.EMBEDDING), platform.clock.now())
        await Models(tx).add_version(version, ModelType.EMBEDDING)
    await platform.publish("demo:v1")
    with pytest.raises(InvalidError, match="demo serves a model of type chat; vectors is of type embedding"):
        await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=ServiceSpec(model="vectors")))


async def test_an_update_that_crashes_is_rolled_back_with_the_reason(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    platform.runner.broken_models.add("demo-v2")
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2")))
    for _ in range(30):
        await platform.passes(1)
        assert (await platform.routes.current()).routes[0].targets
    service = await platform.services.get(platform.caller, "demo")
    assert (service.state, service.model_version) == (ServiceState.READY, "demo:v1")
    assert service.reason == "Revision 2 was rolled back: 3 starts failed: exit code 1"
    assert (service.generation, service.observed_generation, service.serving_generation) == (2, 2, 1)
    page = await platform.services.revisions(platform.caller, "demo", offset=0, limit=10)
    assert [(item.generation, item.outcome) for item in page.items] == [(2, "rolled_back"), (1, "ready")]
    assert any(item.type == "Updated" and item.status is False for item in service.conditions)


async def test_scaling_restarts_nothing_and_is_a_revision(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    await platform.services.update(platform.caller, "demo", ServiceUpdate(replicas=3))
    await platform.passes()
    service = await platform.services.get(platform.caller, "demo")
    assert (service.replicas_ready, service.generation, service.serving_generation) == (3, 2, 2)
    assert platform.runner.stops == []
    await platform.services.update(platform.caller, "demo", ServiceUpdate(replicas=1))
    await platform.passes()
    assert len(platform.runner.stops) == 2
    assert platform.runner.starts[0] not in platform.runner.stops


async def test_a_draining_replica_is_stopped_when_every_gateway_has_let_go(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    replica = platform.runner.starts[0]

    async def beat(etag: str, inflight: int) -> None:
        async with platform.database.transaction() as tx:
            status = GatewayStatus(id="g1", etag=etag, inflight={replica: inflight}, seen_at=platform.clock.now())
            await Gateways(tx).save(status)

    old = await platform.routes.current()
    await platform.services.update(platform.caller, "demo", ServiceUpdate(stopped=True))
    await beat(old.etag, 1)
    await platform.passes(3)
    new = await platform.routes.current()
    assert new.routes[0].targets == []
    await beat(old.etag, 0)
    await platform.passes(2)
    await beat(new.etag, 1)
    await platform.passes(2)
    assert platform.runner.stops == []
    await beat(new.etag, 0)
    await platform.passes(3)
    assert platform.runner.stops == [replica]
    service = await platform.services.get(platform.caller, "demo")
    assert service.state == ServiceState.STOPPED


async def test_draining_ends_after_the_drain_time_whatever_the_gateways_say(platform: Platform):
    await platform.publish("demo:v1", drain_seconds=5)
    await platform.passes()
    old = await platform.routes.current()
    await platform.services.update(platform.caller, "demo", ServiceUpdate(stopped=True))
    for _ in range(8):
        async with platform.database.transaction() as tx:
            status = GatewayStatus(id="g1", etag=old.etag, seen_at=platform.clock.now())
            await Gateways(tx).save(status)
        await platform.passes(1)
    assert len(platform.runner.stops) == 1


async def test_a_replica_that_is_being_stopped_is_not_stopped_again(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    [replica] = platform.runner.starts
    platform.runner.slow_stops = True
    await platform.services.update(platform.caller, "demo", ServiceUpdate(stopped=True))
    await platform.passes(3)
    assert platform.runner.stops == [replica]
    assert await platform.loop.step() == 0, "nothing is left to do, so the loop rests"
    platform.runner.say(replica, ReplicaState.READY)
    await platform.passes(3)
    assert platform.runner.stops == [replica, replica], "a stop that was lost is asked again"
    platform.runner.say(replica, ReplicaState.STOPPED)
    await platform.passes(2)
    assert (await platform.services.get(platform.caller, "demo")).state == ServiceState.STOPPED
    assert len(platform.runner.stops) == 2


async def test_an_engine_restarted_by_its_node_leaves_the_route_and_comes_back(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    replica = platform.runner.starts[0]
    platform.runner.say(replica, ReplicaState.STARTING, reason="killed by signal 9", restarts=1)
    await platform.passes(1)
    assert (await platform.routes.current()).routes[0].targets == []
    await platform.passes(3)
    assert len((await platform.routes.current()).routes[0].targets) == 1
    assert platform.runner.starts == [replica]


async def test_a_new_control_process_adopts_what_runs(platform: Platform, sqlite: Database, clock: FakeClock):
    await platform.publish("demo:v1")
    await platform.passes()
    after = Platform(sqlite, clock, runner=platform.runner)
    await after.passes(3)
    assert len(after.runner.starts) == 1
    assert after.runner.stops == []


async def test_a_node_that_was_started_anew_gets_its_replicas_again(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    [replica] = platform.runner.starts
    platform.runner.lose_all()
    await platform.passes()
    assert platform.runner.starts == [replica, replica]
    assert (await platform.services.get(platform.caller, "demo")).state == ServiceState.READY


async def test_replicas_of_a_lost_node_are_lost_and_found(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    platform.runner.silent.add("node_a")
    for _ in range(20):
        await platform.node_loop.step()
        await platform.passes(1)
    service = await platform.services.get(platform.caller, "demo")
    assert service.replicas_ready == 0
    assert (await platform.routes.current()).routes[0].targets == []
    async with platform.database.snapshot() as tx:
        states = {item.replica.state for item in await Replicas(tx).current()}
    assert states == {ReplicaState.LOST, ReplicaState.PENDING}
    platform.runner.silent.clear()
    await platform.node_loop.step()
    await platform.passes()
    assert (await platform.services.get(platform.caller, "demo")).replicas_ready == 1
    assert len(platform.runner.starts) <= 2


async def test_a_failing_start_is_a_condition_and_is_tried_again(platform: Platform):
    platform.runner.failing_starts = 2
    await platform.publish("demo:v1")
    await platform.passes(2, seconds=0)
    service = await platform.services.get(platform.caller, "demo")
    [condition] = [item for item in service.conditions if item.type == "Reconciled"]
    assert condition.status is False
    assert condition.message.startswith("The agent is busy. (try 1, again at ")
    await platform.passes()
    service = await platform.services.get(platform.caller, "demo")
    [condition] = [item for item in service.conditions if item.type == "Reconciled"]
    assert (service.state, condition.status) == (ServiceState.READY, True)


async def test_delete_ends_with_nothing_but_the_log(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    await platform.services.delete(platform.caller, "demo")
    assert (await platform.routes.current()).routes == []
    with pytest.raises(ConflictError, match="still stopping"):
        await platform.publish("demo:v1")
    await platform.passes()
    with pytest.raises(NotFoundError):
        await platform.services.get(platform.caller, "demo")
    async with platform.database.snapshot() as tx:
        [left] = (await Replicas(tx).list(service="demo")).items
    assert left.state == ReplicaState.STOPPED
    await platform.publish("demo:v1")


async def test_what_does_not_fit_is_refused_with_numbers(platform: Platform):
    with pytest.raises(InvalidError) as refused:
        await platform.publish("demo:v1", users=100, context_length=32768 * 4)
    assert "made for a context of 32768" in refused.value.message
    with pytest.raises(InvalidError) as refused:
        await platform.publish("demo:v1", users=1000, context_length=32768)
    assert refused.value.code == "does_not_fit"
    assert refused.value.message.startswith(
        "demo does not fit: No node in pool default has 36 GiB free (largest: 16 GiB on node node-a)."
    )
    assert "250 users" in (refused.value.hint or "")
    assert (await platform.services.list(platform.caller)).total == 0


async def test_a_projects_own_model_is_published_for_that_project_only(platform: Platform):
    async with platform.database.transaction() as tx:
        await Models(tx).update("demo", ModelUpdate(visibility=Visibility.PROJECT), platform.clock.now())
    await platform.publish("demo:v1", visibility=Visibility.PUBLIC)
    [route] = (await platform.routes.current()).routes
    assert route.project == "default"
    body = ServiceCreate(name="stolen", project="other", spec=ServiceSpec(model="demo"))
    with pytest.raises(InvalidError, match="belongs to project 'default'"):
        await platform.services.plan(platform.caller, body, rest_url="http://platform")


async def test_create_key_answers_a_key_for_this_service_only(platform: Platform):
    body = ServiceCreate(name="chat", spec=ServiceSpec(model="demo"), create_key=True)
    published = await platform.services.publish(platform.caller, body)
    assert published.key == "sk-k1-secret"
    assert platform.keys.made[0].models == ["chat"]
    assert "Bearer sk-k1-secret" in published.curl
    assert 'api_key="sk-k1-secret"' in published.python


async def test_manual_rollback_goes_back_and_gives_up_an_update_under_way(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2")))
    await platform.loop.step()
    await platform.services.rollback(platform.caller, "demo")
    await platform.passes()
    assert (await platform.services.get(platform.caller, "demo")).model_version == "demo:v1"
    await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2")))
    await platform.passes()
    service = await platform.services.rollback(platform.caller, "demo", 1)
    await platform.passes()
    service = await platform.services.get(platform.caller, "demo")
    assert (service.model_version, service.generation, service.state) == ("demo:v1", 5, ServiceState.READY)


async def test_stop_and_start_are_generations_to_wait_for(platform: Platform):
    await platform.publish("demo:v1")
    await platform.passes()
    for stopped, state in ((True, ServiceState.STOPPED), (False, ServiceState.READY)):
        before = await platform.services.update(platform.caller, "demo", ServiceUpdate(stopped=stopped))
        assert before.observed_generation < before.generation
        await platform.passes()
        service = await platform.services.get(platform.caller, "demo")
        assert (service.state, service.observed_generation) == (state, before.generation)
    page = await platform.services.revisions(platform.caller, "demo", offset=0, limit=10)
    assert page.total == 1
    same = await platform.services.update(platform.caller, "demo", ServiceUpdate(stopped=False, replicas=1))
    assert same.generation == service.generation


async def test_an_update_without_room_beside_the_old_one_is_refused(sqlite: Database, clock: FakeClock):
    platform = Platform(sqlite, clock, runner=FakeRunner())
    await platform.prepare(make_version(weight_bytes=9 * GIB), make_version(version="v2", weight_bytes=9 * GIB))
    await platform.publish("demo:v1")
    await platform.passes()
    with pytest.raises(ConflictError, match="both do not fit"):
        await platform.services.update(platform.caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2")))
    await platform.services.update(platform.caller, "demo", ServiceUpdate(stopped=True))
    await platform.passes()
    await platform.services.update(
        platform.caller, "demo", ServiceUpdate(spec=ServiceSpec(model="demo:v2"), stopped=False)
    )
    await platform.passes()
    assert (await platform.services.get(platform.caller, "demo")).model_version == "demo:v2"
    with pytest.raises(ConflictError, match="both do not fit"):
        await platform.services.rollback(platform.caller, "demo")
