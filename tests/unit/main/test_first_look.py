"""What the control plane knows of replicas before it answers anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.support.clock import FakeClock
from tests.support.services import Platform

from aicp.core.errors import UnavailableError
from aicp.core.node import NodeStatus
from aicp.main import control
from aicp.main.control import look_first
from aicp.store.database import Database


@pytest.fixture
async def platform(database: Database, clock: FakeClock) -> Platform:
    platform = await Platform(database, clock).prepare()
    await platform.publish()
    await platform.passes()
    assert await ready(platform) == 1
    return platform


async def ready(platform: Platform) -> int:
    return (await platform.services.get(platform.caller, "demo")).replicas_ready


def comes_up_late(platform: Platform, passes: int) -> None:
    """The agent starts beside the control plane, and knows no replica of its life before."""
    answers: Iterator[list[NodeStatus]] = iter([[]] * passes)
    now = platform.runner.nodes

    async def nodes() -> list[NodeStatus]:
        late = next(answers, None)
        return await now() if late is None else late

    platform.runner.nodes = nodes
    platform.runner.seen.clear()


async def test_a_replica_of_the_life_before_is_not_called_ready(platform: Platform) -> None:
    comes_up_late(platform, passes=3)
    await look_first(asyncio.Event(), platform.runner, platform.node_loop, platform.loop)
    assert await ready(platform) == 0


async def test_a_replica_that_lives_on_stays_ready(platform: Platform) -> None:
    await look_first(asyncio.Event(), platform.runner, platform.node_loop, platform.loop)
    assert await ready(platform) == 1
    assert len(platform.runner.starts) == 1


async def test_an_agent_that_is_away_holds_up_nothing(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "FIRST_LOOK_SECONDS", 0.2)
    comes_up_late(platform, passes=10_000)
    await look_first(asyncio.Event(), platform.runner, platform.node_loop, platform.loop)


async def test_a_stop_is_not_waited_out(platform: Platform) -> None:
    comes_up_late(platform, passes=10_000)
    stop = asyncio.Event()
    look = asyncio.create_task(look_first(stop, platform.runner, platform.node_loop, platform.loop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(look, control.FIRST_LOOK_SECONDS / 2)


@pytest.mark.parametrize("error", [UnavailableError("The agent does not know this token."), ValueError("no JSON")])
async def test_an_agent_that_answers_nonsense_holds_up_nothing(platform: Platform, error: Exception) -> None:
    async def nodes() -> list[NodeStatus]:
        raise error

    platform.runner.nodes = nodes
    await look_first(asyncio.Event(), platform.runner, platform.node_loop, platform.loop)
