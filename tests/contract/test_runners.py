"""What every runner keeps, shown on a real agent with real processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.support.agent_process import AgentProcess, eventually, tiny_launch

from aicp.core.errors import InvalidError, NotFoundError, UnavailableError
from aicp.core.launch import ObservedReplica, ReplicaState
from aicp.core.registry import Registry
from aicp.runners.base import AgentAddress, Runner, RunnerDriver, StreamsLogs

REGISTRY = Registry[RunnerDriver]("aicp.runners")
Connect = Callable[..., Runner]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[AgentProcess]:
    process = AgentProcess(tmp_path / "data")
    await process.start()
    yield process
    await process.end()


@pytest.fixture(params=REGISTRY.names())
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


async def until(runner: Runner, state: ReplicaState) -> ObservedReplica:
    async def check() -> ObservedReplica | None:
        return next((seen for seen in await runner.observe() if seen.state is state), None)

    return await eventually(f"a replica is {state}", check)


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
