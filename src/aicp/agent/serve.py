"""The agent's process: everything built, adopted, then served on a unix socket until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aicp.accelerators.base import AcceleratorDriver, Simulates
from aicp.agent.app import AgentParts, create_app
from aicp.agent.confinement import can_enter
from aicp.agent.copy_sources import CopySource
from aicp.agent.cutting import Cutting
from aicp.agent.engine_environments import EngineEnvironments, EnvironmentStore
from aicp.agent.engine_user import find_engine_user
from aicp.agent.lease import REASON, Lease, keep_fence
from aicp.agent.membership import JoinedNode, Membership
from aicp.agent.model_copies import ModelCopies
from aicp.agent.node import NodeInventory, read_node_id
from aicp.agent.renewal import keep_renewed
from aicp.agent.replicas import Replicas
from aicp.agent.site import Site
from aicp.core.clock import SystemClock
from aicp.core.registry import Registry
from aicp.enforcers.base import Enforcer, KeepsFiles
from aicp.telemetry.processes import OrphanReaper
from aicp.web.serving import App, serve_app

log = logging.getLogger(__name__)

_REAP_SECONDS = 2.0
_LEASE_WAIT_SECONDS = 20.0
_HOUSEKEEPING_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """All an agent is told. `engine_user` None: an unprivileged user when root, else the platform's own.

    `simulated` are accelerators that are made up: (name in the accelerator catalogue, how many). `membership` is set
    where other machines reach the engines of this one.
    """

    data_dir: Path
    socket_path: Path
    token: str
    control_url: str
    artifacts_dir: Path | None
    environment_store: EnvironmentStore
    inherited: Mapping[str, str]
    engine_user: str | None = None
    control_certificate: Path | None = None
    simulated: Sequence[tuple[str, int]] = ()
    membership: Membership | None = None


def build_parts(config: AgentConfig) -> AgentParts:
    """Builds the agent's objects. Raises AicpError when the settings cannot work."""
    directory = config.data_dir / "agent"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    node_id = read_node_id(directory / "node.id")
    engine_user = find_engine_user(config.engine_user, os.geteuid())
    clock = SystemClock()
    accelerators = Registry[AcceleratorDriver]("aicp.accelerators")
    for name in accelerators.names() if config.simulated else ():
        if isinstance(driver := accelerators.get(name), Simulates):
            driver.simulate(config.simulated)
    membership = config.membership
    joined = JoinedNode(membership, node_id) if membership else None
    source = CopySource(
        config.control_url,
        "" if membership else config.token,
        config.artifacts_dir,
        config.control_certificate,
        membership.credentials.client if membership else None,
    )
    copies = ModelCopies(directory / "models", source, clock)
    environments = EngineEnvironments(config.environment_store)
    enforcers = _find_enforcers(directory / "enforcers")
    site = Site(
        node_id=node_id,
        data_dir=config.data_dir,
        replicas_dir=directory / "replicas",
        copies=copies,
        engines=environments,
        accelerators=accelerators,
        enforcers=enforcers,
        clock=clock,
        engine_user=engine_user,
        namespaces=engine_user is not None and can_enter(),
        inherited=config.inherited,
        reached=joined.address_of if joined else None,
    )
    cutting = Cutting(site.enforcers, clock)
    inventory = NodeInventory(node_id, config.data_dir, accelerators, cutting, copies, environments.statuses, clock)
    lease = Lease(directory / "lease.json") if membership else None
    return AgentParts(inventory, Replicas(site), environments, copies, joined, lease)


def _find_enforcers(directory: Path) -> Registry[Enforcer]:
    """Every enforcer, those with files of their own told where to keep them: what they hold outlives this agent."""
    enforcers = Registry[Enforcer]("aicp.enforcers")
    for name in enforcers.names():
        if isinstance(enforcer := enforcers.get(name), KeepsFiles):
            enforcer.keep_in(directory / name)
    return enforcers


async def serve(config: AgentConfig) -> None:
    """Serves until SIGTERM or SIGINT, which stop every engine, or SIGHUP, which leaves them to the next agent."""
    parts = build_parts(config)
    stop, leaving = asyncio.Event(), asyncio.Event()

    def leave() -> None:
        leaving.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number, action in ((signal.SIGTERM, stop.set), (signal.SIGINT, stop.set), (signal.SIGHUP, leave)):
        loop.add_signal_handler(number, action)
    app = create_app(parts, config.token)
    beyond = await _open_beyond(config, parts, app, stop)
    listener = _listen(config.socket_path)
    background = [asyncio.create_task(_keep_house(parts)), asyncio.create_task(_clear_orphans())]
    log.info("serving on %s", config.socket_path)
    try:
        await asyncio.gather(serve_app(app, [listener], stop), *beyond[:1])
    finally:
        background += beyond[1:]
        for task in background:
            task.cancel()
        if parts.joined is not None:
            parts.joined.close()
        await (parts.replicas.leave() if leaving.is_set() else parts.replicas.shut_down())
        await parts.environments.close()


async def _open_beyond(
    config: AgentConfig, parts: AgentParts, app: App, stop: asyncio.Event
) -> list[asyncio.Task[None]]:
    """Takes over what runs here. On a joined node the platform's other machines are let in first, since none but the
    control plane can say whether engines may run: its door as a task, then what must be ended after it."""
    joined, membership, lease = parts.joined, config.membership, parts.lease
    if joined is None or membership is None or lease is None:
        await parts.replicas.adopt_all()
        return []
    await joined.open(parts.replicas.own_address)
    door = asyncio.create_task(joined.serve(app, stop))
    waits = {door, asyncio.create_task(lease.wait(_LEASE_WAIT_SECONDS)), asyncio.create_task(stop.wait())}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    await parts.replicas.adopt_all(None if lease.held() or stop.is_set() else REASON)
    lease.adopted = True
    renewal = keep_renewed(
        membership.directory / "authority", "node", config.control_url, membership.credentials, SystemClock()
    )
    return [door, asyncio.create_task(keep_fence(lease, parts.replicas)), asyncio.create_task(renewal)]


async def _keep_house(parts: AgentParts) -> None:
    while True:
        await asyncio.to_thread(parts.replicas.forget_old)
        used = {launch.model_digest for launch in parts.replicas.launches()}
        for digest in parts.copies.unused_for_a_day(used):
            await parts.copies.remove(digest)
        await asyncio.sleep(_HOUSEKEEPING_SECONDS)


async def _clear_orphans() -> None:
    reaper = OrphanReaper()
    while True:
        reaper.reap()
        await asyncio.sleep(_REAP_SECONDS)


def _listen(path: Path) -> socket.socket:
    """A unix socket that only the platform's user can reach; the one of a dead agent is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    listener.setblocking(False)
    return listener
