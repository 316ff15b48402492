"""What every runner keeps, shown on a real agent with real processes, and on a cluster whose pods a test moves on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.agent_process import AgentProcess, eventually, tiny_launch
from tests.support.kubernetes_world import KubernetesWorld

from aicp.core.errors import InvalidError, NotFoundError, UnavailableError
from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.core.registry import Registry
from aicp.runners.base import AgentAddress, Runner, RunnerDriver, StreamsLogs

REGISTRY = Registry[RunnerDriver]("aicp.runners")
CLUSTERS = {"kubernetes"}
"""Runners that reach no agents."""
OVER_AGENTS = [name for name in REGISTRY.names() if name not in CLUSTERS]
Connect = Callable[..., Runner]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[AgentProcess]:
    process = AgentProcess(tmp_path / "data")
    await process.start()
    yield process
    await process.end()


@pytest.fixture(params=OVER_AGENTS)
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    made: list[Runner] = []

    def make(*agents: AgentProcess, absent: bool = False) -> Runner:
        addresses = [
            AgentAddress(
                f"unix:{one.data_dir / 'agent' / 'agent.sock'}", (one.data_dir / "run" / "internal.token").read_text()
            )
            for one in agents
        ]
        if absent:
            addresses.append(AgentAddress("unix:/nowhere/agent.sock", "x"))
        made.append(REGISTRY.get(request.param).connect(addresses))
        return made[-1]

    yield make
    for runner in made:
        await runner.close()


@pytest.fixture(params=REGISTRY.names())
async def runner(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runner]:
    """A runner over one place that works, of every kind there is."""
    if request.param not in CLUSTERS:
        process = request.getfixturevalue("agent")
        socket, token = process.data_dir / "agent" / "agent.sock", process.data_dir / "run" / "internal.token"
        made = REGISTRY.get(request.param).connect([AgentAddress(f"unix:{socket}", token.read_text())])
        yield made
        await made.close()
        return
    world = KubernetesWorld()
    async with world.serve(tmp_path):
        moving = asyncio.create_task(world.controllers.keep_moving())
        yield world.runner()
        moving.cancel()
        with suppress(asyncio.CancelledError):
            await moving


async def until(runner: Runner, state: ReplicaState) -> ObservedReplica:
    async def check() -> ObservedReplica | None:
        return next((seen for seen in await runner.observe() if seen.state is state), None)

    return await eventually(f"a replica is {state}", check)


async def test_the_same_life_everywhere(runner: Runner) -> None:
    (node,) = await runner.nodes()
    assert node.cpu_cores >= 1
    assert any(device.vendor == "cpu" for device in node.accelerators)
    launch = tiny_launch(node.node_id, network_command=["{python}", "-m", "tiny", "{port}"])
    assert (await runner.start(launch)).state in (ReplicaState.STARTING, ReplicaState.LOADING)
    ready = await until(runner, ReplicaState.READY)
    assert (ready.replica_id, ready.generation) == ("rep_1", 1)
    assert [member.node_id for member in ready.members] == [node.node_id]
    assert ready.members[0].limits is not None
    assert ready.address
    assert ready.token
    await runner.start(launch)
    again = await until(runner, ReplicaState.READY)
    assert (again.address, again.token, again.restarts) == (ready.address, ready.token, 0), "starting is idempotent"
    await runner.stop("rep_1", 1, 2.0)
    await until(runner, ReplicaState.STOPPED)
    await runner.stop("rep_1", 1, 2.0)
    await runner.stop("rep_unknown", 1, 2.0)
    (node,) = await runner.nodes()


async def test_starts_observes_and_stops(agent: AgentProcess, connect: Connect) -> None:
    runner = connect(agent)
    (node,) = await runner.nodes()
    assert node.cpu_cores >= 1
    assert any(device.vendor == "cpu" for device in node.accelerators)
    launch = tiny_launch(node.node_id)
    assert (await runner.start(launch)).state in (ReplicaState.STARTING, ReplicaState.LOADING)
    ready = await until(runner, ReplicaState.READY)
    assert (ready.replica_id, ready.generation) == ("rep_1", 1)
    assert ready.address
    again = await runner.start(launch)
    assert again.members[0].pid == ready.members[0].pid, "starting is idempotent"
    await runner.stop("rep_1", 1, 2.0)
    await until(runner, ReplicaState.STOPPED)
    await runner.stop("rep_1", 1, 2.0)
    await runner.stop("rep_unknown", 1, 2.0)


async def test_logs_of_running_and_ended_replicas(agent: AgentProcess, connect: Connect) -> None:
    runner = connect(agent)
    if not isinstance(runner, StreamsLogs):
        pytest.skip("this runner streams no logs")
    (node,) = await runner.nodes()
    await runner.start(tiny_launch(node.node_id))
    await until(runner, ReplicaState.READY)
    await runner.stop("rep_1", 1, 2.0)
    await until(runner, ReplicaState.STOPPED)
    text = "".join([piece async for piece in runner.log("rep_1", tail=1000)])
    assert "GET /health" in text
    with pytest.raises(NotFoundError):
        [piece async for piece in runner.log("rep_unknown")]
    await agent.end()
    await agent.start()
    assert await runner.observe() == [], "the new agent reports no replica that ended before"
    later = "".join([piece async for piece in runner.log("rep_1", tail=1000)])
    assert later == text, "a log went with the agent that wrote it"


async def test_a_silent_node_does_not_hide_the_others(agent: AgentProcess, connect: Connect) -> None:
    runner = connect(agent, absent=True)
    (node,) = await runner.nodes()
    await runner.start(tiny_launch(node.node_id))
    assert [seen.replica_id for seen in await runner.observe()] == ["rep_1"]
    with pytest.raises(UnavailableError):
        await runner.start(tiny_launch("node_of_nobody", replica_id="rep_2"))


async def test_all_members_or_none(agent: AgentProcess, connect: Connect) -> None:
    runner = connect(agent)
    (node,) = await runner.nodes()
    launch = tiny_launch(node.node_id)
    with pytest.raises(InvalidError):
        await runner.start(launch.model_copy(update={"members": launch.members * 2}))
    assert await runner.observe() == []
