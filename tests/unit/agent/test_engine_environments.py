"""Environments on a node: built once, watched, canceled, and what a failure leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aicp.agent.engine_environments import EngineEnvironments
from aicp.core.errors import UnavailableError
from aicp.core.job import JobProgress
from aicp.core.node import EnvironmentState, EnvironmentStatus
from aicp.environments.base import EnvironmentKey, Report

NAME = ("tiny", "1.0", "cpu")
KEY = EnvironmentKey(*NAME)


class Store:
    """Environments whose builds end when a test says so."""

    def __init__(self) -> None:
        self.installed: set[EnvironmentKey] = set()
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.builds = 0

    def directory(self, key: EnvironmentKey) -> Path:
        return Path("/environments") / key.name

    def interpreter(self, key: EnvironmentKey) -> Path:
        return self.directory(key) / "bin" / "python"

    def status(self, key: EnvironmentKey) -> EnvironmentStatus:
        state = EnvironmentState.INSTALLED if key in self.installed else EnvironmentState.ABSENT
        return EnvironmentStatus(engine=key.engine, version=key.version, variant=key.variant, state=state)

    def statuses(self) -> list[EnvironmentStatus]:
        return [self.status(KEY)]

    async def build(self, key: EnvironmentKey, report: Report | None = None) -> EnvironmentStatus:
        self.builds += 1
        assert report is not None
        report(JobProgress(phase="downloading", done=12, total=140, unit="packages"))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.installed.add(key)
        return self.status(key)

    async def remove(self, key: EnvironmentKey) -> None:
        self.installed.discard(key)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def environments(store: Store) -> EngineEnvironments:
    return EngineEnvironments(store)


async def test_replicas_wait_for_one_build_and_see_its_progress(environments: EngineEnvironments, store: Store) -> None:
    shares: list[float] = []
    waiting = [asyncio.create_task(environments.ensure(*NAME, shares.append)) for _ in range(2)]
    await asyncio.sleep(0.3)
    (status,) = environments.statuses()
    assert status.state is EnvironmentState.INSTALLING
    assert status.phase == "installing engine tiny 1.0 (downloading, 12 of 140 packages)"
    assert status.progress == pytest.approx(12 / 140)
    assert environments.phase(*NAME) == status.phase
    assert shares[-1] == pytest.approx(12 / 140)
    store.gate.set()
    assert set(await asyncio.gather(*waiting)) == {Path("/environments/tiny-1.0-cpu/bin/python")}
    assert store.builds == 1
    assert environments.statuses()[0].state is EnvironmentState.INSTALLED
    assert await environments.ensure(*NAME, shares.append)
    assert store.builds == 1


async def test_a_failed_build_is_told_and_can_be_tried_again(environments: EngineEnvironments, store: Store) -> None:
    store.error = UnavailableError("The package index does not answer.")
    store.gate.set()
    with pytest.raises(UnavailableError, match="index"):
        await environments.ensure(*NAME, lambda _: None)
    (status,) = environments.statuses()
    assert (status.state, status.message) == (EnvironmentState.BROKEN, "The package index does not answer.")
    store.error = None
    await environments.ensure(*NAME, lambda _: None)
    assert environments.statuses()[0].state is EnvironmentState.INSTALLED


async def test_removal_cancels_a_build(environments: EngineEnvironments, store: Store) -> None:
    assert environments.install(*NAME).state is EnvironmentState.INSTALLING
    waiting = asyncio.create_task(environments.ensure(*NAME, lambda _: None))
    await asyncio.sleep(0.01)
    await environments.remove(*NAME)
    with pytest.raises(UnavailableError, match="canceled"):
        await waiting
    assert environments.statuses()[0].state is EnvironmentState.ABSENT
    assert environments.phase(*NAME) is None


async def test_a_waiting_replica_that_leaves_does_not_stop_the_build(
    environments: EngineEnvironments, store: Store
) -> None:
    waiting = asyncio.create_task(environments.ensure(*NAME, lambda _: None))
    await asyncio.sleep(0.01)
    waiting.cancel()
    store.gate.set()
    await asyncio.gather(waiting, return_exceptions=True)
    await environments.ensure(*NAME, lambda _: None)
    assert store.builds == 1
