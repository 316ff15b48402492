"""Builds and runs the control plane: REST and console, reconcile loops and jobs."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop

import aicp
from aicp.api.app import LOOPBACK_HOSTS, create_app
from aicp.control.bootstrap import bootstrap, note_allowed_networks
from aicp.control.sessions import Sessions
from aicp.core.clock import SystemClock
from aicp.main.cluster import ClusterDoor
from aicp.main.cluster_settings import split_address
from aicp.main.control_parts import Foundation, build_loops, build_use_cases, lay_foundation
from aicp.main.preflight import ensure_token, prepare_data_dir
from aicp.main.settings import Settings, is_loopback
from aicp.reconcile.loop import Loop
from aicp.runners.base import Runner
from aicp.security.redaction import redact
from aicp.store.database import Database
from aicp.store.migrate import migrate
from aicp.telemetry.logs import configure_logs
from aicp.web.serving import App, serve_app

log = logging.getLogger(__name__)

FIRST_LOOK_SECONDS = 10.0
CONSOLE = Path(aicp.__file__).parents[2] / "console" / "dist"


def main(settings: Settings) -> int:
    """Runs until a signal; the exit status, 1 when a loop failed and the process must be started again."""
    prepare_data_dir(settings.data_dir)
    configure_logs("control", level=settings.log_level, redact=redact)
    return uvloop.run(serve(settings))


async def serve(settings: Settings) -> int:
    """Brings the database to the newest shape, then serves and reconciles until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    internal_token = ensure_token(settings.data_dir / "run" / "internal.token")
    await migrate(settings.database_url)
    database = Database(settings.database_url)
    try:
        base = lay_foundation(settings, database, SystemClock(), internal_token)
        sessions = Sessions(base.database, base.clock, base.bell, base.passwords)
        use_cases = build_use_cases(base, sessions)
        app = await _build_app(base, internal_token, sessions, use_cases)
        cluster = base.cluster
        door = None if cluster is None else ClusterDoor(settings, cluster, use_cases, base.clock)
        return await _run(base, app, stop, door)
    finally:
        await database.close()


async def _build_app(
    base: Foundation, internal_token: str, sessions: Sessions, use_cases: Mapping[type, object]
) -> App:
    settings = base.settings
    await bootstrap(base.database, base.clock, base.passwords, sessions, settings.data_dir / "run")
    await note_allowed_networks(base.database, base.clock, settings.import_allowed_networks)
    return create_app(
        use_cases,
        console_dir=settings.console_dir or CONSOLE,
        allowed_hosts=LOOPBACK_HOSTS if is_loopback(settings.host) else None,
        internal_token=internal_token,
        clock=base.clock,
    )


async def _run(base: Foundation, app: App, stop: asyncio.Event, door: ClusterDoor | None) -> int:
    settings = base.settings
    parts = build_loops(base)
    await look_first(stop, base.runner, parts.nodes, parts.services)
    loops = [asyncio.create_task(part.run(), name=name) for name, part in parts.all().items()]
    failed: list[str] = []

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error("the loop %s ended; the process is started again", task.get_name(), exc_info=task.exception())
            failed.append(task.get_name())
            stop.set()

    for task in loops:
        task.add_done_callback(ended)
    log.info("listening on %s:%d", settings.host, settings.port)
    certificate, key = settings.tls_certificate, settings.tls_key
    own = serve_app(
        app,
        _listen(settings.host, settings.port),
        stop,
        tls_certificate=str(certificate) if certificate else None,
        tls_key=str(key) if key else None,
    )
    try:
        if door is None:
            await own
        else:
            await asyncio.gather(own, door.serve(_listen(*split_address(settings.cluster_address)), stop))
    finally:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await base.runner.close()
    return 1 if failed else 0


async def look_first(stop: asyncio.Event, runner: Runner, *loops: Loop[Any, Any]) -> None:
    """One pass before anybody is answered: what the store says of replicas is as old as the last run.

    An agent that starts beside this process is waited for; one that is away is told later, as lost. A look that fails
    stops nothing: the loops look again, and tell what is wrong where its user sees it.
    """
    try:
        async with asyncio.timeout(FIRST_LOOK_SECONDS):
            while not stop.is_set() and not await runner.nodes():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.05)
            for loop in loops:
                await loop.step()
    except TimeoutError:
        log.warning("no agent answered within %.0f s; the platform is served without one for now", FIRST_LOOK_SECONDS)
    except Exception:
        log.exception("the first look at the nodes failed")


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets on every address that `host` stands for. Raises OSError when one is taken."""
    listeners: list[socket.socket] = []
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in addresses:
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(1024)
        listener.setblocking(False)
        listeners.append(listener)
    return listeners
