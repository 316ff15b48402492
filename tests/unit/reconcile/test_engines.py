"""Engine jobs relay what an agent does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from tests.support.clock import FakeClock

from aicp.core.bell import Bell
from aicp.core.errors import AicpError, UnavailableError
from aicp.core.job import Job, JobState
from aicp.core.node import EnvironmentState, EnvironmentStatus
from aicp.reconcile import engines
from aicp.reconcile.engines import EngineInstaller, EngineRemover
from aicp.reconcile.jobs import JobCanceled, JobContext

KEY = ("node_a", "small", "2.0", "cpu")


@dataclass
class Agent:
    """Answers a script of states, the last one for ever; None is silence."""

    script: list[EnvironmentState | None]
    calls: list[tuple[str, ...]] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def environments(self, node_id: str) -> list[EnvironmentStatus]:
        state = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if state is None:
            raise UnavailableError("The agent does not answer.")
        return [
            EnvironmentStatus(
                engine="small", version="2.0", variant="cpu", state=state, phase="12 of 140 packages", progress=0.25,
                message="no space" if state == EnvironmentState.BROKEN else None,
            )
        ]  # fmt: skip

    async def install_environment(self, node_id: str, engine: str, version: str, variant: str) -> EnvironmentStatus:
        self.calls.append(("install", node_id, engine, version, variant))
        self.called.set()
        return (await Agent([EnvironmentState.INSTALLING]).environments(node_id))[0]

    async def remove_environment(self, node_id: str, engine: str, version: str, variant: str) -> None:
        self.calls.append(("remove", node_id, engine, version, variant))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_LOOK_SECONDS", 0)


def job(clock: FakeClock) -> Job:
    target = {"node_id": "node_a", "node": "node-a", "variant": "cpu"}
    return Job(
        id="job",
        kind="engine_install",
        title="Install",
        state=JobState.RUNNING,
        parameters={"engine": "small", "version": "2.0", "targets": [target]},
        created_at=clock.now(),
    )


async def test_an_install_shows_the_builds_own_progress_and_survives_a_silent_agent(clock: FakeClock):
    agent = Agent([EnvironmentState.INSTALLING, None, None, EnvironmentState.INSTALLED])
    context = JobContext(clock)
    result = await EngineInstaller(agent, Bell()).run(job(clock), context)
    assert result == {"engine": "small", "version": "2.0", "nodes": ["node-a"]}
    progress = context.snapshot(always=True)
    assert progress is not None
    assert (progress.message, progress.done, progress.total) == ("12 of 140 packages", 1.0, 1.0)


async def test_a_broken_build_fails_with_its_own_words(clock: FakeClock):
    agent = Agent([EnvironmentState.INSTALLING, EnvironmentState.BROKEN])
    with pytest.raises(AicpError, match="could not be installed on node-a: no space"):
        await EngineInstaller(agent, Bell()).run(job(clock), JobContext(clock))


async def test_cancel_ends_the_build_and_a_stop_of_the_platform_does_not(clock: FakeClock):
    agent = Agent([EnvironmentState.INSTALLING])
    context = JobContext(clock)
    task = asyncio.create_task(EngineInstaller(agent, Bell()).run(job(clock), context))
    await agent.called.wait()
    context.cancel()
    with pytest.raises(JobCanceled):
        await task
    assert agent.calls[-1] == ("remove", *KEY)

    agent = Agent([EnvironmentState.INSTALLING])
    task = asyncio.create_task(EngineInstaller(agent, Bell()).run(job(clock), JobContext(clock)))
    await agent.called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert agent.calls == [("install", *KEY)]


async def test_remove(clock: FakeClock):
    agent = Agent([EnvironmentState.INSTALLED])
    await EngineRemover(agent, Bell()).run(job(clock), JobContext(clock))
    assert agent.calls == [("remove", *KEY)]
