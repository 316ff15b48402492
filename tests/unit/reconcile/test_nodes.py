"""Nodes join, fall silent, come back."""

from __future__ import annotations

import pytest
from tests.support.clock import FakeClock
from tests.support.services import Platform

from aicp.core.event import EventQuery
from aicp.core.node import NodeState
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.nodes import Nodes


@pytest.fixture
async def platform(sqlite: Database, clock: FakeClock) -> Platform:
    return await Platform(sqlite, clock).prepare()


async def state(platform: Platform) -> NodeState:
    async with platform.database.snapshot() as tx:
        return (await Nodes(tx).get("node_a")).state


async def actions(platform: Platform) -> list[str]:
    async with platform.database.snapshot() as tx:
        return [event.action for event in (await Events(tx).list(EventQuery(kind="node"))).items]


async def test_a_node_is_lost_after_a_while_and_back_at_once(platform: Platform):
    platform.runner.silent.add("node_a")
    platform.clock.advance(15)
    await platform.node_loop.step()
    assert await state(platform) == NodeState.READY
    platform.clock.advance(1)
    await platform.node_loop.step()
    assert await state(platform) == NodeState.LOST
    platform.runner.silent.clear()
    await platform.node_loop.step()
    assert await state(platform) == NodeState.READY
    assert sorted(await actions(platform)) == ["node.back", "node.joined", "node.lost"]


async def test_silence_while_nobody_looked_does_not_count(platform: Platform, sqlite: Database, clock: FakeClock):
    clock.advance(3600)
    platform.runner.silent.add("node_a")
    after = Platform(sqlite, clock, runner=platform.runner)
    await after.node_loop.step()
    assert await state(after) == NodeState.READY
    clock.advance(16)
    await after.node_loop.step()
    assert await state(after) == NodeState.LOST


async def test_figures_that_always_move_are_written_now_and_then(platform: Platform):
    async def seen_at():
        async with platform.database.snapshot() as tx:
            return (await Nodes(tx).get("node_a")).seen_at

    first = await seen_at()
    platform.clock.advance(2)
    status = platform.runner.statuses["node_a"].model_copy(update={"memory_used_bytes": 5})
    platform.runner.statuses["node_a"] = status
    await platform.node_loop.step()
    assert await seen_at() == first
    platform.runner.statuses["node_a"] = status.model_copy(update={"model_digests": ["abc"]})
    await platform.node_loop.step()
    assert await seen_at() == platform.clock.now()


async def test_a_node_that_is_known_to_be_dead_is_lost_at_once_unless_it_answers(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(platform.runner, "dead", lambda: {"node_a": "missed heartbeats"}, raising=False)
    await platform.node_loop.step()
    assert await state(platform) == NodeState.READY
    platform.runner.silent.add("node_a")
    await platform.node_loop.step()
    assert await state(platform) == NodeState.LOST
    async with platform.database.snapshot() as tx:
        assert "missed heartbeats" in (await Nodes(tx).get("node_a")).reason
