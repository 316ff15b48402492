"""The local runner's agents: they come and go, and a silent one holds nobody up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from aicp.core.errors import UnavailableError
from aicp.core.registry import Registry
from aicp.runners.base import AgentAddress, Runner, RunnerDriver, TakesAgents


class Agent:
    """Answers every request with no replicas, or never; counts them and their leases."""

    def __init__(self) -> None:
        self.silent = False
        self.leases: list[str | None] = []
        self.address = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                names = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
                self.leases.append(names.get("x-aicp-lease-seconds"))
                if self.silent:
                    await asyncio.sleep(60)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n[]")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def agents() -> AsyncIterator[list[Agent]]:
    async with AsyncExitStack() as stack:
        made = [Agent(), Agent()]
        for agent in made:
            server = await asyncio.start_server(agent.talk, "127.0.0.1", 0)
            stack.callback(server.close)
            agent.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


def runner() -> Runner:
    return Registry[RunnerDriver]("aicp.runners").get("local").connect([])


async def test_a_silent_agent_is_waited_for_shortly_and_then_not_at_all(agents: list[Agent]) -> None:
    local = runner()
    assert isinstance(local, TakesAgents)
    local.set_agents([AgentAddress(agent.address, "", lease_seconds=300) for agent in agents])
    agents[0].silent = True
    began = time.monotonic()
    assert await local.observe() == []
    assert 1.5 < time.monotonic() - began < 5
    began = time.monotonic()
    assert await local.observe() == []
    assert time.monotonic() - began < 1
    with pytest.raises(UnavailableError):
        await local.stop("rep_1", 1, 0)
    assert time.monotonic() - began < 1
    assert len(agents[0].leases) == 1
    assert len(agents[1].leases) == 2
    await local.close()


async def test_only_who_was_heard_gets_another_lease(agents: list[Agent]) -> None:
    local = runner()
    assert isinstance(local, TakesAgents)
    local.set_agents([AgentAddress(agents[0].address, "", lease_seconds=300)])
    await local.observe()
    await local.observe()
    assert agents[0].leases == [None, "300"]
    await local.close()


async def test_agents_that_are_gone_are_asked_no_more(agents: list[Agent]) -> None:
    local = runner()
    assert isinstance(local, TakesAgents)
    both = [AgentAddress(agent.address, "") for agent in agents]
    local.set_agents(both)
    local.set_agents(both)
    await local.observe()
    local.set_agents(both[1:])
    await local.observe()
    assert [len(agent.leases) for agent in agents] == [1, 2]
    local.set_agents([])
    with pytest.raises(UnavailableError):
        await local.environments("node_1")  # type: ignore[attr-defined]
    await local.close()
