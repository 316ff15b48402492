"""Members of one replica under two real agents of one machine: started together, none goes on without the others."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from tests.support.agent_process import AgentProcess, eventually, tiny_launch

from aicp.client.agent import AgentClient
from aicp.core.errors import InvalidError
from aicp.core.launch import GroupSeat, HealthCheck, ObservedReplica, ReplicaLaunch, ReplicaState
from aicp.runners.local import LocalRunner

REPLICA = "rep_group"


class Pair:
    """Two agents and a runner over them."""

    def __init__(self, agents: list[AgentProcess], nodes: list[str]) -> None:
        self.agents, self.nodes = agents, nodes
        self.runner = LocalRunner([client(agent) for agent in agents])

    def launch(self, host: str = "127.0.0.1") -> ReplicaLaunch:
        """A leader that answers, and a follower that nobody asks."""
        told = ["--title", "{rank} {leader} {group_port} {address} {interface}"]
        leader = tiny_launch(self.nodes[0], "--worker", *told, replica_id=REPLICA)
        follower = tiny_launch(self.nodes[1], *told, replica_id=REPLICA)
        silent = follower.members[0].launch.model_copy(update={"listen": "none", "health": HealthCheck(path="")})
        members = [leader.members[0], follower.members[0].model_copy(update={"launch": silent})]
        seats = [GroupSeat(rank=rank, leader="127.0.0.1", port=29600, host=host) for rank in (0, 1)]
        seated = [one.model_copy(update={"seat": seat}) for one, seat in zip(members, seats, strict=True)]
        return leader.model_copy(update={"members": seated})

    async def seen(self) -> ObservedReplica | None:
        return next((one for one in await self.runner.observe() if one.replica_id == REPLICA), None)

    async def states(self) -> list[ReplicaState | None]:
        """By node, in their order."""
        replica = await self.seen()
        found = {member.node_id: member.state for member in replica.members} if replica else {}
        return [found.get(node) for node in self.nodes]

    async def until(self, *states: ReplicaState) -> None:
        async def check() -> bool:
            return await self.states() == list(states)

        await eventually(f"members are {states}", check)

    async def pid(self, rank: int) -> int:
        replica = await self.seen()
        assert replica is not None
        [pid] = [member.pid for member in replica.members if member.node_id == self.nodes[rank]]
        assert pid is not None
        return pid


def client(agent: AgentProcess) -> AgentClient:
    assert agent.client is not None
    return agent.client


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    agents = [AgentProcess(tmp_path / name / "data") for name in ("a", "b")]
    for agent in agents:
        agent.spawn()
    for agent in agents:
        await agent.connect()
    pair = Pair(agents, [await agent.node_id() for agent in agents])
    await pair.runner.nodes()
    yield pair
    for agent in agents:
        if agent.process is None or agent.process.poll() is not None:
            await agent.start()
        await client(agent).stop(REPLICA, grace_seconds=0)
        await agent.end()


async def test_members_know_each_other_and_are_told_as_one(pair: Pair) -> None:
    await pair.runner.start(pair.launch())
    await pair.until(ReplicaState.READY, ReplicaState.READY)
    replica = await pair.seen()
    assert replica is not None
    assert str(replica.address).startswith("unix:")
    words = [psutil.Process(await pair.pid(rank)).cmdline()[-1] for rank in (0, 1)]
    assert words == ["0 127.0.0.1 29600 127.0.0.1 lo", "1 127.0.0.1 29600 127.0.0.1 lo"]
    again = await pair.runner.start(pair.launch())
    assert {member.pid for member in again.members} == {await pair.pid(0), await pair.pid(1)}, "the same, once more"


async def test_a_member_that_dies_is_not_started_again_and_the_other_can_be_stopped(pair: Pair) -> None:
    await pair.runner.start(pair.launch())
    await pair.until(ReplicaState.READY, ReplicaState.READY)
    os.kill(await pair.pid(1), signal.SIGKILL)
    await pair.until(ReplicaState.READY, ReplicaState.FAILED)
    replica = await pair.seen()
    assert replica is not None
    [ended] = [member for member in replica.members if member.state == ReplicaState.FAILED]
    assert "SIGKILL" in str(ended.reason)
    await pair.runner.stop(REPLICA, 1, 1.0)
    await pair.until(ReplicaState.STOPPED, ReplicaState.FAILED)


async def test_a_node_that_was_started_anew_starts_no_member_of_before(pair: Pair) -> None:
    await pair.runner.start(pair.launch())
    await pair.until(ReplicaState.READY, ReplicaState.READY)
    leader = await pair.pid(0)
    agent = pair.agents[1]
    await agent.end()
    await agent.start()
    pair.runner = LocalRunner([client(one) for one in pair.agents])
    await pair.until(ReplicaState.READY, ReplicaState.FAILED)
    assert await pair.pid(0) == leader, "what is on the other node is not touched"


async def test_an_agent_that_dies_leaves_its_member_running(pair: Pair) -> None:
    await pair.runner.start(pair.launch())
    await pair.until(ReplicaState.READY, ReplicaState.READY)
    follower, agent = await pair.pid(1), pair.agents[1]
    assert agent.process is not None
    agent.process.kill()
    agent.process.wait(10)
    await agent.start()
    pair.runner = LocalRunner([client(one) for one in pair.agents])
    await pair.until(ReplicaState.READY, ReplicaState.READY)
    assert await pair.pid(1) == follower


async def test_a_machine_that_has_not_the_address_starts_nothing(pair: Pair) -> None:
    await pair.runner.start(pair.launch(host="192.0.2.77"))

    async def said() -> bool:
        replica = await pair.seen()
        return replica is not None and "has the address 192.0.2.77" in str(replica.reason)

    await eventually("the reason is told", said)


async def test_two_members_on_one_node_are_refused(pair: Pair) -> None:
    launch = pair.launch()
    twice = launch.model_copy(update={"members": [launch.members[0], launch.members[0]]})
    with pytest.raises(InvalidError, match="two members on one node"):
        await pair.runner.start(twice)
    assert await pair.seen() is None
