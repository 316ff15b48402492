"""Jobs that install and remove engine environments; the agents do the work, this relays how far they are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aicp.core.bell import Bell
from aicp.core.errors import AicpError, UnavailableError
from aicp.core.job import Job
from aicp.core.node import EnvironmentState, EnvironmentStatus
from aicp.reconcile.jobs import JobCanceled, JobContext
from aicp.runners.base import KeepsEnvironments

_LOOK_SECONDS = 0.5
_PATIENCE_LOOKS = 60
"""An agent that is restarted meanwhile is waited for this many looks."""


class EngineInstaller:
    """Worker of `engine_install`: one node after the other. Run again after a crash it takes builds up as they are."""

    kind = "engine_install"

    def __init__(self, nodes: KeepsEnvironments, bell: Bell) -> None:
        self._nodes = nodes
        self._bell = bell

    async def run(self, job: Job, context: JobContext) -> Mapping[str, Any]:
        """Builds on every target of the job. Raises AicpError with the build's own words when one breaks."""
        engine, version = job.parameters["engine"], job.parameters["version"]
        installed: list[str] = []
        for target in job.parameters["targets"]:
            place = (target["node_id"], engine, version, target["variant"])
            try:
                await self._install(context, target["node"], *place)
            except (asyncio.CancelledError, JobCanceled):
                if context.canceled:
                    await self._nodes.remove_environment(*place)
                raise
            installed.append(target["node"])
            self._bell.ring("engine", engine)
        return {"engine": engine, "version": version, "nodes": installed}

    async def _install(
        self, context: JobContext, node: str, node_id: str, engine: str, version: str, variant: str
    ) -> None:
        context.phase(f"installing on {node}", total=1.0, unit="share")
        await self._nodes.install_environment(node_id, engine, version, variant)
        silent = 0
        while True:
            context.check()
            try:
                status = await self._status(node_id, engine, version, variant)
                silent = 0
            except UnavailableError:
                silent += 1
                if silent > _PATIENCE_LOOKS:
                    raise
                status = None
            if status is not None and status.state == EnvironmentState.INSTALLED:
                context.set_done(1.0)
                return
            if status is not None and status.state == EnvironmentState.BROKEN:
                raise AicpError(
                    f"{engine} {version} could not be installed on {node}: {status.message or status.phase}",
                    hint="Look at the job's message, then install it again.",
                    code="install_failed",
                )
            if status is not None:
                context.set_done(status.progress or 0.0)
                context.say(status.phase)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _status(self, node_id: str, engine: str, version: str, variant: str) -> EnvironmentStatus | None:
        for status in await self._nodes.environments(node_id):
            if (status.engine, status.version, status.variant) == (engine, version, variant):
                return status
        return None


class EngineRemover:
    """Worker of `engine_remove`."""

    kind = "engine_remove"

    def __init__(self, nodes: KeepsEnvironments, bell: Bell) -> None:
        self._nodes = nodes
        self._bell = bell

    async def run(self, job: Job, context: JobContext) -> Mapping[str, Any]:
        """Removes from every target; one that is gone already is success."""
        engine, version = job.parameters["engine"], job.parameters["version"]
        targets = job.parameters["targets"]
        context.phase("removing", total=float(len(targets)), unit="nodes")
        for target in targets:
            await self._nodes.remove_environment(target["node_id"], engine, version, target["variant"])
            context.advance(1)
        self._bell.ring("engine", engine)
        return {"engine": engine, "version": version, "nodes": [target["node"] for target in targets]}
