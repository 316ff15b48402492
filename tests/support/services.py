"""A platform without processes: store, use cases and loops over a fake runner and a small engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.api import make_caller
from tests.support.clock import FakeClock
from tests.support.runner import FakeRunner

from aicp.control.providers import Outside
from aicp.control.routes import RouteTables
from aicp.control.services import Services
from aicp.core.accelerator import Accelerator
from aicp.core.access import Caller
from aicp.core.api_key import ApiKey, ApiKeyCreate, ApiKeyCreated
from aicp.core.bell import Bell
from aicp.core.launch import LaunchSpec
from aicp.core.model import (
    Architecture,
    ModelCreate,
    ModelFile,
    ModelFormat,
    ModelType,
    ModelVersion,
)
from aicp.core.quantity import GIB, MIB
from aicp.core.registry import Registry
from aicp.core.service import Choice, Fit, MemoryPart, Mode, Published, ServiceCreate, ServiceSpec
from aicp.engines.base import Defaults, Engine, Flag, LaunchRequest, Sizing
from aicp.reconcile.loop import Loop
from aicp.reconcile.nodes import NodeReconciler
from aicp.reconcile.services import ServiceReconciler
from aicp.security.keyring import Keyring
from aicp.store.database import Database
from aicp.store.models import Models
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects


@dataclass
class SmallEngine:
    """An engine driver whose numbers are easy to follow: KV takes 1 KiB a token and user."""

    name: str = "small"
    title: str = "Small"
    versions: Sequence[str] = ("2.0", "1.0")
    formats: frozenset[ModelFormat] = frozenset({ModelFormat.SAFETENSORS})
    internal: bool = False
    environment: bool = True
    flags: Mapping[str, Flag] = field(default_factory=dict)
    continues: Mapping[str, str] = field(default_factory=dict)
    parallel: str = ""
    refused_fields: Sequence[str] = ("priority",)
    metrics: Mapping[str, str] = field(default_factory=dict)
    overhead_bytes: int = 512 * MIB

    def variants(self, accelerators: Sequence[Accelerator]) -> Sequence[str]:
        return ["cpu"] if any(item.vendor == "cpu" for item in accelerators) else ["cu129"]

    def supports(self, version: ModelVersion, model_type: ModelType, accelerators: Sequence[Accelerator]) -> Fit:
        fits = version.format in self.formats
        return Fit(fits=fits, reason=f"{self.title} reads {version.format}" if fits else "wrong format")

    def endpoints(self, model_type: ModelType) -> Sequence[str]:
        return ["/v1/chat/completions"]

    def defaults(self, version: ModelVersion, model_type: ModelType, mode: Mode, node_cores: float) -> Defaults:
        return Defaults(8192, 16, min(2.0, node_cores), {"users": "enough for a small team"})

    def settings(self, request: LaunchRequest) -> Sequence[Choice]:
        users = Choice(name="lanes", value=request.sizing.users, chosen_by="platform", reason="as asked")
        return [Choice(name="threads", value=2, chosen_by="platform", reason="both cores"), users]

    def estimate(
        self, version: ModelVersion, model_type: ModelType, mode: Mode, sizing: Sizing
    ) -> Sequence[MemoryPart]:
        return [
            MemoryPart(name="weights", bytes=version.weight_bytes),
            MemoryPart(name="kv_cache", bytes=sizing.context_length * sizing.users * 1024),
            MemoryPart(name="engine_overhead", bytes=self.overhead_bytes),
        ]

    def launch(self, request: LaunchRequest) -> LaunchSpec:
        return LaunchSpec(
            engine=self.name,
            engine_version=request.engine_version,
            environment=True,
            model_digest=request.version.digest,
            command=["{python}", "-m", "small", "--name", request.served_name],
        )


class EngineBook(Registry[Engine]):
    """A registry of given drivers."""

    def __init__(self, *engines: Engine) -> None:
        self._engines = {engine.name: engine for engine in engines}

    def names(self) -> list[str]:
        return sorted(self._engines)

    def get(self, name: str) -> Engine:
        return self._engines[name]


class KeyBook:
    """Makes keys and remembers them."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.made: list[ApiKeyCreate] = []

    async def create(self, caller: Caller, wanted: ApiKeyCreate) -> ApiKeyCreated:
        self.made.append(wanted)
        key = ApiKey(id="k1", name=wanted.name, project=wanted.project, prefix="sk-k1", created_at=self._clock.now())
        return ApiKeyCreated(key=key, secret="sk-k1-secret")


def make_version(model: str = "demo", version: str = "v1", **more: Any) -> ModelVersion:
    """A small chat model version."""
    weight_bytes = more.pop("weight_bytes", 1 * GIB)
    values = {
        "id": f"ver_{model}_{version}",
        "digest": f"{model}-{version}",
        "format": ModelFormat.SAFETENSORS,
        "files": [ModelFile(path="model.safetensors", sha256="0" * 64, size_bytes=weight_bytes)],
        "size_bytes": weight_bytes,
        "weight_bytes": weight_bytes,
        "architecture": Architecture(name="LlamaForCausalLM", layers=4, attention_heads=4, kv_heads=2, head_dim=64),
        "context_length": 32768,
        "source": "directory",
        "created_at": FakeClock().now(),
        **more,
    }
    return ModelVersion(model=model, version=version, **values)


@dataclass
class Platform:
    """Everything that a service needs from publish to route."""

    database: Database
    clock: FakeClock
    runner: FakeRunner = field(default_factory=FakeRunner)
    engine: SmallEngine = field(default_factory=SmallEngine)
    bell: Bell = field(default_factory=Bell)
    caller: Caller = field(default_factory=make_caller)

    def __post_init__(self) -> None:
        self.engines = EngineBook(self.engine)
        self.keys = KeyBook(self.clock)
        self.services = Services(
            self.database, self.clock, self.bell, self.engines, self.keys, gateway_url="http://127.0.0.1:8601/v1"
        )
        self.outside = Outside(Keyring(b"k" * 32), ("127.0.0.1",), offline=False, gateway_url="http://127.0.0.1:8601")
        self.routes = RouteTables(self.database, self.clock, self.bell, self.engines, self.outside, pepper=b"p" * 32)
        self.reconciler = ServiceReconciler(self.database, self.runner, self.engines, self.clock, self.bell)
        self.loop = Loop(self.reconciler, self.bell, self.clock)
        self.nodes = NodeReconciler(self.database, self.runner, self.clock, self.bell)
        self.node_loop = Loop(self.nodes, self.bell, self.clock)

    async def prepare(self, *versions: ModelVersion) -> Platform:
        """A default project, models, and the node."""
        now = self.clock.now()
        async with self.database.transaction() as tx:
            await Organizations(tx).create("default", now)
            await Projects(tx).create("default", "default", "", now)
            for version in versions or (make_version(),):
                models = Models(tx)
                if await models.find(version.model) is None:
                    await models.create(ModelCreate(name=version.model, type=ModelType.CHAT), now)
                await models.add_version(version, ModelType.CHAT)
        await self.node_loop.step()
        return self

    async def publish(self, model: str = "demo", *, name: str | None = None, **spec: Any) -> Published:
        """Publishes with everything else left to the platform."""
        body = ServiceCreate(name=name, spec=ServiceSpec(model=model, **spec))
        return await self.services.publish(self.caller, body)

    async def passes(self, count: int = 12, seconds: float = 1.0) -> None:
        """Passes of the loop, engines coming nearer to ready in between."""
        for _ in range(count):
            await self.loop.step()
            self.runner.progress()
            self.clock.advance(seconds)
        await self.loop.step()
