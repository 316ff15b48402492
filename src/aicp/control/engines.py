"""Engines: what there is, where it is installed, who uses it; install and remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aicp.control.service_uses import EngineUses, engine_uses
from aicp.core.accelerator import Accelerator
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.engine import EngineFlag, EngineInfo, EngineInstall, InstalledEnvironment
from aicp.core.errors import ConflictError, InvalidError, NotFoundError
from aicp.core.identity import Permission
from aicp.core.job import Job
from aicp.core.model import ModelFormat, ModelType
from aicp.core.node import Node, NodeState
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.core.value import Page
from aicp.engines.base import Engine
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.jobs import Jobs
from aicp.store.nodes import Nodes

INSTALL, REMOVE = "engine_install", "engine_remove"


class Engines:
    """Use cases over engines."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, engines: Registry[Engine]) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._engines = engines

    async def list(self, caller: Caller) -> Page[EngineInfo]:
        """All engines that are not for tests only; those too where they are used."""
        caller.require(Permission.ENGINE_READ)
        async with self._database.snapshot() as tx:
            nodes = await Nodes(tx).all()
            uses = await engine_uses(tx)
        items = [_info(self._engines.get(name), nodes, uses) for name in self._engines.names()]
        shown = [item for item in items if not item.internal or item.used_by]
        return Page(items=shown, total=len(shown))

    async def get(self, caller: Caller, name: str) -> EngineInfo:
        """One engine."""
        caller.require(Permission.ENGINE_READ)
        engine = self._driver(name)
        async with self._database.snapshot() as tx:
            return _info(engine, await Nodes(tx).all(), await engine_uses(tx))

    async def install(self, caller: Caller, name: str, body: EngineInstall) -> Job:
        """Builds an engine's environment on one node or on all that can run it; a job shows how far it is."""
        caller.require(Permission.ENGINE_WRITE)
        engine = self._driver(name)
        version = body.version or engine.versions[0]
        if version not in engine.versions:
            raise InvalidError(
                f"There is no version {version!r} of {name}.", hint=f"Known: {', '.join(engine.versions)}."
            )
        if not engine.environment:
            raise InvalidError(f"{engine.title} runs in the platform's own environment; there is nothing to install.")
        async with self._database.transaction() as tx:
            nodes = [await Nodes(tx).get(body.node)] if body.node else await Nodes(tx).all()
            targets = _targets(engine, nodes, body.variant)
            return await self._job(tx, caller, INSTALL, f"Install {engine.title} {version}", name, version, targets)

    async def remove(self, caller: Caller, name: str, version: str, variant: str | None = None) -> Job:
        """Removes an installed version from every node. Raises ConflictError while a service uses it."""
        caller.require(Permission.ENGINE_WRITE)
        engine = self._driver(name)
        async with self._database.transaction() as tx:
            users = (await engine_uses(tx)).get((name, version), [])
            if users:
                raise ConflictError(
                    f"{engine.title} {version} is used by {', '.join(users)}.",
                    hint="Delete these services, or move them to another version, first.",
                    details={"used_by": users},
                )
            targets = [
                {"node_id": node.id, "node": node.name, "variant": item.variant}
                for node in await Nodes(tx).all()
                if node.status
                for item in node.status.environments
                if item.engine == name and item.version == version and variant in (None, item.variant)
            ]
            if not targets:
                raise NotFoundError(f"{engine.title} {version} is not installed anywhere.")
            return await self._job(tx, caller, REMOVE, f"Remove {engine.title} {version}", name, version, targets)

    async def _job(
        self,
        tx: Transaction,
        caller: Caller,
        kind: str,
        title: str,
        name: str,
        version: str,
        targets: Sequence[Mapping[str, Any]],
    ) -> Job:
        now = self._clock.now()
        parameters = {"engine": name, "version": version, "targets": [dict(target) for target in targets]}
        for other in await Jobs(tx).unfinished(kind):
            if other.parameters == parameters:
                return other
        job = await Jobs(tx).create(kind, title, at=now, parameters=parameters, created_by=caller.user)
        action = "engine.install" if kind == INSTALL else "engine.remove"
        await Events(tx).audit(caller, now, action, "engine", f"{name} {version}", details=parameters)
        self._bell.ring("job", job.id)
        return job

    def _driver(self, name: str) -> Engine:
        if name not in self._engines.names():
            known = ", ".join(self._engines.names())
            raise NotFoundError(f"There is no engine {name!r}.", hint=f"Known: {known}.")
        return self._engines.get(name)


def _targets(engine: Engine, nodes: Sequence[Node], variant: str | None) -> list[dict[str, str]]:
    targets: list[dict[str, str]] = []
    for node in nodes:
        if node.status is None or node.state == NodeState.LOST:
            continue
        possible = engine.variants(node.status.accelerators)
        if variant is None and possible:
            targets.append({"node_id": node.id, "node": node.name, "variant": possible[0]})
        elif variant in possible:
            targets.append({"node_id": node.id, "node": node.name, "variant": str(variant)})
    if not targets:
        what = f"variant {variant!r} of {engine.title}" if variant else engine.title
        raise InvalidError(
            f"No node that answers can run {what}.", hint="`aicp node list` shows nodes and accelerators."
        )
    return targets


def _info(engine: Engine, nodes: Sequence[Node], uses: EngineUses) -> EngineInfo:
    accelerators: list[Accelerator] = [item for node in nodes if node.status for item in node.status.accelerators]
    environments = [
        InstalledEnvironment(node=node.name, status=item, used_by=uses.get((engine.name, item.version), []))
        for node in nodes
        if node.status
        for item in node.status.environments
        if item.engine == engine.name
    ]
    users = {name for (used, _), names in uses.items() if used == engine.name for name in names}
    return EngineInfo(
        name=engine.name,
        title=engine.title,
        versions=list(engine.versions),
        formats=sorted(ModelFormat(item) for item in engine.formats),
        internal=engine.internal,
        variants=list(engine.variants(accelerators)),
        endpoints={kind.value: list(paths) for kind in ModelType if (paths := engine.endpoints(kind))},
        modes=list(Mode),
        flags=[
            EngineFlag(
                name=flag.name,
                type=flag.type,
                description=flag.description,
                minimum=flag.minimum,
                maximum=flag.maximum,
                choices=list(flag.choices),
                default=flag.default,
            )
            for flag in engine.flags.values()
        ],
        environments=environments,
        used_by=sorted(users),
    )
