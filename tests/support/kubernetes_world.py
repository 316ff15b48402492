"""A runner over the API server for tests, and launches for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.support.agent_process import eventually
from tests.support.clock import FakeClock
from tests.support.kubernetes_api import Json, KubernetesApi
from tests.support.kubernetes_cluster import NAMESPACE, Controllers, make_node

from aicp.core.launch import (
    Allocation,
    DeviceShare,
    HealthCheck,
    LaunchSpec,
    ObservedReplica,
    ReplicaLaunch,
    ReplicaMember,
    ReplicaState,
)
from aicp.core.quantity import GIB
from aicp.core.registry import Registry
from aicp.runners.base import AgentAddress, PlatformManifests, RendersManifests, Runner, RunnerDriver

DIGEST = "ab" * 32
KEY = "the-internal-token"
OPTIONS: dict[str, Any] = {
    "namespace": NAMESPACE,
    "images": ("tiny=registry.example.org/tiny:1",),
    "image": "registry.example.org/aicp:1",
    "control_url": "http://aicp-control.aicp.svc:8600",
}


def make_share(vendor: str = "nvidia", *, device_id: str = "GPU-1", part: tuple[int, int] | None = None, **more: Any):
    """A whole card, or a `part` (percent, bytes) of it held by the cluster's scheduler."""
    percent, memory = part or (100, 24 * GIB)
    mechanism = more.pop("mechanism", "hami" if part else None)
    values = {"compute_percent": percent, "memory_bytes": memory, "mechanism": mechanism, **more}
    return DeviceShare(vendor=vendor, device_id=device_id, index=0, **values)


def make_member(*shares: DeviceShare, node_id: str = "node-a", **spec: Any) -> ReplicaMember:
    """One member of the engine `tiny`."""
    launch = LaunchSpec(
        **{
            "engine": "tiny",
            "engine_version": "1",
            "environment": True,
            "command": ["{python}", "-m", "tiny", "{listen}"],
            "network_command": ["{python}", "-m", "tiny", "--host", "{host}", "--port", "{port}", "{model}"],
            "env": {"TINY_TOKEN": "{token}", "TINY_CACHE": "{home}/cache"},
            "model_digest": DIGEST,
            "health": HealthCheck(path="/health", start_timeout_seconds=600),
            "stop_grace_seconds": 7.0,
            **spec,
        }
    )
    allocation = Allocation(node_id=node_id, devices=list(shares), cpu_cores=2.5, memory_bytes=4 * GIB)
    files = [("model.safetensors", "cd" * 32, 1234)] if launch.model_digest else []
    return ReplicaMember(node_id=node_id, launch=launch, allocation=allocation, model_files=files)


def make_launch(*members: ReplicaMember, replica_id: str = "rep_1", generation: int = 1) -> ReplicaLaunch:
    """A replica of the service `svc`."""
    chosen = list(members) or [make_member()]
    return ReplicaLaunch(replica_id=replica_id, service="svc", generation=generation, members=chosen)


def platform_documents(**wanted: Any) -> list[Json]:
    """The manifests of the platform itself, read back."""
    driver = Registry[RunnerDriver]("aicp.runners").get("kubernetes")
    assert isinstance(driver, RendersManifests)
    given = {"namespace": NAMESPACE, "image": "registry.example.org/aicp:1", **wanted}
    return list(yaml.safe_load_all(driver.render(PlatformManifests(**given))))


class KubernetesWorld:
    """The server allows what the rendered Role allows, and not more."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        roles = [item for item in platform_documents() if item["kind"] in ("Role", "ClusterRole")]
        self.api = KubernetesApi(rules=[rule for role in roles for rule in role["rules"]])
        self.controllers = Controllers(self.api)
        self.config = Path()
        self.runners: list[Runner] = []

    @asynccontextmanager
    async def serve(self, folder: Path) -> AsyncIterator[None]:
        """Until the block ends; every runner is closed with it."""
        async with self.api.serve(folder) as self.config:
            self.api.add("nodes", make_node("node-a"))
            try:
                yield
            finally:
                for runner in self.runners:
                    await runner.close()

    def runner(self, **options: Any) -> Any:
        """A runner of the driver, as the platform gets it."""
        driver = Registry[RunnerDriver]("aicp.runners").get("kubernetes")
        made = driver.connect([AgentAddress("unix:/x", KEY)], {**OPTIONS, "config": self.config, **options})
        self.runners.append(made)
        return made

    async def seen(self, runner: Runner, replica_id: str = "rep_1") -> ObservedReplica | None:
        """The replica as the runner reports it."""
        return next((item for item in await runner.observe() if item.replica_id == replica_id), None)

    async def until(self, runner: Runner, state: ReplicaState | None, replica_id: str = "rep_1") -> Any:
        """The replica once it is in `state`; None waits until it is reported no more."""

        async def check() -> Any:
            seen = await self.seen(runner, replica_id)
            return (seen is None or None) if state is None else (seen if seen and seen.state is state else None)

        return await eventually(f"{replica_id} is {state}", check, seconds=10)
