"""Mirrors of a cluster: fresh while the API server tells of changes, and known to be stale when it does not."""

from __future__ import annotations

import pytest
from tests.support.agent_process import eventually
from tests.support.kubernetes_cluster import make_node
from tests.support.kubernetes_world import KubernetesWorld, make_launch, make_member

from aicp.core.errors import UnavailableError
from aicp.core.launch import ReplicaState
from aicp.runners.kubernetes import watching


async def test_an_api_server_that_is_away(world: KubernetesWorld) -> None:
    runner = world.runner()
    world.api.broken = True
    with pytest.raises(UnavailableError):
        await runner.observe()
    world.api.broken = False
    await eventually("it answers again", lambda: _answers(runner))


async def _answers(runner: object) -> bool:
    try:
        await runner.observe()  # type: ignore[attr-defined]
    except UnavailableError:
        return False
    return True


async def test_an_api_server_that_went_away_is_told(world: KubernetesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_SILENCE_SECONDS", 1.5)
    monkeypatch.setattr(watching, "_PAUSES", (0.05, 0.1))
    monkeypatch.setattr(watching, "_PROOF_SECONDS", 1)
    runner = world.runner()
    await runner.observe()
    await world.api.cut_watches()
    assert await runner.observe() == [], "a watch that breaks off is no silence yet"
    world.api.broken = True
    await world.api.cut_watches()
    await eventually("it is told", lambda: _is_silent(runner))
    world.api.broken = False
    await eventually("it answers again", lambda: _answers(runner))


async def _is_silent(runner: object) -> bool:
    return not await _answers(runner)


async def test_a_quiet_watch_that_broke_off_once_is_fresh_again(
    world: KubernetesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_PROOF_SECONDS", 1)
    runner = world.runner()
    await runner.observe()
    lists = world.api.asked.count(("list", "nodes"))
    await world.api.cut_watches()

    async def proved() -> bool:
        return world.api.asked.count(("watch", "nodes")) > 2

    await eventually("nothing happened, and yet it is known to work", proved)
    assert world.api.asked.count(("list", "nodes")) == lists


async def test_a_kind_that_goes_and_comes_again(world: KubernetesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_ABSENT_SECONDS", 0.1)
    runner = world.runner()
    world.api.add("nodes", make_node("node-b"))
    await runner.start(make_launch(make_member(), make_member(node_id="node-b")))
    await world.until(runner, ReplicaState.STARTING)
    key = ("leaderworkerset.x-k8s.io/v1", "leaderworkersets")
    kind = world.api.kinds.pop(key)
    await world.api.cut_watches()
    await world.until(runner, None)
    world.api.kinds[key] = kind
    await world.until(runner, ReplicaState.STARTING)


async def test_watches_go_on_where_they_broke_off(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    await world.until(runner, ReplicaState.STARTING)
    lists = world.api.asked.count(("list", "pods"))
    await world.api.cut_watches()
    world.controllers.run(world.controllers.pod(), ready=True)
    await world.until(runner, ReplicaState.READY)
    assert world.api.asked.count(("list", "pods")) == lists, "nothing is listed anew"


async def test_a_watch_from_too_long_ago_begins_anew(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    await world.until(runner, ReplicaState.STARTING)
    lists = world.api.asked.count(("list", "pods"))
    await world.api.cut_watches()
    world.controllers.run(world.controllers.pod(), ready=True)
    world.api.compact()
    await world.until(runner, ReplicaState.READY)
    assert world.api.asked.count(("list", "pods")) > lists
